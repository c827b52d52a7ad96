"""Plans come back from their files as they were."""

from hypothesis import given, settings

from seatsync.plan.files import WRITERS, read
from seatsync.plan.model import Plan
from tests.support.plans import plans


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(plans)
def test_a_plan_comes_back_from_its_file(plan: Plan) -> None:
    """Every seat, exactly; and what is written then is the same, byte for byte. CSV has no name of the hall."""
    for name, write in WRITERS.items():
        text = write(plan)
        back = read(text.encode(), name)
        assert sorted(back.seats, key=repr) == sorted(plan.seats, key=repr)
        assert (back.rows, back.places) == (plan.rows, plan.places)
        assert back.name == (plan.name if name == "json" else None)
        assert write(back) == text
