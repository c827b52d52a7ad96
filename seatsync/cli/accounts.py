"""The commands that make users, tokens and codes, and encrypt secrets anew."""

import sys
from io import StringIO

from seatsync.cli.database import PRINT_S, Context, on_database
from seatsync.terminal import printable, write_lines
from seatsync.user import accounts, encryption
from seatsync.user.keyring import Keyring


@on_database
async def user_create(context: Context) -> None:
    """Add a user, and print the authenticator's secret and the recovery phrase, this once.

    What cannot be printed is not added: no one would have the secret.
    """
    name = context.options.name
    role = context.options.role or context.settings.default_role

    def show(uri: str, phrase: str) -> None:
        head = f"User {name} ({role}). Scan this with an authenticator app:"
        write_lines(head, "", *_qr_code(uri), "", uri, "", "Recovery phrase, shown only now:", phrase)

    async with context.db.transaction(timeout=PRINT_S) as session:
        await accounts.add_user(session, context.settings, name, role, show)


def _qr_code(uri: str) -> list[str]:
    """A QR code in half blocks, or in ``#`` where the terminal has none; light on dark, as most terminals are."""
    import qrcode  # noqa: PLC0415 - no other command draws

    code, drawn = qrcode.QRCode(border=2), StringIO()
    code.add_data(uri)
    code.print_ascii(drawn, invert=True)
    lines = drawn.getvalue().replace("\xa0", " ").splitlines()
    if all(line == printable(line, sys.stdout.encoding) for line in lines):
        return lines
    return ["".join("  " if is_dark else "##" for is_dark in row) for row in code.get_matrix()]


@on_database
async def token(context: Context) -> None:
    """Print the tokens of new sessions."""
    options, settings = context.options, context.settings
    issued = await accounts.session_tokens(
        context.db, settings, options.name, create=options.create, count=options.count
    )
    write_lines(*issued)


@on_database
async def code(context: Context) -> None:
    """Print a user's present code."""
    write_lines(await accounts.present_code(context.db, context.settings, context.options.name))


@on_database
async def secrets_rotate(context: Context) -> None:
    """Encrypt all authenticators' secrets with the first key."""
    keyring = Keyring(context.settings.secrets_keys)
    count = await encryption.rotate(context.db, keyring)
    write_lines(f"Secrets encrypted anew: {count}. All are under the key {keyring.ids[0]}.")
