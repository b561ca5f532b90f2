"""Strict: plain data as JSON has it, without numbers that it has not and without places that name a user."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Number", "Places", "strict"]

Number = float | int | str
"""Finite, or one of ``"inf"``, ``"-inf"``, ``"nan"``."""


class Places:
    """Takes absolute paths out of texts: what is below one of them is told from there on, the longest first."""

    def __init__(self, places: Iterable[Path] = ()) -> None:
        found = {str(place) for place in places} | {os.path.realpath(place) for place in places}
        known = sorted((place for place in found if place != os.path.dirname(place)), key=len, reverse=True)  # noqa: PTH120
        self._places = frozenset(known)
        named = "|".join(map(re.escape, dict.fromkeys([*known, str(Path.home())])))
        self._named = re.compile(rf"(?<![\w.-])({named})({re.escape(os.sep)}(?=[^\s])|(?![\w.-]))")

    def __call__(self, text: str) -> str:
        """The text with them shortened."""
        return self._named.sub(self._shorter, text) if os.sep in text else text

    def _shorter(self, found: re.Match[str]) -> str:
        place, behind = found.groups()
        if place not in self._places:  # it is the home directory, which names its user
            return f"~{behind}"
        return "" if behind else "."


def strict(value: Any, places: Places) -> Any:
    """A value as JSON has it: plain, what is not finite as strings, and no absolute path."""
    if isinstance(value, str):
        return places(str(value))
    if isinstance(value, dict):
        return {places(str(key)): strict(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item, places) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    number = value if type(value) is float else value.item() if hasattr(value, "item") else str(value)
    return str(number) if isinstance(number, float) and not math.isfinite(number) else number
