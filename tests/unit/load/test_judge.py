"""The judge of a subscription: each way in which a stream of revisions can be wrong is found and named."""

import pytest

from seatsync.load.stats import Count
from tests.unit.load.streams import Court, envelope, snapshot, tell, update


def stream(*updates: dict[str, object]) -> list[bytes]:
    """A snapshot of revision 4 and these updates."""
    return [envelope("snapshot", snapshot(4)), *(envelope("update", data) for data in updates)]


def test_a_whole_stream_has_no_fault() -> None:
    """Single revisions and merged ones, each beginning after the last."""
    court = Court()
    judge = court.judge()
    tell(judge, *stream(update(5, 1), update(8, 1, 2, first=6), update(9, 3)))
    assert court.faults() == {}
    assert judge.view.rev == 9


def test_what_was_judged_once_is_not_judged_again() -> None:
    """The second subscriber that is sent the same makes the same steps, and stands at the very same view."""
    court = Court()
    one, other = court.judge("1", "e1"), court.judge("2", "e2")
    for judge in (one, other):
        tell(judge, envelope("snapshot", snapshot(4), judge.eid), envelope("update", update(5, 1), judge.eid), now=3.0)
    assert one.view is other.view
    (step,) = court.album.steps
    assert step.received == [3.0, 3.0]
    assert court.faults() == {}


def test_another_ones_eid_is_not_taken_for_ones_own() -> None:
    """Equal data under an eid that this client did not use is no step of its own."""
    court = Court()
    one, other = court.judge("1", "e1"), court.judge("2", "e2")
    tell(one, envelope("snapshot", snapshot(4), "e1"), envelope("update", update(5, 1), "e1"))
    tell(other, envelope("snapshot", snapshot(4), "e2"), envelope("update", update(5, 1), "e1"))
    assert (one.view.rev, other.view.rev) == (5, 4)


def test_a_missing_revision_is_found() -> None:
    """It is a fault once nothing late can come any more."""
    court = Court()
    judge = court.judge()
    tell(judge, *stream(update(5, 1), update(8, 2)))
    assert judge.missing == 2
    assert court.faults() == {}
    judge.settle()
    assert court.faults() == {"MISSING": 2}
    assert court.words() == ["Subscriber 1 was never sent revisions 6 to 7."]


def test_a_repeated_revision_is_found() -> None:
    """The same frame twice."""
    court = Court()
    tell(court.judge(), *stream(update(5, 1), update(5, 1)))
    assert court.words() == ["Subscriber 1 was sent revision 5 again, after revision 5."]


def test_a_merged_update_that_goes_too_far_back_repeats() -> None:
    """Only the revisions that were there before count."""
    court = Court()
    tell(court.judge(), *stream(update(5, 1), update(6, 2), update(8, 1, 2, first=5)))
    assert court.faults() == {"REPEATED": 2}


def test_a_reordered_revision_is_found() -> None:
    """It came late, so it is not missing."""
    court = Court()
    judge = court.judge()
    tell(judge, *stream(update(6, 2), update(5, 1), update(7, 3)))
    judge.settle()
    assert court.faults() == {"REORDERED": 1}
    assert court.words() == ["Subscriber 1 was sent revision 5 after revision 6."]


def test_a_snapshot_that_goes_back_is_found() -> None:
    """A new snapshot may come at any time, but not an old one."""
    court = Court()
    tell(court.judge(), *stream(update(5, 1)), envelope("snapshot", snapshot(3)))
    assert court.faults() == {"REORDERED": 1}


def test_a_snapshot_must_agree_with_the_updates() -> None:
    """At one revision a hall has one state."""
    court = Court()
    tell(court.judge(), *stream(update(5, 1)), envelope("snapshot", snapshot(5, occupied=(2,), since=5)))
    assert court.faults() == {"STATE": 1}
    assert "seat 1 is VACANT" in court.words()[0]


def test_two_subscribers_must_see_the_same() -> None:
    """Even where the difference is gone by the end."""
    court = Court()
    one, other = court.judge("1"), court.judge("2")
    tell(one, *stream(update(5, 1), update(6, 1, status="VACANT")))
    tell(other, *stream(update(5, 2), update(6, 1, 2, status="VACANT")))
    assert court.faults()["STATE"] == 1
    assert court.words()[0].startswith("2 sees revision 5 unlike others: seat 1 is VACANT")


def test_a_new_epoch_starts_anew() -> None:
    """Revisions of different epochs do not compare."""
    court = Court()
    judge = court.judge()
    tell(judge, *stream(update(5, 1)), envelope("snapshot", snapshot(1, epoch="b")), envelope("update", update(2, 3)))
    assert court.faults() == {}
    assert (judge.view.epoch, judge.view.rev) == ("b", 2)


