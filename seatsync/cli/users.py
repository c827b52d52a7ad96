"""The commands that manage users. On a terminal lists are tables, else a line for each row, for programs."""

import json
import sys
from datetime import datetime
from typing import Any

from seatsync.cli.database import Context, on_database
from seatsync.core.postgres.session import Row
from seatsync.errors import Failure
from seatsync.terminal import ask, cell, counted, iso_time, write_lines, write_table
from seatsync.user import accounts
from seatsync.user.session_list import sessions_of


@on_database
async def show_all(context: Context) -> None:
    """List the users."""
    users = await accounts.users(context.db)
    if context.options.json:
        _write_json([_facts(user) for user in users])
        return
    columns = ("NAME", "ROLE", "CREATED (UTC)", "LAST SIGN-IN (UTC)", "STATE")
    rows = (
        (user["name"], user["role"], user["created_at"], user["last_sign_in_at"], ",".join(user["states"]) or "active")
        for user in users
    )
    write_table(columns, rows)


@on_database
async def show(context: Context) -> None:
    """Print what is known of a user, a line each."""
    facts = _facts(await accounts.find(context.db, context.options.name))
    if context.options.json:
        _write_json(facts)
        return
    facts["states"] = ",".join(facts["states"]) or "active"
    write_lines(*(f"{name}: {cell(value)}" for name, value in facts.items()))


@on_database
async def role(context: Context) -> None:
    """Change a role."""
    options = context.options
    user = await accounts.set_role(context.db, options.name, options.role, force=options.yes)
    if user["role"] == options.role:
        write_lines(f"User {user['name']} has the role {user['role']} already.")
    else:
        write_lines(f"User {user['name']} has the role {options.role} now; {_ended(user['sessions'])}.")


@on_database
async def disable(context: Context) -> None:
    """Disable a user."""
    user = await accounts.disable(context.db, context.options.name, force=context.options.yes)
    if user["disabled_at"] is not None:
        write_lines(f"User {user['name']} is disabled already, since {iso_time(user['disabled_at'])}.")
    else:
        write_lines(f"User {user['name']} disabled; {_ended(user['sessions'])}.")


@on_database
async def enable(context: Context) -> None:
    """Take the disabling of a user back."""
    user = await accounts.enable(context.db, context.options.name)
    if user["disabled_at"] is None:
        write_lines(f"User {user['name']} is not disabled.")
    else:
        write_lines(f"User {user['name']} enabled.")


@on_database
async def delete(context: Context) -> None:
    """Delete a user, once that is confirmed."""
    db, options = context.db, context.options
    user = await accounts.find(db, options.name)
    if not options.yes:
        await accounts.check_not_last(db, user)
        _confirm(f"Delete {user['name']} ({user['role']}) for good? The history keeps the name.")
    user = await accounts.delete(db, context.settings, user["name"], force=options.yes)
    write_lines(
        f"User {user['name']} deleted; {_ended(user['sessions'])}.",
        "The history keeps the name, which nobody else can take.",
    )


@on_database
async def reset(context: Context) -> None:
    """Print a phrase with which a user enrols an authenticator, and end what there was before."""
    user = await accounts.reset(context.db, context.settings, context.options.name, _show_phrase)
    write_lines(
        f"User {user['name']} reset: the authenticator and any phrase before are void; {_ended(user['sessions'])}, "
        f"{counted(user['known_devices'], 'known device')} forgotten."
    )
    if user["disabled_at"] is not None:
        write_lines(f"User {user['name']} is disabled: the phrase works after seatsync user enable {user['name']}.")


@on_database
async def sessions(context: Context) -> None:
    """List the sessions of a user, or end them."""
    user = await accounts.find(context.db, context.options.name)
    if context.options.end:
        count = await accounts.end_sessions(context.db, user)
        write_lines(f"User {user['name']}: {_ended(count)}.")
        return
    columns = ("SESSION", "CREATED (UTC)", "LAST SEEN (UTC)", "EXPIRES (UTC)", "ADDRESS", "CLIENT")
    names = ("id", "created_at", "last_seen_at", "expires_at", "address", "user_agent")
    found = await sessions_of(context.db, user["id"], context.settings.session_idle_hours)
    write_table(columns, ([_session_cell(name, one[name]) for name in names] for one in found))


def _facts(user: Row) -> dict[str, Any]:
    """The facts that are shown of a user, by name."""
    return {name: value for name, value in user.items() if name != "id"}


def _show_phrase(user: Row, phrase: str) -> None:
    write_lines(f"Recovery phrase of {user['name']}, shown only now, to enrol a new authenticator with:", phrase)


def _write_json(value: Any) -> None:
    write_lines(*json.dumps(value, indent=2, default=iso_time).splitlines())


def _session_cell(name: str, value: Any) -> Any:
    """A value of a session, whose times are text."""
    return datetime.fromisoformat(value) if name.endswith("_at") and value is not None else value


def _ended(count: int) -> str:
    return f"{counted(count, 'session')} ended"


def _confirm(question: str) -> None:
    """Ask on the terminal. Raises `Failure` unless the answer is yes, or where there is no terminal."""
    if not sys.stdin.isatty():
        raise Failure("There is no terminal to confirm this on: nothing was changed; add --yes.")
    if ask(f"{question} [y/N]").lower() not in {"y", "yes"}:
        raise Failure("Nothing was changed.")
