from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run, contents

OTHER = "import torch\ndef test_other(parity): parity.assert_close('x', torch.ones(2))"


def test_only_what_does_not_exist_is_written(run: Run, recorded: Path, pytester: pytest.Pytester):
    before = contents(recorded.parent / "golden")
    pytester.makepyfile(test_two=OTHER)
    result = run("--parity-record-missing")
    result.stdout.re_match_lines([r"=+ 1 passed, 1 recorded in .*"])
    assert before.items() <= contents(recorded.parent / "golden").items()
    assert (recorded.parent / "golden/test_two/test_other/golden.json").is_file()


def test_what_exists_is_checked(recorded: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester):
    before = contents(recorded.parent / "golden")
    monkeypatch.setenv("SCALE", "2")
    assert pytester.runpytest("--parity-record-missing").ret == 1
    assert contents(recorded.parent / "golden") == before


def test_it_excludes_record(one_test: Path, pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-record", "--parity-record-missing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--parity-record writes every golden*give one of them*"])
