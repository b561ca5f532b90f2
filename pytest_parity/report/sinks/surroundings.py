"""Surroundings: a library used at the end of somebody's test run, without a trace of that in the run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["undisturbed"]


@contextmanager
def undisturbed(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the environment's ``variables`` that nobody has set, for as long; warnings, which may be errors there, are ignored."""
    own = {name: value for name, value in variables.items() if name not in os.environ}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ.update(own)
        try:
            yield
        finally:
            for name in own:
                os.environ.pop(name, None)
