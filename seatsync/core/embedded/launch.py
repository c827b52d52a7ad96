"""Turn into a PostgreSQL program: the steps between fork and exec, as a script.

    python -I -S launch.py PARENT IDENTITY DIRECTORY PROGRAM [ARGUMENT ...]

A script of its own, because running Python between fork and exec of a process
that has threads can deadlock; this one has no threads and imports nothing of
the project. It changes into DIRECTORY, so that the program finds what its
identity may reach, and exits with a status below if a step is not possible.

IDENTITY is one of
    self                 run as whoever started this
    namespace:UID:GID    as root: appear as UID in a user namespace of its own,
                         where PostgreSQL no longer sees root while every file
                         stays root's (user_namespaces(7))
    account:UID:GID      as root: become that account

On Linux the program gets SIGINT, PostgreSQL's fast shutdown, when the thread
that started it ends, however that happens (prctl(2), PR_SET_PDEATHSIG): a
server killed with SIGKILL leaves no database behind.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

NO_NAMESPACE = 121
NO_ACCOUNT = 122
NO_DIRECTORY = 123
NO_PROGRAM = 124
ORPHANED = 125

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def _enter_namespace(uid: str, gid: str) -> None:
    """Map our own root to UID and GID in a new user namespace; raises OSError where that is not permitted."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{gid} 0 1")


def _become_account(uid: str, gid: str) -> None:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))


def _assume(identity: str) -> None:
    """Take on the identity; exits where the system does not let us."""
    kind, *ids = identity.split(":")
    try:
        if kind == "namespace":
            _enter_namespace(*ids)
        elif kind == "account":
            _become_account(*ids)
    except (OSError, AttributeError):
        sys.exit(NO_NAMESPACE if kind == "namespace" else NO_ACCOUNT)


def _die_with(parent: int) -> None:
    """Ask for the signal, then look whether the parent had gone before we asked.

    After the identity, because a change of credentials clears the request.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit(ORPHANED)


def main(parent: str, identity: str, directory: str, program: str, *arguments: str) -> None:
    """Run the steps; does not return."""
    _assume(identity)
    _die_with(int(parent))
    try:
        os.chdir(directory)
    except OSError:
        sys.exit(NO_DIRECTORY)
    try:
        os.execv(program, [program, *arguments])  # noqa: S606 -- no shell is the point
    except OSError:
        sys.exit(NO_PROGRAM)


if __name__ == "__main__":
    main(*sys.argv[1:])
