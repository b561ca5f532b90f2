"""kill -9 at any moment of a recording: the old golden verifies, or the new one, and the next recording succeeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("way", ["swap", "renames"])
def test_a_kill_at_any_moment_leaves_a_whole_golden(tmp_path: Path, way: str) -> None:
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "root", way], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    by_time = [result for result in results if result["place"] == "by time"]
    inside = [result for result in results if result["place"].startswith("commit: ")]
    assert len(by_time) == (20 if way == "swap" else 5)
    assert sum(result["killed"] for result in by_time) >= len(by_time) // 2
    assert len(inside) >= 5
    assert all(result["killed"] for result in results if result["place"] != "by time")
    for result in results:
        assert result["left"] in (1.0, 2.0), result
        assert result["after"] == 3.0, result
        assert result["litter"] == ["tiny"], result
    assert {result["left"] for result in inside} == {1.0, 2.0}
