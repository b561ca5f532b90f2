"""Report files: which suffixes there are, whether a file can be written, and writing it whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from pytest_parity.errors import UsageError
from pytest_parity.report.markdown import markdown
from pytest_parity.report.model import Document

__all__ = ["check_report", "write_report", "write_text"]

_OURS = "pytest-parity"
_BEGINNING = 4096
"""Bytes in which a report says that it is one."""


def check_report(path: Path, option: str) -> None:
    """Raise ``UsageError`` for a file that could not be written at the end, naming the ``option`` as it was typed."""
    if path.suffix not in _RENDERED:
        raise UsageError(f"{option}: a report is a .json, .md or .html file; give it one of these suffixes")
    if path.suffix == ".html" and find_spec("jinja2") is None:
        raise UsageError(f"{option}: an HTML report needs jinja2: pip install 'pytest-parity[report]'")
    if not path.parent.is_dir():
        raise UsageError(f"{option}: there is no directory {path.parent}; make it first: mkdir -p {path.parent}")
    if path.is_dir():
        raise UsageError(f"{option}: that is a directory; name a file in it, as in {path / f'report{path.suffix}'}")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UsageError(f"{option}: {path} cannot be written; give another place, or make this one writable")
    if path.exists() and not _is_ours(path):
        raise UsageError(
            f"{option}: {path} is there already, and pytest-parity did not write it; give another name, or remove it"
        )


def write_report(path: Path, document: Document) -> None:
    """Write a document as the file's suffix says; raises ``OSError`` where that cannot be done."""
    write_text(path, _RENDERED[path.suffix](document))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises ``OSError`` where that cannot be done."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether a report was written there before, or nothing: what a person wrote is never written over."""
    with path.open("rb") as file:
        content = file.read(_BEGINNING)
    return not content or _OURS.encode() in content


def _json(document: Document) -> str:
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _html(document: Document) -> str:
    from pytest_parity.report.html import render  # noqa: PLC0415  it needs jinja2

    return render(document)


_RENDERED: dict[str, Callable[[Document], str]] = {".json": _json, ".md": markdown, ".html": _html}
