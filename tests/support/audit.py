"""Look for known vulnerabilities of what the image installs: ``make audit``.

pip-audit's exit status does not tell them from a database that cannot be reached, and where that has no answer for a
package it passes over it: an audit of nothing would succeed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCKS = [Path("seatsync/serve") / name for name in ("requirements.lock", "build.lock")]
LAST = 200
"""Characters of an error."""


def main() -> int:
    """Run pip-audit and print its findings; the exit status is 0 if every package was looked up and none has any."""
    options = ["--format", "json", "--progress-spinner", "off", "--require-hashes", "--disable-pip"]
    locks = [argument for lock in LOCKS for argument in ("--requirement", str(lock))]
    command = [sys.executable, "-m", "pip_audit", *options, *locks]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    sentences, status = report(done.stdout, done.stderr)
    for sentence in sentences:
        sys.stdout.write(f"{sentence}\n")
    return status


def report(output: str, errors: str) -> tuple[list[str], int]:
    """Sentences on what pip-audit has written, and the exit status."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except ValueError:
        reason = (errors.strip().splitlines() or ["it wrote nothing"])[-1][-LAST:]
        return [f"Nothing was audited: pip-audit did not reach its database of vulnerabilities ({reason})."], 1
    sentences = [
        f"{package['name']} {package['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    missing = [package["name"] for package in packages if "skip_reason" in package]
    if len(missing) == len(packages):
        sentences.append("Nothing was audited: the package index answers, but has no data on vulnerabilities.")
    elif missing:
        sentences.append(f"Not audited, for the package index does not know them: {', '.join(missing)}.")
    if sentences:
        return sentences, 1
    return [f"None of the {len(packages)} packages has a known vulnerability."], 0


if __name__ == "__main__":
    sys.exit(main())
