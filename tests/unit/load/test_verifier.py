"""The verifier of a subscription: it finds and names each way in which a stream of revisions can be wrong."""

import pytest

from seatsync.load.stats import Count
from tests.unit.load.streams import Verification, envelope, feed, snapshot, update


def stream(*updates: dict[str, object]) -> list[bytes]:
    """A snapshot of revision 4 and these updates."""
    return [envelope("snapshot", snapshot(4)), *(envelope("update", data) for data in updates)]


def test_a_whole_stream_has_no_fault() -> None:
    """Single revisions and merged ones, each beginning after the last."""
    verification = Verification()
    verifier = verification.verifier()
    feed(verifier, *stream(update(5, 1), update(8, 1, 2, first=6), update(9, 3)))
    assert verification.faults() == {}
    assert verifier.view.rev == 9


def test_a_known_step_is_not_verified_again() -> None:
    """A second subscriber with the same frames reuses the verified steps and shares the view."""
    verification = Verification()
    one, other = verification.verifier("1", "e1"), verification.verifier("2", "e2")
    for verifier in (one, other):
        feed(
            verifier,
            envelope("snapshot", snapshot(4), verifier.eid),
            envelope("update", update(5, 1), verifier.eid),
            now=3.0,
        )
    assert one.view is other.view
    (step,) = verification.views.steps
    assert step.received == [3.0, 3.0]
    assert verification.faults() == {}


def test_another_eid_is_not_this_subscription() -> None:
    """Equal data under another eid is no step of this subscription."""
    verification = Verification()
    one, other = verification.verifier("1", "e1"), verification.verifier("2", "e2")
    feed(one, envelope("snapshot", snapshot(4), "e1"), envelope("update", update(5, 1), "e1"))
    feed(other, envelope("snapshot", snapshot(4), "e2"), envelope("update", update(5, 1), "e1"))
    assert (one.view.rev, other.view.rev) == (5, 4)


def test_a_missing_revision_is_found() -> None:
    """A missing revision is a fault once it can no longer arrive late."""
    verification = Verification()
    verifier = verification.verifier()
    feed(verifier, *stream(update(5, 1), update(8, 2)))
    assert verification.faults() == {}
    verifier.settle()
    assert verification.faults() == {"MISSING": 2}
    assert verification.sentences() == ["Subscriber 1 never received revisions 6 to 7."]


def test_a_repeated_revision_is_found() -> None:
    """A frame received twice is a repeated revision."""
    verification = Verification()
    feed(verification.verifier(), *stream(update(5, 1), update(5, 1)))
    assert verification.sentences() == ["Subscriber 1 received revision 5 again, after revision 5."]


def test_a_merged_update_that_goes_too_far_back_repeats() -> None:
    """Only the revisions that were received before count."""
    verification = Verification()
    feed(verification.verifier(), *stream(update(5, 1), update(6, 2), update(8, 1, 2, first=5)))
    assert verification.faults() == {"REPEATED": 2}


def test_a_reordered_revision_is_found() -> None:
    """A late revision is reordered and not missing."""
    verification = Verification()
    verifier = verification.verifier()
    feed(verifier, *stream(update(6, 2), update(5, 1), update(7, 3)))
    verifier.settle()
    assert verification.faults() == {"REORDERED": 1}
    assert verification.sentences() == ["Subscriber 1 received revision 5 after revision 6."]


def test_a_snapshot_that_goes_back_is_found() -> None:
    """A new snapshot may come at any time, but not an old one."""
    verification = Verification()
    feed(verification.verifier(), *stream(update(5, 1)), envelope("snapshot", snapshot(3)))
    assert verification.faults() == {"REORDERED": 1}


def test_a_snapshot_must_agree_with_the_updates() -> None:
    """A snapshot must equal the updates' state at its revision."""
    verification = Verification()
    feed(verification.verifier(), *stream(update(5, 1)), envelope("snapshot", snapshot(5, occupied=(2,), since=5)))
    assert verification.faults() == {"STATE": 1}
    assert "seat 1 is VACANT" in verification.sentences()[0]


def test_two_subscribers_must_see_the_same() -> None:
    """Two subscribers must have equal views at each revision, not only at the end."""
    verification = Verification()
    one, other = verification.verifier("1"), verification.verifier("2")
    feed(one, *stream(update(5, 1), update(6, 1, status="VACANT")))
    feed(other, *stream(update(5, 2), update(6, 1, 2, status="VACANT")))
    assert verification.faults()["STATE"] == 1
    assert verification.sentences()[0].startswith("2 sees revision 5 unlike others: seat 1 is VACANT")


def test_a_new_epoch_starts_anew() -> None:
    """Revisions of different epochs do not compare."""
    verification = Verification()
    verifier = verification.verifier()
    feed(
        verifier, *stream(update(5, 1)), envelope("snapshot", snapshot(1, epoch="b")), envelope("update", update(2, 3))
    )
    assert verification.faults() == {}
    assert (verifier.view.epoch, verifier.view.rev) == ("b", 2)


