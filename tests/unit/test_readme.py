"""The pages against the code: every table is complete, every name exists, every number is the constant's."""

import argparse
import re
from collections.abc import Iterator
from configparser import ConfigParser
from types import SimpleNamespace

import attrs
import pytest
import yaml
from prometheus_client.core import CounterMetricFamily

from seatsync import errors
from seatsync.cli import main as cli
from seatsync.cli.protocol import methods as declared_methods
from seatsync.config import SETTINGS, load_settings
from seatsync.core.bucket import BURST_S
from seatsync.core.connections.connection import MAX_SUBSCRIPTIONS, MAX_WRITES
from seatsync.core.http.cookies import SESSION_LIFETIME_S
from seatsync.core.http.exchange import MAX_HEAD_BYTES
from seatsync.core.http.pages import PATHS
from seatsync.core.net.limits import BUSY_CONNECTIONS, SOCKETS_PER_REQUEST, SPARE_SOCKETS, SPARE_SOCKETS_PER_PEER
from seatsync.core.net.listen import BACKLOG
from seatsync.core.net.stream import SLOW_BYTES
from seatsync.core.protocol.envelope import MAX_EID_BYTES
from seatsync.core.protocol.registry import Access, Method
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode
from seatsync.errors import statuses
from seatsync.hall.messages import MAX_NOTE_CHARACTERS, MAX_SEATS, STATUSES, SeatChange
from seatsync.hall.writes import group_commit
from seatsync.load.stats import Count, Kind
from seatsync.load.stats import Timing as Measured
from seatsync.load.totals import BUSY
from seatsync.schema.types import Schemas, texts_of
from seatsync.user.totp import STEP_S
from tests.faults import blocked, crashes, feed, guesses, herd, holds, hostile, network, slow
from tests.faults.drill import DRILLS
from tests.support.readme import PROTOCOL, ROOT, Pages, names
from tests.support.schemas import check_frame, validator

WHO = {
    Access.ANYONE: "anyone",
    Access.IDENTIFIED: "anyone",
    Access.READ: "reader",
    Access.USER: "user",
    Access.WRITE: "writer",
}

NOT_SETTINGS = {
    "PYTHON",
    "ARGS",
    "TEST_DATABASE_URL",
    "POSTGRES_PASSWORD",
    "SERVER_PASSWORD",
    "COMPOSE_PROJECT_NAME",
    "TOKEN",
}
"""Variables of make, of the tests, of Compose and of shells."""

LIMITS = [
    ("a message", "`MAX_MESSAGE_BYTES`", f"closed with {CloseCode.TOO_BIG}"),
    ("an eid", f"{MAX_EID_BYTES} bytes", ""),
    ("a note", f"{MAX_NOTE_CHARACTERS} characters", ""),
    ("the seats of one `hall.update_seats`", f"{MAX_SEATS:,}", ""),
    ("the head of an HTTP request", f"{MAX_HEAD_BYTES // 1024} KiB", ""),
    ("subscriptions of a connection", f"{MAX_SUBSCRIPTIONS}", ""),
    ("writes in flight of a connection", f"{MAX_WRITES}", ""),
    ("from a request to its outcome", f"{max(Timing().query_s, Timing().write_s):g} s", ""),
    ("frames a second of a connection", "`MESSAGES_PER_SECOND`", f"closed with {CloseCode.POLICY}"),
    ("frames a second of an address", f"as many as {BUSY_CONNECTIONS} connections", ""),
    ("HTTP requests and handshakes a second of an address", "`REQUESTS_PER_SECOND`", ""),
    ("names an address asks for in a minute", "`LOOKUPS_PER_MINUTE`", ""),
    ("connections", "`MAX_CONNECTIONS`", f"closed with {CloseCode.TRY_LATER}"),
    ("connections of an address", "`MAX_CONNECTIONS_PER_ADDRESS`", ""),
    ("from connecting to the first request", f"{Timing().head_s:g} s", ""),
]
"""The rows of the table of limits: subject, limit, and text of the third column."""

