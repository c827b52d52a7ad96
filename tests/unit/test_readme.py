"""The README against the code: every table is complete, every name exists, every link leads somewhere."""

import argparse
import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import attrs
import pytest
from prometheus_client.core import CounterMetricFamily

from seatsync import errors
from seatsync.cinema.methods import CinemaMethods
from seatsync.cli import main as cli
from seatsync.config import SETTINGS, load_settings
from seatsync.core.bucket import BURST_S
from seatsync.core.connections.connection import MAX_SUBSCRIPTIONS, MAX_WRITES
from seatsync.core.connections.table import DROP_AFTER_S, PING_AFTER_S, SLOW_FOR_S
from seatsync.core.http.exchange import HEAD_S, MAX_HEAD_BYTES
from seatsync.core.net.gate import SOCKETS_PER_REQUEST, SPARE_SOCKETS, SPARE_SOCKETS_PER_PEER
from seatsync.core.net.limits import BUSY_CONNECTIONS
from seatsync.core.net.stream import SLOW_BYTES
from seatsync.core.postgres import group_commit as writer
from seatsync.core.postgres import pool as db
from seatsync.core.protocol.envelope import MAX_EID_BYTES
from seatsync.core.protocol.registry import Access, Method, Registry
from seatsync.core.telemetry.metrics import Exposition, Metrics
from seatsync.core.tokens import SESSION_LIFETIME_S, Tokens
from seatsync.core.websocket.socket import CloseCode
from seatsync.hall.messages import MAX_NOTE_CHARACTERS, MAX_SEATS, STATUSES, SeatChange
from seatsync.hall.methods import HallMethods
from seatsync.user.methods import UserMethods
from seatsync.user.totp import STEP_S
from tests.faults import crashes, feed, herd, network, slow
from tests.faults.drill import DRILLS
from tests.support.readme import README, ROOT, Page, names, read_page

WHO = {Access.ANYONE: "anyone", Access.READ: "reader", Access.USER: "user", Access.WRITE: "writer"}

NOT_SETTINGS = {"PYTHON", "ARGS", "TEST_DATABASE_URL", "POSTGRES_PASSWORD", "TOKEN"}
"""Variables of make, of the tests, of Compose and of shells."""

LIMITS = [
    ("Limits", f"may have {MAX_SUBSCRIPTIONS} subscriptions, and {MAX_WRITES} writes under way"),
    ("Limits", f"An eid has at most {MAX_EID_BYTES} bytes, a note at most {MAX_NOTE_CHARACTERS} characters"),
    ("Limits", f"at most {MAX_SEATS:,} seats, the head of an HTTP request at most {MAX_HEAD_BYTES // 1024} KiB"),
    ("Limits", f"no outcome after {db.DEADLINE_S:g} s"),
    ("Limits", f"no outcome after {writer.DEADLINE_S:g} s"),
    ("Limits", f"once {SLOW_BYTES // 1024} KiB wait for it"),
    ("Limits", f"after {SLOW_FOR_S:g} s it is closed with {CloseCode.TOO_SLOW}"),
    ("Limits", f"did not use in the last {BURST_S:g} s"),
    ("Limits", f"closed with {CloseCode.POLICY}"),
    ("Limits", f"what {BUSY_CONNECTIONS} connections may"),
    ("Limits", f"closed with {CloseCode.TRY_LATER}"),
    ("Limits", f"{SPARE_SOCKETS} sockets more, {SPARE_SOCKETS_PER_PEER} more of one address"),
    ("Limits", f"beyond {SOCKETS_PER_REQUEST} for each request it may send"),
    ("Limits", f"no request begins within {HEAD_S:g} s"),
    ("Messages in, messages out", f"a string of at most {MAX_EID_BYTES} bytes"),
    ("Messages in, messages out", f"up to {MAX_WRITES} of them"),
    ("Messages in, messages out", f"silent for {PING_AFTER_S:g} s"),
    ("Messages in, messages out", f"nothing at all for {DROP_AFTER_S:g} s"),
    ("Methods", f"1 to {MAX_SEATS:,} different seats"),
    ("Signing in", f"a session, for {SESSION_LIFETIME_S // 86_400} days"),
    ("Signing in", f"{STEP_S} s, one step of drift"),
    ("Behind nginx", f"every {PING_AFTER_S:g} s"),
]

