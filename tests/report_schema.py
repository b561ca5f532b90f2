"""The published schema of reports, closed: what it does not name is an error here, although a later version may add it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).parents[1] / "docs" / "report.schema.json"


def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    own = {name: closed(one) for name, one in schema.items()}
    free = "properties" not in schema or "additionalProperties" in schema or "required" not in schema
    return own if free else {**own, "additionalProperties": False}


def problems(document: Any) -> list[str]:
    """What of a document is not as the schema has it."""
    validator = jsonschema.Draft202012Validator(closed(published()))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def read_strictly(text: str) -> Any:
    """JSON without NaN and infinities, as every parser reads it."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)