def test_the_first_subscription_asks_for_everything() -> None:
    """There is nothing to resume."""
    assert Court().judge().reopen() == {}


@pytest.mark.parametrize("missed", [update(5, resumed=True), update(8, 1, 2, first=6, resumed=True)])
def test_a_resumed_subscription_goes_on_where_it_was(missed: dict[str, object]) -> None:
    """With what was missed merged, or with nothing where nothing was; then with the next revision."""
    court = Court()
    judge = court.judge()
    tell(judge, *stream(update(5, 1)))
    assert judge.reopen() == {"since": 5, "epoch": "a"}
    begun: list[float] = []
    judge.on_first = begun.append
    tell(judge, envelope("update", missed), now=2.0)
    tell(judge, envelope("update", update(judge.view.rev + 1, 3)), now=3.0)
    assert begun == [2.0]
    assert court.faults() == {}
    assert court.stats.counts[Count.RESUMED] == 1


def test_many_may_resume_with_the_same_frame() -> None:
    """Each of them has begun again."""
    court = Court()
    begun: list[float] = []
    for _ in range(3):
        judge = court.judge()
        tell(judge, *stream(update(5, 1)))
        judge.reopen()
        judge.on_first = begun.append
        tell(judge, envelope("update", update(7, 2, first=6, resumed=True)))
    assert len(begun) == 3
    assert court.faults() == {}


def test_an_update_that_does_not_say_it_resumes_is_no_first_frame() -> None:
    """Not even if another subscriber has been sent it, and for that one it was right."""
    court = Court()
    other, judge = court.judge("2"), court.judge()
    for one in (other, judge):
        tell(one, *stream(update(5, 1)))
    tell(other, envelope("update", update(6, 2)))
    judge.reopen()
    tell(judge, envelope("update", update(6, 2)))
    assert court.faults() == {"PROTOCOL": 1}


def test_an_update_before_the_snapshot_is_a_fault() -> None:
    """The snapshot comes first."""
    court = Court()
    tell(court.judge(), envelope("update", update(5, 1)))
    assert court.faults() == {"PROTOCOL": 1}


@pytest.mark.parametrize("text", [b"nonsense", b"[]", b"{}", envelope("wonder", {}), envelope("update", {"rev": 5})])
def test_what_cannot_be_read_is_a_fault(text: bytes) -> None:
    """And ends nothing."""
    court = Court()
    judge = court.judge()
    tell(judge, envelope("snapshot", snapshot(4)), text, envelope("update", update(5, 1)))
    assert court.faults() == {"PROTOCOL": 1}
    assert judge.view.rev == 5


def test_a_stale_feed_is_counted_and_is_no_fault() -> None:
    """It has no revision; the stream goes on where it was."""
    court = Court()
    notices = [envelope("update", {"id": 7, "stale": stale}) for stale in (True, False)]
    tell(court.judge(), envelope("snapshot", snapshot(4)), *notices, envelope("update", update(5, 1)))
    assert court.stats.counts[Count.STALE] == 1
    assert court.faults() == {}


def test_errors_and_other_messages_are_handed_on() -> None:
    """An error under the subscription's eid with its advice; what is none of its business as it is."""
    judge = Court().judge()
    heard: list[object] = []
    judge.on_error = lambda *error: heard.append(error)
    judge.on_other = heard.append
    answer = {"type": "user.status", "status": "success", "data": {"status": "guest"}, "error": None, "eid": "me"}
    failure = envelope("error", None, error="ServiceUnavailable", retry_after=1.0)
    tell(judge, b"1", envelope("success", answer["data"], "me", type="user.status"), failure)
    assert heard == [{**answer, "ts": 1767225600000}, ("ServiceUnavailable", 1.0)]


def test_other_orders_of_keys_are_only_slower() -> None:
    """The quick way knows the server's way of writing; what is written otherwise is judged all the same."""
    court = Court()
    judge = court.judge()
    reordered = b'{"eid":"e",' + envelope("update", update(5, 1)).replace(b'"eid":"e",', b"")[1:]
    tell(judge, envelope("snapshot", snapshot(4)), reordered)
    assert judge.view.rev == 5
    assert court.faults() == {}


def test_a_fresh_snapshot_decides() -> None:
    """What frames add up to must be what the hall is."""
    court = Court()
    judge = court.judge()
    tell(judge, *stream(update(5, 1)))
    judge.compare(judge.view)
    right = court.judge("fresh")
    tell(right, envelope("snapshot", snapshot(5, occupied=(1, 2), since=5)))
    judge.compare(right.view)
    assert "does not see the hall as it is at revision 5: seat 2 is VACANT" in court.words()[-1]
