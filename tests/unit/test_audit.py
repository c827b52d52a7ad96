"""What ``make audit`` makes of pip-audit's output."""

import json
from typing import Any

from tests.support.audit import report

FINE = {"name": "trio", "version": "0.35.0", "vulns": []}
BAD = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "CVE-2025-43859", "fix_versions": ["0.16.0"]}]}
UNKNOWN = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited: rich (15.0.0)"}


def audit(*packages: dict[str, Any]) -> tuple[list[str], int]:
    """The report on these packages."""
    return report(json.dumps({"dependencies": packages, "fixes": []}), "")


def test_it_succeeds_where_all_were_looked_up() -> None:
    """And says how many there were."""
    assert audit(FINE, FINE) == (["None of the 2 packages has a known vulnerability."], 0)


def test_a_vulnerability_fails_it() -> None:
    """Package, vulnerability, and the version without it."""
    assert audit(FINE, BAD) == (["h11 0.14.0: CVE-2025-43859, mended in 0.16.0"], 1)


def test_a_package_without_an_answer_fails_it() -> None:
    """pip-audit leaves it out and succeeds."""
    sentences, status = audit(FINE, UNKNOWN)
    assert (sentences, status) == (["Not audited, for the package index does not know them: rich."], 1)
    assert audit(UNKNOWN) == (
        ["Nothing was audited: the package index answers, but has no data on vulnerabilities."],
        1,
    )


def test_a_database_out_of_reach_is_one_sentence() -> None:
    """With the last line of pip-audit's traceback."""
    ((sentence,), status) = report("", "Traceback …\nConnectionError: failed to resolve the name\n")
    assert sentence.startswith("Nothing was audited: pip-audit did not reach its database")
    assert sentence.endswith("(ConnectionError: failed to resolve the name).")
    assert status == 1
