"""The published schema of plans."""

import json

import fastjsonschema
import pytest

from seatsync.plan.files import WRITERS, read
from seatsync.plan.schema import document
from tests.support.documents import PLAN_SCHEMA

validate = fastjsonschema.compile(json.loads(document()) | {"$schema": "http://json-schema.org/draft-07/schema"})

CSV = b"section,row,place,place_label,rotation\n,1,1,,4.5\nBalcony,1,1,12a,\n"


def test_the_file_is_made_anew() -> None:
    """`make protocol` writes it."""
    assert PLAN_SCHEMA.read_text() == document()


def test_what_is_written_fits_the_schema() -> None:
    """Every plan."""
    validate(json.loads(WRITERS["json"](read(CSV, "plan"))))


@pytest.mark.parametrize(
    "damage", [{"row": 0}, {"x": 1e7}, {"width": 0}, {"place_label": " A"}, {"section": ""}, {"colour": "red"}]
)
def test_what_is_refused_does_not_fit(damage: dict[str, object]) -> None:
    """The checks are those of the schema."""
    plan = json.loads(WRITERS["json"](read(CSV, "plan")))
    plan["seats"][0].update(damage)
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate(plan)
