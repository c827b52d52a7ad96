"""A measure, and what it needs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import Factory, frozen

from tests.bench.arithmetic import Values
from tests.bench.entrants import Field
from tests.bench.machine import Cores
from tests.bench.processes import Server
from tests.bench.samples import Samples
from tests.bench.site import Site

T = TypeVar("T")


@frozen
class Bench:
    """Everything that a measure works with; made once for a run."""

    cores: Cores
    field: Field
    site: Site
    samples: Samples
    ours: Mapping[str, Path]
    """Our entrants: the project's directory, and another one to compare it with if there is one."""
    quick: bool
    """Short rounds: to see that everything works, not for figures."""
    _stack: ExitStack
    _kept: dict[Callable[["Bench"], AbstractContextManager[Any]], Any] = Factory(dict)

    def keep(self, opener: Callable[["Bench"], AbstractContextManager[T]]) -> T:
        """What a measure opens once for all its rounds; closed at the end of the run."""
        if opener not in self._kept:
            self._kept[opener] = self._stack.enter_context(opener(self))
        kept: T = self._kept[opener]
        return kept

    def scaled(self, full: int, quick: int) -> int:
        """A size of the load: the full one, unless it is to be quick."""
        return quick if self.quick else full

    @property
    def all_entrants(self) -> list[str]:
        """The field and ours."""
        return [*self.field.programs, *self.ours]

    @contextmanager
    def server(self, entrant: str, answer: bytes = b"{}") -> Iterator[Server]:
        """A server of any of `all_entrants`; one of the field answers all with ``answer``. Raises `BenchError`."""
        if entrant in self.ours:
            with self.site.run(self.ours[entrant]) as server:
                yield server
        else:
            with self.field.run(entrant, answer) as server:
                yield server


@frozen
class Figure:
    """A column of a measure's table."""

    key: str
    heading: str
    places: int = 1
    """Digits after the point."""


@frozen
class Measure:
    """One comparison."""

    name: str
    """Its name on the command line."""
    title: str
    about: str
    """How it is measured, and what its figures mean."""
    figures: tuple[Figure, ...]
    entrants: Callable[[Bench], list[str]]
    run: Callable[[Bench, str], Values]
    """One round of one entrant. Raises `BenchError`."""
    compared: str = ""
    """The figure whose ratios are printed."""
    baseline: str = ""
    """The entrant they are ratios to."""


def ours_alone(bench: Bench) -> list[str]:
    """The entrants of a measure that the field has no part in."""
    return list(bench.ours)


#: Streams that were not whole, in order and without repetition: it has to be 0.
FAULTS = Figure("faults", "missing, repeated, reordered", 0)
