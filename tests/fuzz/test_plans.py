"""Any file is a plan, or is refused in sentences."""

import json
from contextlib import suppress

from hypothesis import strategies as st

from seatsync.plan.faults import MAX_SHOWN, PlanError
from seatsync.plan.files import WRITERS, read
from tests.fuzz.inputs import each
from tests.fuzz.strategies import VALUES, variants
from tests.support.plans import plans

PRETIX = {
    "name": "Opera",
    "zones": [
        {
            "name": "Stalls",
            "position": {"x": 1, "y": 2},
            "rows": [
                {
                    "row_number": "A",
                    "seats": [{"seat_number": "1", "position": {"x": 1.5, "y": 2}, "radius": 8, "category": "A"}],
                }
            ],
        }
    ],
}


@st.composite
def odd(draw: st.DrawFn) -> bytes:
    """pretix's JSON, or ours, with other values somewhere."""
    whole = draw(st.sampled_from([PRETIX]) | plans.map(lambda plan: json.loads(WRITERS["json"](plan))))
    at = whole = json.loads(json.dumps(whole))
    while True:  # until a value has been replaced
        key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if draw(st.booleans()) or not isinstance(at[key], dict | list) or not at[key]:
            at[key] = draw(VALUES)
            return json.dumps(whole).encode(errors="replace")
        at = at[key]


files = odd() | st.builds(lambda plan, write: write(plan).encode(), plans, st.sampled_from([*WRITERS.values()]))


def check(data: bytes) -> None:
    """A plan that can be written, or so many sentences at most."""
    try:
        plan = read(data, "plan")
    except PlanError as error:
        lines = str(error).splitlines()
        assert 1 <= len(lines) <= MAX_SHOWN + 2
        assert all(line.endswith(".") for line in lines)
        return
    for name, write in WRITERS.items():
        assert read(write(plan).encode(), name).seats


def test_files() -> None:
    """Ours, pretix's and CSV, damaged."""
    each(variants(files), check, 0.5)
    each(variants(st.binary()), check, 0.1)
    with suppress(PlanError):
        check(b"{" * 2000)
