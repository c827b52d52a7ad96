"""Plans as files: the format is recognised by what is in it, not by the name."""

from typing import Any

from seatsync import jsontext
from seatsync.plan import native, pretix, table
from seatsync.plan.faults import Faults, PlanError
from seatsync.plan.lines import Lines
from seatsync.plan.model import FORMAT, Plan
from seatsync.plan.rules import shown

#: Four times what the largest hall needs.
MAX_BYTES = 2**25

WRITERS = {"json": native.write, "csv": table.write}
"""Functions that make a file's text of a plan, by the name of the format."""


def read(data: bytes, name: str) -> Plan:
    """The plan of a file; ``name`` is that of the file, for the errors. Raises `PlanError` with all faults."""
    text = _text(data, name)
    if text.lstrip()[:1] in {"{", "["}:
        return _read_json(text, name)
    faults = Faults(name, table.locate)
    return table.read(text, faults).plan(faults)


def _text(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise PlanError(f"{name} has more than {MAX_BYTES:,} bytes, which no plan has.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    if "\0" in text:
        raise PlanError(f"{name} is not text (it has a zero byte); a plan is JSON or CSV.")
    if not text.strip():
        raise PlanError(f"{name} is empty.")
    return text


def _read_json(text: str, name: str) -> Plan:
    try:
        document: Any = jsontext.loads(text)
    except jsontext.JSONDecodeError as error:
        raise PlanError(f"{name} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
    faults = Faults(name, Lines(text).locate)
    if not isinstance(document, dict):
        raise PlanError(f"{name} is no plan: an object is needed, not {shown(document)}.")
    if document.get("format") == FORMAT:
        return native.read(document, faults).plan(faults)
    if "format" not in document and "zones" in document:
        return pretix.read(document, faults).plan(faults)
    raise PlanError(f'{name} is no plan that is known: it has neither "format": "{FORMAT}" nor the zones of pretix.')
