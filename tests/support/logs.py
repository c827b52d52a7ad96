"""structlog as tests have it, unless they configure it."""

import structlog


def default_logs() -> None:
    """Set structlog's defaults, without colours, and with tracebacks as Python prints them.

    Where rich is installed, structlog draws them with every local variable: half a second for the bug of a server.
    """
    structlog.reset_defaults()
    *processors, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, plain])
