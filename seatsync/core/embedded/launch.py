"""Execute a PostgreSQL program under another identity: the steps between fork and exec, as a script.

    python -I -S launch.py PARENT IDENTITY DIRECTORY PROGRAM [ARGUMENT ...]

It is a script because Python code between fork and exec can deadlock in a process with threads. It imports nothing of
the project, changes into DIRECTORY, and exits with a status below when a step fails. IDENTITY is one of

    self                 keep the user
    namespace:UID:GID    as root: appear as UID in a new user namespace (user_namespaces(7)), where files stay root's
    account:UID:GID      as root: become that account

On Linux the program receives SIGINT, PostgreSQL's fast shutdown, when the thread that started it ends (prctl(2),
PR_SET_PDEATHSIG): a server killed with SIGKILL leaves no database behind.
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


def _assume(identity: str) -> None:
    """Take on the identity; exit if the system forbids it."""
    kind, *ids = identity.split(":")
    try:
        if kind == "namespace":
            if ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0:
                sys.exit(NO_NAMESPACE)
            Path("/proc/self/setgroups").write_text("deny")
            for name, number in zip(("uid_map", "gid_map"), ids, strict=True):
                Path("/proc/self", name).write_text(f"{number} 0 1")
        elif kind == "account":
            uid, gid = map(int, ids)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
    except (OSError, AttributeError):
        sys.exit(NO_NAMESPACE if kind == "namespace" else NO_ACCOUNT)


def _die_with(parent: int) -> None:
    """Request the signal, after the change of credentials, which clears the request; exit if the parent has ended."""
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
