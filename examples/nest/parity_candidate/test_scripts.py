"""The two training scripts that are recorded and checked from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest

NEST = Path(__file__).parents[1]


@pytest.mark.parametrize("script", ["nemo_pretrain.py", "nest_ssl/train.py", "nest_ssl/config/tiny.yaml"])
def test_a_script_has_no_word_of_parity(script: str) -> None:
    """Whoever trains with it need not have heard of this project."""
    assert "parity" not in (NEST / script).read_text(encoding="utf-8").lower()
