"""Entry: where one observation lies in a golden."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_parity.site import Site

__all__ = ["NONE", "Entry"]

NONE = "none"
"""The ``dtype`` of an observation that was ``None``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One observation of a golden: its site, its place in the execution order, and where its bytes are.

    ``dtype`` is torch's name (``float32``), or ``none``. ``offset`` counts from the start of ``file`` (relative to the
    golden's directory, ``/`` between its parts); an alias is resolved, so that ``file`` may belong to an earlier step.
    """

    site: Site
    step: int
    order: int
    dtype: str
    shape: tuple[int, ...]
    digest: str
    file: str
    offset: int
    nbytes: int
