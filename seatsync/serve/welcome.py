"""The greeting of a server that is ready: a few lines for a person, or one event for programs."""

import sys
import time
import webbrowser
from pathlib import Path

import structlog
import trio
from attrs import frozen

from seatsync.config import Settings
from seatsync.terminal import counted, write_lines

logger = structlog.get_logger(__name__)


@frozen
class Welcome:
    """The call of ``seatsync serve``, which the greeting is for."""

    demo: bool
    open_page: bool
    called_at: float
    """By `time.monotonic`."""

    async def say(self, settings: Settings, port: int, ws_port: int, *, cinemas: int, halls: int) -> None:
        """Print that the server is ready, or log it where logs are JSON, and open a browser if that is wanted."""
        page, socket = f"http://localhost:{port}", f"ws://localhost:{ws_port}/ws"
        seconds = round(time.monotonic() - self.called_at, 1)
        if settings.log_format == "json":
            logger.info("ready", http=page, websocket=socket, seconds=seconds, cinemas=cinemas, halls=halls)
        else:
            program = sys.argv[0] if Path(sys.argv[0]).name == "seatsync" else "python -m seatsync"
            found = f"{counted(cinemas, 'cinema')}, {counted(halls, 'hall')}"
            write_lines(
                f"Seats Sync, ready in {seconds} s: {found}. Ctrl-C ends it.",
                f"  open        {page}",
                f"  WebSocket   {socket}",
                f"  an admin    {program} user create NAME --role admin",
                f"  SQL         {program} psql",
                *(["  demo        who registers here may change seats"] if self.is_open_demo(settings) else []),
            )
        if self.open_page:
            await trio.to_thread.run_sync(webbrowser.open, page, abandon_on_cancel=True)

    def is_open_demo(self, settings: Settings) -> bool:
        """For this machine alone, where it is meant that whoever registers may write."""
        return self.demo and settings.loopback_only and not settings.is_published and settings.default_role != "viewer"
