"""The number of inputs: few and fixed in `make test`, many and new in `make fuzz`.

Each test runs its share of ``FUZZ_INPUTS``. `make fuzz` runs a test of another folder, too, with more `rounds`.
"""

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy

_FEW = 1_500

#: Hypothesis remembers all that it has made in a run: more than this many at a time take too much memory.
_BATCH = 500

T = TypeVar("T")


def rounds(few: int, many: int) -> int:
    """The number of rounds of a test: few in `make test`, many in `make fuzz`."""
    return many if "FUZZ_INPUTS" in os.environ else few


def each(inputs: SearchStrategy[Sequence[T]], check: Callable[[T], None], share: float) -> None:
    """Check that share of the inputs, several at a time; the first failing one is shrunk and raised."""
    wanted = round(int(os.environ.get("FUZZ_INPUTS", _FEW)) * share)
    is_fixed = "FUZZ_INPUTS" not in os.environ
    tried = batches = 0

    def check_all(values: Sequence[T]) -> None:
        nonlocal tried
        for value in values:
            tried += 1
            check(value)

    while tried < wanted:
        run = hypothesis.given(inputs)(check_all)
        run = hypothesis.settings(
            max_examples=min(_BATCH, max(1, (wanted - tried) // 8)),
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )(run)
        if is_fixed:
            run = hypothesis.seed(batches)(run)
        run()
        batches += 1
