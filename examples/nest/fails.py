"""``python -m examples.nest.fails COMMAND ...``: the command must find something, and exit with 1; 0 and 2 are failures."""

from __future__ import annotations

import subprocess
import sys


def main() -> int:
    """Run it, and turn its exit status round."""
    status = subprocess.call(sys.argv[1:])  # noqa: S603  what the caller asks for
    print(f"exit status {status}, {'as it must be' if status == 1 else 'and 1 is expected'}")
    return 0 if status == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
