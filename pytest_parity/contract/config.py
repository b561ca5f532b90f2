"""Two configurations side by side, as plain nested tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_parity.result import Difference

__all__ = ["config_differences", "flattened"]

_ABSENT = "absent"


def config_differences(golden: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What a configuration says otherwise than the golden's, by dotted key."""
    theirs, ours = dict(flattened(golden)), dict(flattened(here))
    return tuple(
        Difference("config", key, str(theirs.get(key, _ABSENT)), str(ours.get(key, _ABSENT)))
        for key in dict.fromkeys([*theirs, *ours])
        if (key in theirs) != (key in ours) or theirs[key] != ours[key]
    )


def flattened(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with its dotted key: ``model.layers.0.width``; an empty table or list is a value."""
    if isinstance(config, Mapping) and config:
        items = [(str(key), value) for key, value in config.items()]
    elif isinstance(config, (list, tuple)) and config:
        items = [(str(place), value) for place, value in enumerate(config)]
    else:
        yield prefix, config
        return
    for key, value in items:
        yield from flattened(value, f"{prefix}.{key}" if prefix else key)