NUMBERS = [
    ("Limits", f"a token bucket that holds {BURST_S:g} s of them"),
    ("Limits", f"{SPARE_SOCKETS} sockets more, {SPARE_SOCKETS_PER_PEER} more of one address"),
    ("Limits", f"beyond {SOCKETS_PER_REQUEST} for each request it may send"),
    ("Limits", f"once {SLOW_BYTES // 1024} KiB wait for it"),
    ("Limits", f"After {Timing().slow_for_s:g} s without that, it is closed with {CloseCode.TOO_SLOW}"),
    ("Connections", f"silent for {Timing().ping_after_s:g} s"),
    ("Connections", f"nothing at all for {Timing().drop_after_s:g} s"),
    ("Messages in, messages out", f"a string of at most {MAX_EID_BYTES} bytes"),
    ("Messages in, messages out", f"up to {MAX_WRITES} of them"),
    ("Methods", f"1 to {MAX_SEATS:,} different seats"),
    ("Signing in", f"a session, for {SESSION_LIFETIME_S // 86_400} days"),
    ("Signing in", f"{STEP_S} s, one step of drift"),
    ("Several servers", f"up to {Timing().metrics_write_s:g} s old"),
    ("Several servers", f"until they are {Timing().metrics_stale_s:g} s old"),
    ("Behind nginx", f"every {Timing().ping_after_s:g} s"),
    ("The times", f"more than {BUSY:.0%} of a core".replace("%", " %")),
    ("The kernel", f"{BACKLOG:,} at most are used"),
]
"""Sentences with a number that is a constant of the code."""

MOST_ARGUMENTS = 5
"""The arguments of a command with more are not listed."""


def methods() -> dict[str, Method]:
    """Every method."""
    return {method.name: method for method in declared_methods()}


def test_every_method_is_in_the_table(pages: Pages) -> None:
    """With its aliases, who may call it, and the names of its parameters."""
    documented = {
        tuple(names(name)): (who, {parameter.rstrip("?") for parameter in names(data)})
        for name, who, data, _ in pages.rows("Methods")
    }
    assert documented == {
        (method.name, *method.aliases): (
            WHO[method.access],
            {field.name.rstrip("_") for field in attrs.fields(method.params)},
        )
        for method in methods().values()
    }


def test_every_answer_is_in_the_table(pages: Pages) -> None:
    """The names of the objects that a method sends, and of a list's items."""
    objects = {names(name)[0] for name, *_ in pages.rows("Objects")}
    for name, _, _, answer in pages.rows("Methods"):
        method, schemas = methods()[names(name)[0]], Schemas()
        sent = str([schemas.of(type_) for type_ in (method.result, method.update)])
        assert objects.intersection(names(answer)) == set(re.findall(r"#/\$defs/(\w+)", sent)), name


def test_every_parameter_of_a_seat_is_named(pages: Pages) -> None:
    """The fields of an item of `hall.update_seats` are documented."""
    (listed,) = re.findall(r"different seats, each with (.*?);", pages.prose("Methods"))
    assert [name.rstrip("?") for name in names(listed)] == [field.name for field in attrs.fields(SeatChange)]
    assert all(f"`{status}`" in pages.prose("Methods") for status in STATUSES)


def test_every_method_has_an_example(pages: Pages) -> None:
    """Every method has an example under its own heading, which begins with a request."""
    examples = pages.by_path[PROTOCOL].examples()
    assert set(examples) == set(methods())
    assert {name: frames[0]["type"] for name, frames in examples.items()} == {name: name for name in examples}
    assert all(len(frames) >= 2 for frames in examples.values())


def test_every_example_is_of_the_protocol(pages: Pages) -> None:
    """Every request, reply and update fits the schemas, and has no field besides."""
    validators = {name: validator(f"{name}.request") for name in methods()}
    frames = [frame for frames in pages.by_path[PROTOCOL].examples().values() for frame in frames]
    for frame in frames:
        if "status" in frame:
            check_frame(frame)
        else:
            validators[frame["type"]](frame)


def test_every_object_is_in_the_table(pages: Pages) -> None:
    """Every object that is sent, with its fields and what it is."""
    schemas = Schemas()
    for method in methods().values():
        for type_ in (method.result, method.update):
            schemas.of(type_)
    objects = {name: schema for name, schema in schemas.named.items() if schema["type"] == "object"}
    assert {names(name)[0]: (meaning, names(fields)) for name, meaning, fields in pages.rows("Objects")} == {
        name: (
            schema["description"].rstrip("."),
            [field + "?" * (field not in schema["required"]) for field in schema["properties"]],
        )
        for name, schema in objects.items()
    }


