"""The whole schema as one file, ``sql/schema.sql``: for reading, and to see in a review what a migration does.

``python -m tests.support.schema`` writes it anew; a test holds that it is what the migrations make.
"""

import re
import subprocess
from pathlib import Path

import trio

from seatsync.core.embedded.programs import find_program
from seatsync.core.embedded.server import EmbeddedPostgres
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from tests.support.places import VOLATILE, scratch_directory

SCHEMA = Path(__file__).parents[2] / "sql" / "schema.sql"

HEADER = """\
-- The schema as the migrations make it, shown by pg_dump. Written by `make schema`; nothing reads it.
-- It loads into an empty database, for tools that want one. A server's database comes from `seatsync migrate`.

-- Functions stand before the tables that they use.
SET check_function_bodies = off;

"""
FOOTER = "\nRESET check_function_bodies;\n"

OBJECT = r"^--\n-- Name: .*\n--\n"
END = "--\n-- PostgreSQL database dump complete"


def dump(dsn: str) -> str:
    """The schema of a database, without what changes from one run or release of pg_dump to the next."""
    program = find_program("pg_dump")
    assert program is not None
    done = subprocess.run(
        [program, "--schema-only", "--no-owner", dsn], check=True, capture_output=True, text=True, timeout=60
    )
    shown = re.sub(r"^(ALTER DEFAULT PRIVILEGES) FOR ROLE \S+", r"\1", done.stdout, flags=re.MULTILINE)  # of any owner
    _settings, *objects = re.split(OBJECT, shown.partition(END)[0], flags=re.MULTILINE)
    return HEADER + "\n\n".join(statement.strip() for statement in objects) + "\n" + FOOTER


async def _migrate(dsn: str) -> None:
    async with Database.open(dsn, size=1) as db:
        await migrate(db)


def main() -> None:
    """Write the file."""
    with scratch_directory() as directory, EmbeddedPostgres(directory, VOLATILE) as postgres:
        trio.run(_migrate, postgres.dsn)
        SCHEMA.write_text(dump(postgres.dsn))


if __name__ == "__main__":
    main()
