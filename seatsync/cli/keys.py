"""The commands about service keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from seatsync.cli.admin import PRINT_S, Context, on_database
from seatsync.terminal import printable, write_lines
from seatsync.user import keys

_COLUMNS = {
    "username": "NAME",
    "role": "ROLE",
    "created_at": "CREATED",
    "expires_at": "EXPIRES",
    "last_seen_at": "LAST USED",
    "address": "FROM",
    "user_agent": "BY",
}
_UNKNOWN = {"expires_at": "never", "last_seen_at": "never"}


@on_database
async def create(context: Context) -> None:
    """Add a key and print it, and nothing else. What cannot be printed is not added: no program would have it."""
    options, key = context.options, keys.new_key()
    async with context.db.transaction(timeout=PRINT_S) as session:
        await keys.add_key(session, options.name, options.role, options.days, key)
        write_lines(key)


@on_database
async def show(context: Context) -> None:
    """Print the valid keys, a line each, without the keys themselves."""
    found = await keys.live_keys(context.db)
    if found:
        write_lines(*_table(found))


@on_database
async def revoke(context: Context) -> None:
    """Revoke a key."""
    name = await keys.revoke_key(context.db, context.options.name)
    write_lines(f"Revoked the key of {name}.")


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows under a head, in columns as wide as needed."""
    lines = [list(_COLUMNS.values())]
    lines += [[printable(row[name] or _UNKNOWN.get(name, "-")) for name in _COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