def test_every_setting_is_in_the_table(pages: Pages) -> None:
    """Name, default and meaning, in the order of `.env.example`."""
    rows = [(*names(name), "".join(names(default)), meaning) for name, default, meaning in pages.rows("Settings")]
    assert rows == [(setting.name, setting.default, setting.help) for setting in SETTINGS]


def test_every_error_is_in_the_table(pages: Pages) -> None:
    """Every error has code, HTTP statuses, default message and advice, or is called reserved."""
    rows = pages.rows("Errors")
    reserved = _reserved_errors(pages)
    assert {
        names(code)[0]: ([int(number) for number in status.split(", ")], meaning) for code, status, meaning, _ in rows
    } == {code: (statuses(code), error.sentence()) for code, error in errors.BY_CODE.items() if code not in reserved}
    assert all(todo for _, _, _, todo in rows)


def test_reserved_is_what_nothing_sends(pages: Pages) -> None:
    """Reserved are exactly the errors that no code raises."""
    source = _source()
    sent = {code for code in errors.BY_CODE if re.search(rf"(raise |errors\.|'){code}\b|\b{code}\(", source)}
    assert set(errors.BY_CODE) - sent == _reserved_errors(pages)


def test_every_close_code_is_in_the_table(pages: Pages) -> None:
    """Meaning and advice are the words of the code."""
    rows = {int(names(code)[0]): (meaning, advice) for code, meaning, advice in pages.rows("Close codes")}
    texts = texts_of(CloseCode)
    assert set(rows) == set(CloseCode)
    for code in CloseCode:
        meaning, _, advice = texts[code.name].rstrip(".").partition(": ")
        assert rows[code] == (meaning, advice or "\N{EN DASH}")


def test_every_command_is_in_the_table(pages: Pages) -> None:
    """Every command is in the table with its arguments and its help text."""
    rows = [(names(usage)[0], meaning) for usage, meaning in pages.rows("Commands")]
    assert rows == list(_commands(cli._parser(), "seatsync"))


def test_every_promise_has_its_drill(pages: Pages) -> None:
    """Each drill stands behind one promise, and each promise names drills that there are."""
    assert all((blocked, crashes, feed, guesses, herd, holds, hostile, network, slow)), "importing them fills DRILLS"
    named = [drill for _, drills in pages.rows("Promises") for drill in names(drills)]
    assert sorted(named) == sorted(DRILLS)


