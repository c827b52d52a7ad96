"""The command line of the benchmarks: see the package."""

import argparse
import resource
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.bench.arithmetic import rotated
from tests.bench.catalogue import MEASURES
from tests.bench.entrants import open_field
from tests.bench.machine import Cores, describe, load_average, running_on
from tests.bench.measure import Bench, Measure
from tests.bench.processes import ROOT, BenchError
from tests.bench.report import table, write_report
from tests.bench.results import Outcome, Results, today
from tests.bench.samples import take_samples
from tests.bench.site import SEATS_SYNC, open_site

_ROUNDS = 5


def main() -> int:
    """Run the measures of the command line and print them; save them if they were full, of the usual entrants."""
    options = _arguments()
    _allow_descriptors()
    chosen = [measure for measure in MEASURES if not options.measures or measure.name in options.measures]
    results = Results.load()
    with ExitStack() as stack:
        bench = _set_up(stack, options)
        described = describe(bench.field.node_ws)
        for measure in chosen:
            outcome = _take(bench, measure, options, described)
            results.outcomes[measure.name] = outcome
            _say(table(measure, outcome))
            if options.written:
                results.save()
    if options.written:
        _say(f"Written: {write_report(results).relative_to(ROOT)}")
    return 0


def _arguments() -> argparse.Namespace:
    names = [measure.name for measure in MEASURES]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"all unless named: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"rounds of each entrant (default: {_ROUNDS})")
    parser.add_argument("--only", action="append", help="this entrant alone; may be given again")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another copy of the project takes part too")
    parser.add_argument("--quick", action="store_true", help="short rounds, nothing written")
    options = parser.parse_args()
    options.written = not (options.quick or options.only or options.against)
    unknown = set(options.measures) - set(names)
    if unknown or options.rounds < 1:
        parser.error(f"unknown: {', '.join(sorted(unknown))}" if unknown else "at least one round is needed")
    return options


def _set_up(stack: ExitStack, options: argparse.Namespace) -> Bench:
    cores = Cores.pick()
    field = stack.enter_context(open_field(cores))
    site = stack.enter_context(open_site(cores))
    stack.enter_context(running_on({cores.client}))
    ours = {SEATS_SYNC: ROOT}
    if options.against is not None:
        ours[f"{SEATS_SYNC} in {options.against}"] = options.against.resolve()
    return Bench(cores, field, site, take_samples(site), ours, options.quick, stack)


def _take(bench: Bench, measure: Measure, options: argparse.Namespace, described: dict[str, str]) -> Outcome:
    """All rounds of a measure; an entrant that fails in one is left out, with the reason."""
    _say(f"\n{measure.title}")
    outcome = Outcome(
        today(), described, load_average(), len(bench.samples.update), len(bench.samples.hall), bench.field.absent
    )
    entrants = [name for name in measure.entrants(bench) if not options.only or name in options.only]
    for turn in range(options.rounds):
        for entrant in rotated(entrants, turn):
            if entrant in outcome.absent:
                continue
            try:
                values = measure.run(bench, entrant)
            except BenchError as error:
                outcome.absent = {**outcome.absent, entrant: str(error)}
                _say(f"  {entrant}: {error}")
                continue
            outcome.rounds.add(entrant, values)
            figures = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            _say(f"  {turn + 1} {entrant}: {figures}")
    return outcome


def _allow_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
