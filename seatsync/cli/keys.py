"""The commands about service keys."""

from seatsync.cli.database import PRINT_S, Context, on_database
from seatsync.terminal import write_lines, write_table
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
    rows = await keys.live_keys(context.db)
    write_table([*_COLUMNS.values()], ([row[name] or _UNKNOWN.get(name) for name in _COLUMNS] for row in rows))


@on_database
async def revoke(context: Context) -> None:
    """Revoke a key."""
    name = await keys.revoke_key(context.db, context.options.name)
    write_lines(f"Revoked the key of {name}.")
