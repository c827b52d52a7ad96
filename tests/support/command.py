"""The command line, run in the process of the tests."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

from seatsync.cli import main as cli

#: The keys in the environment of the commands that tests run.
SECRET = "0123456789abcdef" * 2


class Output(io.TextIOWrapper):
    """What is printed."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def text(self) -> str:
        """All of it."""
        written: io.BytesIO = self.buffer  # type: ignore[assignment]  # which it is
        return written.getvalue().decode()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables and no input; what it prints, and its exit status.

    What Python does at the end of a process is left out.
    """
    out, err = Output(), Output()
    with Path(os.devnull).open() as nothing:
        status = run_on(nothing, out, err, *arguments, **environ)
    return subprocess.CompletedProcess(arguments, status, out.text(), err.text())


def run_on(stdin: TextIO, stdout: TextIO, stderr: TextIO, *arguments: str, **environ: str) -> int:
    """Run a command with these streams and variables; its exit status."""
    with patch.multiple(sys, stdin=stdin, stdout=stdout, stderr=stderr), patch.dict(os.environ, environ):
        return cli.main(arguments)
