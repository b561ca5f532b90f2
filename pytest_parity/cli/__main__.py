"""``python -m pytest_parity.cli`` is ``parity``."""

from __future__ import annotations

import sys

from pytest_parity.cli import main

if __name__ == "__main__":
    sys.exit(main())
