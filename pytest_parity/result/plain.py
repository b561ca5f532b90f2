"""Plain: values as dictionaries, lists, strings and numbers only."""

from __future__ import annotations

from enum import Enum
from typing import Any

__all__ = ["plain_dict"]


def plain_dict(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """The ``dict_factory`` of ``asdict`` that has an enum's value in its place."""
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}
