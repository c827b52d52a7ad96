"""Service keys for tests."""

from seatsync.config import Role
from seatsync.core.postgres.pool import Database
from seatsync.user import keys


async def service_key(db: Database, name: str = "door-3", role: Role = "operator", days: int | None = None) -> str:
    """A new key of that service, as `seatsync key create` makes it."""
    key = keys.new_key()
    async with db.transaction(timeout=30) as session:
        await keys.add_key(session, name, role, days, key)
    return key