def test_every_target_of_make_is_in_the_table(pages: Pages) -> None:
    """Every target of make is in the table with its text in `make help`."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z0-9-]+):.*##  ?(.+)$", makefile, re.MULTILINE)
    assert [(names(target)[0], meaning) for target, meaning in pages.rows("Targets of make")] == targets


def test_every_metric_is_in_the_table(pages: Pages) -> None:
    """By the name that Prometheus shows."""
    rows = [(names(name)[0], kind, meaning) for name, kind, meaning in pages.rows("Metrics")]
    metrics = Metrics()
    group_commit(SimpleNamespace(unlocked=None), SimpleNamespace(), metrics, Timing())  # type: ignore[arg-type]
    assert rows == [
        (family.name + "_total" * isinstance(family, CounterMetricFamily), family.type, family.documentation)
        for family in metrics.collect()
    ]


def test_the_limits_are_those_of_the_code(pages: Pages) -> None:
    """Every row, with the constant or the setting."""
    rows = pages.rows("Limits")
    assert [tuple(row[:2]) for row in rows] == [(limit, value) for limit, value, _ in LIMITS]
    for (*_, beyond), (*_, expected) in zip(rows, LIMITS, strict=True):
        assert expected in beyond
        assert set(names(beyond)) <= set(errors.BY_CODE) | {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(("heading", "sentence"), NUMBERS)
def test_the_numbers_are_those_of_the_code(pages: Pages, heading: str, sentence: str) -> None:
    """Every number in the text is that of a constant."""
    assert sentence in pages.prose(heading)


def test_a_pod_has_the_time_to_stop(pages: Pages) -> None:
    """Kubernetes kills it later than it ends by itself, and its delay outlasts the probes that fail."""
    (example,) = pages.with_heading("Stopping behind a balancer").code("yaml")
    pod = yaml.safe_load(example)["spec"]
    (container,) = pod["containers"]
    environ = {variable["name"]: variable["value"] for variable in container["env"]}
    settings = load_settings(environ, dotenv=None)
    margin_s = int(Timing().worker_end_s)
    assert f"`DRAIN_DELAY` + `DRAIN_TIMEOUT` + {margin_s} s" in pages.prose("Stopping behind a balancer")
    assert pod["terminationGracePeriodSeconds"] > settings.drain_delay_s + settings.drain_timeout_s + margin_s
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings.drain_delay_s
    assert {probe["httpGet"]["path"], container["livenessProbe"]["httpGet"]["path"]} < PATHS


def test_every_dependency_is_in_the_table(pages: Pages) -> None:
    """The table has exactly the packages that `setup.cfg` requires, in any order."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = [re.split(r"[\[><=!~ ;]", line)[0] for line in setup["options"]["install_requires"].split("\n") if line]
    assert sorted(names(package)[0] for package, *_ in pages.rows("Dependencies")) == sorted(required)


def test_every_option_of_load_is_in_the_table(pages: Pages) -> None:
    """Those of all scenarios together; an option may have a row for each of its meanings."""
    (load,) = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    (scenarios,) = (
        action for action in load.choices["load"]._actions if isinstance(action, argparse._SubParsersAction)
    )
    options = {
        option
        for scenario in scenarios.choices.values()
        for action in scenario._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    assert {option for cell, *_ in pages.rows("Options") for option in names(cell)} == options


def test_every_figure_and_fault_of_load_is_in_a_table(pages: Pages) -> None:
    """Every count, time and fault of the results is in a table, by name and in order."""
    assert [count for counts, *_ in pages.rows("The counts") for count in names(counts)] == list(Count)
    assert [names(time)[0] for time, *_ in pages.rows("The times")] == list(Measured)
    assert [names(fault)[0] for fault, *_ in pages.rows("The faults")] == list(Kind)


def test_every_event_of_an_operator_is_in_the_table(pages: Pages) -> None:
    """Those of level warning and above."""
    source = "\n".join(path.read_text() for path in (ROOT / "seatsync").rglob("*.py"))
    logged = set(re.findall(r'logger\.(?:warning|error|exception)[(,]\s*"(\w+)"', source))
    assert {event for cell, _ in pages.rows("Events") for event in names(cell)} == logged


def test_every_fixture_exists(pages: Pages) -> None:
    """Every fixture on the contributors' page exists."""
    conftests = ("tests/conftest.py", "tests/integration/conftest.py", "tests/e2e/conftest.py")
    text = "".join((ROOT / name).read_text() for name in conftests)
    fixtures = set(re.findall(r"@pytest\.fixture\n(?:async )?def (\w+)", text))
    assert {name for cell, _ in pages.rows("Fixtures") for name in names(cell)} == fixtures


def test_variables_in_the_examples_are_settings(pages: Pages) -> None:
    """Every variable in the examples is a setting."""
    assigned = {
        name
        for page in pages.by_path.values()
        for block in page.blocks
        if block.language in {"sh", "console", ""}
        for name in re.findall(r"\b([A-Z][A-Z_]+)=", block.text)
    }
    assert assigned <= {setting.name for setting in SETTINGS} | NOT_SETTINGS


def _reserved_errors(pages: Pages) -> set[str]:
    (sentence,) = re.findall(r"((?:`\w+`[, and]*)+) (?:is|are) reserved", pages.prose("Errors"))
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
                    arguments = [*(text for text in arguments if text[0] not in "[-"), "[OPTION …]"]
                yield " ".join([path, choice.dest, *arguments]), choice.help or ""


def _argument(action: argparse.Action) -> str:
    if isinstance(action, argparse._HelpAction):
        return ""
    metavar = action.metavar or action.dest.upper()
    if not action.option_strings:
        optional = {argparse.REMAINDER: f"[{metavar} …]", "*": f"[{metavar} …]", "?": f"[{metavar}]"}
        return optional.get(str(action.nargs), str(metavar))
    text = action.option_strings[-1] if action.nargs == 0 else f"{action.option_strings[-1]} {metavar}"
    return text if action.required else f"[{text}]"
