"""``python -m tests.faults``: run drills, print what they find, write it down."""

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

from tests.faults import blocked, crashes, feed, guesses, herd, holds, hostile, network, slow
from tests.faults.drill import DRILLS, Drill, Outcome, Skipped, Stage
from tests.faults.results import Result, describe, write_results
from tests.support.places import scratch_directory

_MODULES = (feed, crashes, slow, herd, network, hostile, blocked, guesses, holds)
"""Importing them fills `DRILLS`."""

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> int:
    """Run the drills of the command line; 1 if one found a fault or was late."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Fault drills on real processes.")
    parser.add_argument("drills", metavar="DRILL", nargs="*", help="which to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the drills")
    parser.add_argument("--quick", action="store_true", help="shorter waits and fewer clients")
    parser.add_argument("--results", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    if unknown := [name for name in options.drills if name not in DRILLS]:
        parser.error(f"there is no drill {', '.join(unknown)}; --list names them")
    chosen = [one for one in DRILLS.values() if not options.drills or one.name in options.drills]
    if options.list:
        for one in chosen:
            _say(f"{one.name:28} {one.meaning}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a drill has started ends with it
    results = [_run(one, quick=options.quick) for one in chosen]
    if options.results:
        write_results(RESULTS, results, quick=options.quick)
    failed = [result.drill.name for result in results if not result.fine]
    _say(f"{len(results) - len(failed)} of {len(results)} drills fine" + (f"; not: {', '.join(failed)}" * bool(failed)))
    return 1 if failed else 0


def _run(one: Drill, *, quick: bool) -> Result:
    """One drill, on a stage of its own."""
    _say(f"{one.name}: {one.meaning}")
    began = time.monotonic()
    skipped, outcome = "", Outcome()
    with scratch_directory() as directory:
        try:
            outcome = one.run(Stage(directory, quick))
        except Skipped as error:
            skipped = str(error)
        except Exception as error:  # noqa: BLE001 - the other drills are run all the same
            traceback.print_exc()
            outcome.faults.append(f"the drill broke down: {type(error).__name__}: {error}")
            _show_logs(directory)
    result = Result(one, outcome, skipped, time.monotonic() - began)
    _say(describe(result))
    return result


def _show_logs(directory: Path) -> None:
    for path in sorted(directory.rglob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-15:]
        _say("\n".join([f"-- {path.name}", *lines]))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
