"""What a person sees after each fault of `faults.py`, kept as text in `failures/`; NEST_FAILURES=write writes it again."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from faults import FAULTS, Fault
from nest_ssl import NEST_NAMES
from omegaconf import DictConfig
from pretraining import pretrain

from pytest_parity import Parity, ParityFailure
from pytest_parity.report import failure_text
from pytest_parity.settings import Mode, Settings

KEPT = Path(__file__).parent / "failures"
NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?(e[+-]\d+)?")


def failure(fault: Fault, config: DictConfig, goldens: Path, out: Path) -> str:
    """The text of the failure, the modules looked at alone, as `pytest` shows it."""
    parity = Parity(Settings(mode=Mode.CHECK, case="nest/tiny", root=goldens, out=out, names=NEST_NAMES))

    def body(session: Parity) -> None:
        pretrain(session, config, fault=fault)

    with pytest.raises(ParityFailure) as caught:
        pretrain(parity, config, fault=fault)
    parity.abandon()
    assert caught.value.comparison is not None
    return failure_text(parity.isolated(caught.value.comparison, parity.repeating(body)))


def told(text: str) -> list[str]:
    """What is above the table, without its numbers: those are a machine's."""
    return NUMBER.sub("#", text.partition("\n\n")[0]).split("\n")


@pytest.mark.parametrize("name", FAULTS)
def test_a_newcomer_sees_this(name: str, tiny: DictConfig, goldens: Path, tmp_path: Path) -> None:
    """The bug in the first line, and below it why, as far as it can be tested."""
    kept = KEPT / f"{name}.txt"
    seen = failure(FAULTS[name], tiny, goldens, tmp_path / "out")
    if os.environ.get("NEST_FAILURES") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(f"{seen}\n", encoding="utf-8")
    assert told(seen) == told(kept.read_text(encoding="utf-8"))


def test_every_text_that_is_kept_is_of_a_fault() -> None:
    """None is left of a fault that is gone."""
    assert {path.stem for path in KEPT.iterdir()} == set(FAULTS)


def test_another_word_would_be_noticed() -> None:
    """The comparison leaves numbers out, and nothing else."""
    assert told("blocks.1 is 4,538 floors off (0.5e-07)\n\nsite") == told("blocks.2 is 9 floors off (3)\n\nother")
    assert told("blocks.1.att differs") != told("blocks.1.conv differs")
