"""The README's blocks, and its tutorial played as it stands there; run as a script, it prints what comes out now."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = "/home/me/tutorial"
"""Where the README's reader is."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, and its lines."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """Every fenced block, in order."""
    return [Block(*match.groups()) for match in _BLOCK.finditer(text)]


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading of the second level, up to the next."""
    return readme().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def play(place: Path) -> Iterator[tuple[str, str]]:
    """Follow the tutorial in a directory: edit as its diffs say, run its commands; yields (shown, actual) outputs."""
    shutil.copytree(
        ROOT / "examples" / "tutorial", place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "_*")
    )
    for block in blocks(section("Tutorial")):
        if block.language == "diff":
            edit(place, block.text)
        elif block.language == "console":
            command, _, shown = block.text.removeprefix("$ ").partition("\n")
            yield shown, run(place, command)


def edit(place: Path, diff: str) -> None:
    """Replace each line with ``-`` by the next one with ``+``, wherever it is."""
    lines = diff.splitlines()
    for before, after in zip(lines[::2], lines[1::2], strict=True):
        assert (before[0], after[0]) == ("-", "+")
        files = [path for path in sorted(place.glob("*.py")) if before[1:] in path.read_text(encoding="utf-8")]
        assert len(files) == 1, f"{before[1:]!r} is in {files or 'no file'} of the tutorial"
        text = files[0].read_text(encoding="utf-8")
        files[0].write_text(text.replace(before[1:], after[1:]), encoding="utf-8")


def run(place: Path, command: str) -> str:
    """What a command of pytest's prints on a terminal of 100 columns, without what is no part of the story."""
    program, *arguments = shlex.split(command)
    assert program == "pytest"
    ours = {"CI", "BUILD_NUMBER", "FORCE_COLOR", "PARITY_REF", "PY_COLORS", "PYTEST_ADDOPTS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=place,
        env=environment
        | {"COLUMNS": "100", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_parity.plugin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).replace(str(place.resolve()), HOME)


if __name__ == "__main__":
    for _, actual in play(Path(sys.argv[1])):
        sys.stdout.write(actual)
