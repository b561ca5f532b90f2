"""docs/loop.md: what it shows is what comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from readme import ROOT, Block, blocks, edit
from test_readme import mismatch

PAGE = blocks((ROOT / "docs" / "loop.md").read_text(encoding="utf-8"))


def played(place: Path) -> Iterator[tuple[str, str]]:
    """Follow the page in a directory; yields (shown, actual) outputs."""
    for block in PAGE:
        if block.language == "python" and is_file(block):
            (place / block.text.partition("\n")[0].removeprefix("# ")).write_text(block.text, encoding="utf-8")
        elif block.language == "diff":
            edit(place, block.text)
        elif block.language == "console":
            command, _, shown = block.text.removeprefix("$ ").partition("\n")
            program, script = command.split()
            assert program == "python"
            environment = {name: value for name, value in os.environ.items() if name not in {"CI", "PARITY_REF"}}
            done = subprocess.run(
                [sys.executable, script], cwd=place, env=environment, capture_output=True, text=True, check=False
            )
            yield sized(shown), sized(done.stdout + done.stderr)


def sized(text: str) -> str:
    """Without the size of a golden, of which its manifest's wording is a part."""
    return re.sub(r"[\d.]+ kB", "# kB", text)


def is_file(block: Block) -> bool:
    return block.text.startswith("# ") and block.text.partition("\n")[0].endswith(".py")


def test_the_page_comes_out_as_it_is_shown(place: Path) -> None:
    outputs = list(played(place))
    assert len(outputs) == 3
    for shown, actual in outputs:
        assert not mismatch(shown, actual), f"{mismatch(shown, actual)}\n\nwhat comes out now:\n\n{actual}"


def test_its_other_blocks_are_python() -> None:
    for block in PAGE:
        if block.language == "python":
            compile(block.text, "docs/loop.md", "exec")
