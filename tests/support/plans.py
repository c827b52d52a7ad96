"""Random plans."""

from hypothesis import strategies as st

from seatsync.plan.model import Plan, Seat

_letters = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
_labels = st.none() | st.sampled_from(["A", "AA", "12a", "1", "2", "a b"]) | _letters
_numbers = st.sampled_from([1, 2, 3, 7, 2**31 - 1])
_coordinates = st.floats(-1_000_000, 1_000_000) | st.integers(-1000, 1000).map(float)
_sizes = st.just(32.0) | st.floats(0, 10_000, exclude_min=True)

_seats = st.builds(
    Seat,
    section=_labels,
    row=_numbers,
    row_label=_labels,
    place=_numbers,
    place_label=_labels,
    type=st.sampled_from(["Standard", "VIP"]) | _letters,
    x=_coordinates,
    y=_coordinates,
    width=_sizes,
    height=_sizes,
    rotation=st.just(0.0) | st.floats(-360, 360),
)


def _plan(seats: list[Seat], name: str | None) -> Plan:
    by_name = {seat.name: seat for seat in seats}
    kept = list({seat.position: seat for seat in by_name.values()}.values())
    rows, places = max(seat.row for seat in kept), max(seat.place for seat in kept)
    types = list(dict.fromkeys(seat.type for seat in kept))
    return Plan(name=name, rows=rows, places=places, seat_types=types, seats=kept)


plans = st.builds(_plan, st.lists(_seats, min_size=1, max_size=8), st.none() | _letters)
"""Plans that can be taken."""
