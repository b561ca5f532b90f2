"""The pages: jinja2 templates with everything inlined, under a content security policy that names what they hold."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from pytest_parity.errors import UsageError
from pytest_parity.report.curve_model import CurvesDocument
from pytest_parity.report.strict import Places, strict
from pytest_parity.report.words import amount

__all__ = ["curves_page", "render"]

_FIRST = ("dom.js", "table.js", "theme.js")
"""Scripts are in the order in which they are read: what stands further down may use what stands above."""
_CURVES = (
    "curve_state.js",
    "curve_lines.js",
    "curve_scale.js",
    "curve_drawing.js",
    "curve_chart.js",
    "curve_panel.js",
    "curves.js",
)
_RUN = ("model.js", "chart.js", "tree.js", "sites.js", "site.js", "run.js", "case.js", "app.js")
_STYLES = ("style.css", "curves.css")


def render(document: Mapping[str, Any]) -> str:
    """The document (``report/model.py``) as one HTML file that needs nothing else: no network, no other file.

    Raises ``ModuleNotFoundError`` without jinja2, which torch brings along.
    """
    return _page(
        "page.html.j2",
        (*_FIRST, *_CURVES, *_RUN),
        document,
        title=f"parity: {_tally(document)}",
        tally=_tally(document),
        lines=[_line(case) for case in document["cases"]],
    )


def curves_page(document: CurvesDocument) -> str:
    """What ``parity curves`` found as one HTML file that needs nothing else; it is titled as the document is.

    Raises ``UsageError`` without jinja2.
    """
    if find_spec("jinja2") is None:
        raise UsageError("the page of curves needs jinja2: pip install 'pytest-parity[report]'")
    runs = sum(one["runs"] for one in document["experiments"])
    names = [one["name"] for one in document["experiments"]]
    judged = [row["headline"] for row in document["judged"]]
    return _page(
        "curves.html.j2",
        (*_FIRST, *_CURVES, "curves_page.js"),
        strict(document, Places()),
        title=document["title"],
        tally=f"{amount(len(document['experiments']), 'experiment')}, {amount(runs, 'run')}",
        lines=[*names, *document["differences"], *judged, *document["notes"]],
    )


def _page(template: str, scripts: Sequence[str], data: Mapping[str, Any], **told: Any) -> str:
    from jinja2 import Environment, FunctionLoader  # noqa: PLC0415  nothing but these pages needs it

    style = "".join(map(_asset, _STYLES))
    script = '"use strict";\n{\n' + "".join(map(_asset, scripts)) + "}\n"
    environment = Environment(autoescape=True, keep_trailing_newline=True, loader=FunctionLoader(_asset))
    environment.filters["inline"] = _inline
    page = environment.get_template(template).render(
        style=style, script=script, style_hash=_hash(style), script_hash=_hash(script), data=_data(data), **told
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
