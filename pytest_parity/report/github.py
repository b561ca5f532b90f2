"""What GitHub Actions shows of a run: a line for each failing case beside its code."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pytest_parity.report.model import Document

__all__ = ["LIMIT", "error_lines", "on_github"]

LIMIT = 10
"""Errors that GitHub shows of one step; of more it tells nothing."""
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


def on_github() -> bool:
    """Whether this runs in a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def error_lines(document: Document, prefix: str = "") -> Iterator[str]:
    """A workflow command for each failing case, as many as are shown; ``prefix`` is where the project is in its repository."""
    failing = [case for case in document["cases"] if case["outcome"] == "failed"]
    for place, case in enumerate(failing[:LIMIT]):
        properties = {"title": f"parity: {case['case']}"}
        if case["file"]:
            properties["file"] = f"{prefix}{case['file']}"
            properties.update({"line": str(case["line"])} if case["line"] else {})
        text = case["headline"]
        if place == LIMIT - 1 and len(failing) > LIMIT:
            text += f"\n... and {len(failing) - LIMIT} more failing cases, which GitHub would not show; see the job's summary"
        given = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in sorted(properties.items()))
        yield f"::error {given}::{_escaped(text, _DATA)}"


def _escaped(text: str, characters: dict[str, str]) -> str:
    return "".join(characters.get(character, character) for character in text)
