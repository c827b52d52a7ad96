"""The events of accounts: what the server knows of them is on the operators' page."""

from seatsync.user.auth_events import REASONS
from tests.support.readme import SERVE, names, read_page


def test_every_event_is_in_the_table() -> None:
    """With the reasons that it may have, in order."""
    rows = read_page(SERVE).rows("Events of accounts")
    assert {names(event)[0]: tuple(names(reasons)) for event, reasons, _ in rows} == REASONS
