"""Albums: views are shared where they are equal, and forgotten before they fill the memory."""

from seatsync.load.view import Album, Change, Step, View


def view(rev: int, status: str = "VACANT") -> View:
    """A hall of one seat."""
    return View("a", rev, {1: (status, "t0", None)}, {1: (1, 1, 0, 0, 0)})


def test_equal_views_of_a_revision_are_one() -> None:
    """Whoever got there first."""
    album = Album()
    first = album.keep(view(1))
    assert album.keep(view(1)) is first
    assert album.find("a", 1) is first


def test_the_first_view_of_a_revision_is_the_known_one() -> None:
    """A different one does not take its place."""
    album = Album()
    first = album.keep(view(1))
    other = view(1, "OCCUPIED")
    assert album.keep(other) is other
    assert album.find("a", 1) is first


def test_old_views_are_forgotten_with_their_steps() -> None:
    """Or a client that stands still would keep everything since then alive."""
    album = Album()
    first = album.keep(view(0))
    first.steps[b"frame"] = step = Step(first, album.keep(view(1)), 1, 10)
    for rev in range(2, 400):
        album.keep(view(rev))
    assert album.find("a", 0) is None
    assert not first.steps
    assert step.is_over


def test_a_step_is_not_over_while_somebody_may_make_it_or_is_not_accounted_for() -> None:
    """Both count."""
    origin = view(0)
    step = Step(origin, view(1), 1, 10)
    origin.steps[b"frame"] = step
    assert not step.is_over
    origin.steps.clear()
    step.received.append(1.0)
    assert not step.is_over


def test_merging_keeps_what_did_not_change() -> None:
    """As existing clients merge: by id. The view before stays as it was."""
    before = View("a", 4, {1: ("VACANT", "t0", None), 2: ("VACANT", "t0", None)}, {1: (2, 2, 0, 0, 0)})
    after = Album().merge(before, Change(5, 5, {2: ("OCCUPIED", "t1", "x")}, {1: (2, 1, 0, 1, 0)}))
    assert after.rev == 5
    assert after.seats == {1: ("VACANT", "t0", None), 2: ("OCCUPIED", "t1", "x")}
    assert before.seats[2] == ("VACANT", "t0", None)


def test_a_difference_is_told_in_words() -> None:
    """The first of them."""
    assert view(1).difference(view(1, "OCCUPIED")) == "seat 1 is VACANT/t0/no note, not OCCUPIED/t0/no note"
    assert view(1).difference(View("a", 1, {}, {})) == "seat 1 is VACANT/t0/no note, not absent"