MOST_ARGUMENTS = 5
"""Of a command with more the page says no more than that."""


@pytest.fixture(scope="module")
def page() -> Page:
    """The README."""
    return read_page()


def methods() -> dict[str, Method]:
    """Every method, of a registry without anything behind it."""
    nothing = cast("Any", None)
    tokens = Tokens("s" * 32, cookie_secure=False)
    registry = Registry(
        [
            *UserMethods(nothing, tokens, load_settings({}, dotenv=None)).table(),
            *CinemaMethods(nothing).table(),
            *HallMethods(nothing, nothing).table(),
        ],
        public_view=True,
    )
    return {method.name: method for method in registry}


def test_every_method_is_in_the_table(page: Page) -> None:
    """With its aliases, who may call it, and the names of its parameters."""
    documented = {
        tuple(names(name)): (who, {parameter.rstrip("?") for parameter in names(data)})
        for name, who, data, _ in page.rows("Methods")
    }
    assert documented == {
        (method.name, *method.aliases): (WHO[method.access], {field.name for field in attrs.fields(method.params)})
        for method in methods().values()
    }


def test_every_parameter_of_a_seat_is_named(page: Page) -> None:
    """What an item of `hall.update_seats` may hold."""
    (listed,) = re.findall(r"different seats, each with (.*?);", page.prose("Methods"))
    assert [name.rstrip("?") for name in names(listed)] == [field.name for field in attrs.fields(SeatChange)]
    assert all(f"`{status}`" in page.prose("Methods") for status in STATUSES)


def test_every_method_has_an_example(page: Page) -> None:
    """Under a heading of its own, a request for it first."""
    examples = page.examples()
    assert set(examples) == set(methods())
    assert {name: frames[0]["type"] for name, frames in examples.items()} == {name: name for name in examples}
    assert all(len(frames) >= 2 for frames in examples.values())


def test_every_setting_is_in_the_table(page: Page) -> None:
    """Name, default and meaning, in the order of `.env.example`."""
    rows = [(*names(name), "".join(names(default)), meaning) for name, default, meaning in page.rows("Settings")]
    assert rows == [(setting.name, setting.default, setting.help) for setting in SETTINGS]


def test_every_error_is_in_the_table(page: Page) -> None:
    """Code, HTTP statuses, the sentence it is told with, and something to do about it; or it is called reserved."""
    statuses: defaultdict[str, set[int]] = defaultdict(set)
    for error in _every_error(errors.SeatSyncError):
        statuses[error.code].add(error.http_status)
    rows = page.rows("Errors")
    reserved = _reserved_errors(page)
    assert {
        names(code)[0]: ({int(number) for number in status.split(", ")}, meaning) for code, status, meaning, _ in rows
    } == {code: (statuses[code], error.sentence()) for code, error in errors.BY_CODE.items() if code not in reserved}
    assert all(todo for _, _, _, todo in rows)


def test_reserved_is_what_nothing_sends(page: Page) -> None:
    """Nobody should have to write code for it, and nobody should miss what is sent after all."""
    source = _source()
    sent = {code for code in errors.BY_CODE if re.search(rf"(raise |errors\.|'){code}\b|\b{code}\(", source)}
    assert set(errors.BY_CODE) - sent == _reserved_errors(page)


def test_every_close_code_is_in_the_table(page: Page) -> None:
    """Meaning and advice are the words of the code."""
    rows = {int(names(code)[0]): (meaning, advice) for code, meaning, advice in page.rows("Close codes")}
    texts = _texts_of(CloseCode)
    assert set(rows) == set(CloseCode)
    for code in CloseCode:
        meaning, _, advice = texts[code.name].rstrip(".").partition(": ")
        assert rows[code] == (meaning, advice or "\N{EN DASH}")


def test_every_command_is_in_the_table(page: Page) -> None:
    """With its arguments, and with what its help says."""
    rows = [(names(usage)[0], meaning) for usage, meaning in page.rows("Commands", 1)]
    assert rows == list(_commands(cli._parser(), "seatsync"))


