"""How many frames one client process of `seatsync load` takes in and verifies: `python -m tests.bench.client_speed`.

Two figures: what arrived in a second, which is bounded by `tests.bench.blaster` and by who else uses the machine, and
frames for each second of CPU time of the client process, which is what a core of its own could take in.
"""

import argparse
import json
import subprocess
import sys

from attrs import frozen

from tests.bench.processes import ROOT

#: The blaster stops a little before the load does, so that all of its frames count.
_MARGIN_S = 1.5


@frozen
class Speed:
    """One run."""

    frames: int
    seconds: float
    cpu_s: float
    faults: int


def main() -> int:
    """Measure for each burst size and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 4, 16], help="frames in one send")
    options = parser.parse_args()
    _say(f"{options.subscribers} subscribers of one client process")
    _say(f"{'frames a send':>13} {'frames/s':>10} {'per CPU second':>15} {'CPU µs a frame':>15} {'faults':>7}")
    for burst in options.bursts:
        speed = measure(options.subscribers, options.seconds, burst)
        _say(
            f"{burst:>13} {speed.frames / speed.seconds:>10,.0f} {speed.frames / speed.cpu_s:>15,.0f} "
            f"{speed.cpu_s / speed.frames * 1e6:>15.2f} {speed.faults:>7}"
        )
    return 0


def measure(subscribers: int, seconds: float, burst: int) -> Speed:
    """Have a blaster send for that long to that many subscribers of one process."""
    blaster = [sys.executable, "-m", "tests.bench.blaster", str(subscribers), str(seconds), str(burst)]
    with subprocess.Popen(blaster, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            load = [sys.executable, "-m", "seatsync", "load", "watch", "--url", f"ws://127.0.0.1:{port}/ws"]
            load += ["--hall", "1", "-n", str(subscribers), "--same-eid", "--rate", "0", "--json", "-", "--quiet"]
            load += ["--duration", str(seconds + _MARGIN_S)]
            printed = subprocess.run(load, cwd=ROOT, stdout=subprocess.PIPE, check=False).stdout
        finally:
            process.kill()
    result = json.loads(printed)
    frames = result["rates"]["frames"] * result["load_s"]
    return Speed(round(frames), seconds, result["processes"][0]["cpu_s"], result["faults"]["total"])


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
