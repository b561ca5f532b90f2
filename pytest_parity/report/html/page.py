"""The page: a jinja2 template with everything inlined, under a content security policy that names what it holds."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pytest_parity.report.words import amount

__all__ = ["render"]

_SCRIPTS = ("dom.js", "model.js", "chart.js", "tree.js", "sites.js", "site.js", "run.js", "case.js", "app.js")
"""In the order in which they are read: what stands further down may use what stands above."""


def render(document: Mapping[str, Any]) -> str:
    """The document (``report/model.py``) as one HTML file that needs nothing else: no network, no other file.

    Raises ``ModuleNotFoundError`` without jinja2, which torch brings along.
    """
    from jinja2 import Environment  # noqa: PLC0415  nothing but this report needs it

    style = _asset("style.css")
    script = '"use strict";\n{\n' + "".join(_asset(name) for name in _SCRIPTS) + "}\n"
    environment = Environment(autoescape=True, keep_trailing_newline=True)
    environment.filters["inline"] = _inline
    page = environment.from_string(_asset("page.html.j2")).render(
        title=f"parity: {_tally(document)}",
        tally=_tally(document),
        lines=[_line(case) for case in document["cases"]],
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_data(document),
    )
    return page.encode(errors="replace").decode()  # half a character in a name cannot be written to a file


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(document: Mapping[str, Any]) -> str:
    """JSON that no browser takes for markup, whatever a name holds: nothing of ``<``, ``>`` and ``&`` is left."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _inline(text: str) -> Any:
    from markupsafe import Markup  # noqa: PLC0415  of jinja2

    return Markup(text)  # noqa: S704  our own style and script, and data without any character of markup


def _tally(document: Mapping[str, Any]) -> str:
    counts = document["run"]["outcomes"]
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items() if count)
    return f"{amount(len(document['cases']), 'case')}: {told}" if told else "no case"


def _line(case: Mapping[str, Any]) -> str:
    return f"{case['outcome']}: {case['headline']}"