def test_the_first_subscription_asks_for_everything() -> None:
    """The first subscription requests a snapshot."""
    assert Verification().verifier().reopen() == {}


@pytest.mark.parametrize("missed", [update(5, resumed=True), update(8, 1, 2, first=6, resumed=True)])
def test_a_resumed_subscription_goes_on_where_it_was(missed: dict[str, object]) -> None:
    """With the missed revisions merged, or with none where none was missed; then with the next revision."""
    verification = Verification()
    verifier = verification.verifier()
    feed(verifier, *stream(update(5, 1)))
    assert verifier.reopen() == {"since": 5, "epoch": "a"}
    begun: list[float] = []
    verifier.on_first = begun.append
    feed(verifier, envelope("update", missed), now=2.0)
    feed(verifier, envelope("update", update(verifier.view.rev + 1, 3)), now=3.0)
    assert begun == [2.0]
    assert verification.faults() == {}
    assert verification.stats.counts[Count.RESUMED] == 1


def test_many_may_resume_with_the_same_frame() -> None:
    """Many subscriptions may resume with the same frame."""
    verification = Verification()
    begun: list[float] = []
    for _ in range(3):
        verifier = verification.verifier()
        feed(verifier, *stream(update(5, 1)))
        verifier.reopen()
        verifier.on_first = begun.append
        feed(verifier, envelope("update", update(7, 2, first=6, resumed=True)))
    assert len(begun) == 3
    assert verification.faults() == {}


def test_an_update_that_does_not_say_it_resumes_is_no_first_frame() -> None:
    """A first frame that is an update has to be a resumed one, even if it was valid for another subscriber."""
    verification = Verification()
    other, verifier = verification.verifier("2"), verification.verifier()
    for one in (other, verifier):
        feed(one, *stream(update(5, 1)))
    feed(other, envelope("update", update(6, 2)))
    verifier.reopen()
    feed(verifier, envelope("update", update(6, 2)))
    assert verification.faults() == {"PROTOCOL": 1}


def test_an_update_before_the_snapshot_is_a_fault() -> None:
    """An update before the snapshot is a fault."""
    verification = Verification()
    feed(verification.verifier(), envelope("update", update(5, 1)))
    assert verification.faults() == {"PROTOCOL": 1}


@pytest.mark.parametrize("text", [b"nonsense", b"[]", b"{}", envelope("wonder", {}), envelope("update", {"rev": 5})])
def test_an_unreadable_frame_is_a_fault(text: bytes) -> None:
    """An unreadable frame is a fault; the subscription goes on."""
    verification = Verification()
    verifier = verification.verifier()
    feed(verifier, envelope("snapshot", snapshot(4)), text, envelope("update", update(5, 1)))
    assert verification.faults() == {"PROTOCOL": 1}
    assert verifier.view.rev == 5


def test_a_stale_feed_is_counted_and_is_no_fault() -> None:
    """A stale notice is counted and is no fault; it has no revision."""
    verification = Verification()
    notices = [envelope("update", {"id": 7, "stale": stale}) for stale in (True, False)]
    feed(verification.verifier(), envelope("snapshot", snapshot(4)), *notices, envelope("update", update(5, 1)))
    assert verification.stats.counts[Count.STALE] == 1
    assert verification.faults() == {}


def test_errors_and_other_messages_are_handed_on() -> None:
    """An error of this subscription with its advice; a message of another request unchanged."""
    verifier = Verification().verifier()
    received: list[object] = []
    verifier.on_error = lambda *error: received.append(error)
    verifier.on_other = received.append
    answer = {"type": "user.status", "status": "success", "data": {"status": "guest"}, "error": None, "eid": "me"}
    failure = envelope("error", None, error="ServiceUnavailable", retry_after=1.0)
    feed(verifier, b"1", envelope("success", answer["data"], "me", type="user.status"), failure)
    assert received == [{**answer, "ts": 1767225600000}, ("ServiceUnavailable", 1.0)]


def test_another_order_of_keys_is_only_slower() -> None:
    """The fast path knows the server's order; other frames are parsed."""
    verification = Verification()
    verifier = verification.verifier()
    reordered = b'{"eid":"e",' + envelope("update", update(5, 1)).replace(b'"eid":"e",', b"")[1:]
    feed(verifier, envelope("snapshot", snapshot(4)), reordered)
    assert verifier.view.rev == 5
    assert verification.faults() == {}


def test_a_fresh_snapshot_decides() -> None:
    """The frames must add up to a fresh snapshot of the hall."""
    verification = Verification()
    verifier = verification.verifier()
    feed(verifier, *stream(update(5, 1)))
    verifier.compare(verifier.view)
    right = verification.verifier("fresh")
    feed(right, envelope("snapshot", snapshot(5, occupied=(1, 2), since=5)))
    verifier.compare(right.view)
    assert "does not see the hall as it is at revision 5: seat 2 is VACANT" in verification.sentences()[-1]