def test_every_promise_has_its_drill(page: Page) -> None:
    """Each drill stands behind one promise, and each promise names drills that there are."""
    assert all((crashes, feed, herd, network, slow)), "importing them fills DRILLS"
    named = [drill for _, drills in page.rows("Promises") for drill in names(drills)]
    assert sorted(named) == sorted(DRILLS)


def test_every_target_of_make_is_in_the_table(page: Page) -> None:
    """With what `make help` says."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):.*##  ?(.+)$", makefile, re.MULTILINE)
    assert [(names(target)[0], meaning) for target, meaning in page.rows("Commands")] == targets


def test_every_metric_is_in_the_table(page: Page) -> None:
    """By the name that Prometheus shows."""
    rows = [(names(name)[0], kind, meaning) for name, kind, meaning in page.rows("Metrics")]
    assert rows == [
        (family.name + "_total" * isinstance(family, CounterMetricFamily), family.type, family.documentation)
        for family in Exposition(Metrics()).collect()
    ]


def test_the_limits_are_those_of_the_code(page: Page) -> None:
    """Every number in the text is that of a constant."""
    for heading, sentence in LIMITS:
        assert sentence in page.prose(heading)


def test_variables_in_the_examples_are_settings(page: Page) -> None:
    """A name that nothing reads would be a typing error."""
    assigned = {
        name
        for block in page.blocks
        if block.language in {"sh", "console", ""}
        for name in re.findall(r"\b([A-Z][A-Z_]+)=", block.text)
    }
    assert assigned <= {setting.name for setting in SETTINGS} | NOT_SETTINGS


def test_every_path_on_the_page_exists(page: Page) -> None:
    """A tour of rooms that have moved would lead astray."""
    text = README.read_text()
    paths = set(re.findall(r"`((?:seatsync|sql|tests|\.ci)/[\w./]+)`", text))
    missing = {path for path in paths if not (ROOT / path).exists()}
    assert len(paths) > 15
    assert not missing


def test_every_link_leads_somewhere(page: Page) -> None:
    """To a heading of the page, or to a file beside it."""
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in page.sections}
    for target in re.findall(r"\]\(([^)]+)\)", README.read_text()):
        known = target.removeprefix("#") in anchors if target.startswith("#") else (ROOT / target).exists()
        assert known, target


def _every_error(root: type[errors.SeatSyncError]) -> Iterator[type[errors.SeatSyncError]]:
    for child in root.__subclasses__():
        yield child
        yield from _every_error(child)


def _texts_of(cls: type) -> dict[str, str]:
    """The strings that stand under the members of a class."""
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for member, text in pairwise(definition.body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(member.targets[0])] = str(text.value.value)
    return found


def _reserved_errors(page: Page) -> set[str]:
    (sentence,) = re.findall(r"((?:`\w+`[, and]*)+) are reserved", page.prose("Errors"))
    return set(names(sentence))


def _source() -> str:
    """All of the code but the tree of errors."""
    files = [*(ROOT / "seatsync").rglob("*.py"), *(ROOT / "sql").rglob("*.sql")]
    return "\n".join(path.read_text() for path in files if path.name != "errors.py")


def _commands(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, str]]:
    """Each command with its arguments, and what it is for."""
    for group in parser._actions:
        if not isinstance(group, argparse._SubParsersAction):
            continue
        for choice in group._choices_actions:
            command = group.choices[choice.dest]
            if command._subparsers is not None:
                yield from _commands(command, f"{path} {choice.dest}")
            else:
                arguments = [text for text in map(_argument, command._actions) if text]
                if len(arguments) > MOST_ARGUMENTS:
                    arguments = ["[OPTION …]"]
                yield " ".join([path, choice.dest, *arguments]), choice.help or ""


def _argument(action: argparse.Action) -> str:
    if isinstance(action, argparse._HelpAction):
        return ""
    metavar = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"[{metavar} …]" if action.nargs in {argparse.REMAINDER, "*"} else str(metavar)
    text = action.option_strings[-1] if action.nargs == 0 else f"{action.option_strings[-1]} {metavar}"
    return text if action.required else f"[{text}]"
