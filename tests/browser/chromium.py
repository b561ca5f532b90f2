"""Which browser there is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

Open = Callable[..., Any]
"""Opens the report of a document, at an address within it, in a page of its own."""

NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """Its path: what ``PARITY_BROWSER`` says, else the first that is installed."""
    return os.environ.get("PARITY_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


def flags() -> list[str]:
    """What it needs to run as root, as in a container."""
    return ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
