"""Views: equal ones are shared, and old ones evicted before they fill the memory."""

from seatsync.load.view import Step, View, Views, merge


def view(rev: int, status: str = "VACANT") -> View:
    """A hall of one seat."""
    return View("a", rev, {1: (status, "t0", None)}, {1: (1, 1, 0, 0, 0)})


def test_equal_views_of_a_revision_are_one() -> None:
    """Of equal views of a revision the first is shared."""
    views = Views()
    first = views.intern(view(1))
    assert views.intern(view(1)) is first
    assert views.find("a", 1) is first


def test_the_first_view_of_a_revision_is_the_known_one() -> None:
    """A different view does not replace the first of a revision."""
    views = Views()
    first = views.intern(view(1))
    other = view(1, "OCCUPIED")
    assert views.intern(other) is other
    assert views.find("a", 1) is first


def test_old_views_are_evicted_with_their_steps() -> None:
    """An old view is evicted with its steps, which would keep later views alive."""
    views = Views()
    first = views.intern(view(0))
    first.steps[b"frame"] = step = Step(first, views.intern(view(1)), 1, 10)
    for rev in range(2, 400):
        views.intern(view(rev))
    assert views.find("a", 0) is None
    assert not first.steps
    assert step.is_over


def test_a_step_is_not_over_while_it_can_be_made_or_is_not_counted() -> None:
    """A step is unfinished while it can be made or is not counted."""
    origin = view(0)
    step = Step(origin, view(1), 1, 10)
    origin.steps[b"frame"] = step
    assert not step.is_over
    origin.steps.clear()
    step.received.append(1.0)
    assert not step.is_over


def test_merging_keeps_what_did_not_change() -> None:
    """Lists merge by id, as in existing clients. The view before is unchanged."""
    before = View("a", 4, {1: ("VACANT", "t0", None), 2: ("VACANT", "t0", None)}, {1: (2, 2, 0, 0, 0)})
    seat = {"id": 2, "status": "OCCUPIED", "updated_at": "t1", "note": "x"}
    counts = {"VACANT": 1, "RESERVED": 0, "OCCUPIED": 1, "MAINTENANCE": 0}
    update = {"rev": 5, "seats": [seat], "seat_types": [{"id": 1, "seats_count": 2, "seats": counts}]}
    after = merge(before, update)
    assert after.rev == 5
    assert after.seats == {1: ("VACANT", "t0", None), 2: ("OCCUPIED", "t1", "x")}
    assert after.counts == {1: (2, 1, 0, 1, 0)}
    assert before.seats[2] == ("VACANT", "t0", None)


def test_a_difference_is_a_phrase() -> None:
    """A difference is described by its first item."""
    assert view(1).difference(view(1, "OCCUPIED")) == "seat 1 is VACANT/t0/no note, not OCCUPIED/t0/no note"
    assert view(1).difference(View("a", 1, {}, {})) == "seat 1 is VACANT/t0/no note, not absent"
