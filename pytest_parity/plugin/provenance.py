"""What the project adds to a golden's provenance, through the hook ``pytest_parity_provenance``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_parity.errors import UsageError

__all__ = ["provenance"]

_PROVENANCE = pytest.StashKey[dict[str, Any]]()


def provenance(config: pytest.Config) -> dict[str, Any]:
    """The hook's answers merged, the one registered last winning; asked once per process."""
    found = config.stash.get(_PROVENANCE, None)
    if found is None:
        found = {}
        # pluggy answers in the order last registered, first called.
        for answer in reversed(config.hook.pytest_parity_provenance(config=config)):
            found |= _checked(answer)
        config.stash[_PROVENANCE] = found
    return found


def _checked(answer: Any) -> Mapping[str, Any]:
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the hook pytest_parity_provenance returned {answer!r}, and a golden's manifest cannot hold it ({error}); "
            "return strings, numbers, lists and tables of them"
        ) from error
    if not isinstance(answer, Mapping):
        raise UsageError(
            f"the hook pytest_parity_provenance returned {answer!r}; return a table, as in {{'nemo': '3.0'}}"
        )
    if "environment" in answer:
        raise UsageError(
            "the hook pytest_parity_provenance returned 'environment', which goldens have already; rename it"
        )
    return answer
