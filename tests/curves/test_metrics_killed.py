"""What a kill leaves of a metrics file, and what another process reads of one that grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("killed_writer.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")


def ran(scenario: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, SCRIPT, scenario, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_kill_at_any_moment_loses_no_more_than_what_was_not_flushed(tmp_path: Path):
    seen = ran("kills", tmp_path)
    assert seen["wrong"] == []
    assert seen["resumed"] == seen["moments"] == 90
    assert seen["journals"] > 45


def test_a_file_is_read_while_another_process_writes_it(tmp_path: Path):
    seen = ran("beside", tmp_path)
    assert seen["sorted"]
    assert seen["seen"] > 5
    assert seen["journals"]
