"""The JSON Schema of the format, which stands in ``plan.schema.json``."""

import json

from seatsync.plan.model import Plan
from seatsync.schema.types import Schemas


def document() -> str:
    """The schema as the file has it."""
    schemas = Schemas(closed=True)
    plan = schemas.object(Plan)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Plan", **plan, "$defs": schemas.named}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
