"""The command line as a process."""

import os
import subprocess
import sys

#: The keys in the environment of the commands that tests run.
SECRET = "0123456789abcdef" * 2


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process."""
    done = run_bytes(*arguments, **environ)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def run_bytes(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a process that writes in any encoding."""
    return subprocess.run(
        [sys.executable, "-m", "seatsync", *arguments],
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
