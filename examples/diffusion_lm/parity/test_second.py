"""A second implementation against the same goldens: the same to rounding, though next to nothing is done in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_cases import AR, MDLM, VOCABULARY, OpenSession, build, pretrain
from second import AR_NAMES, MDLM_NAMES, UNCUT, SecondAutoregressive, SecondDiffusion

from pytest_parity import Comparison, ParityFailure
from pytest_parity.settings import Mode

SECOND = {MDLM: (SecondDiffusion, MDLM_NAMES), AR: (SecondAutoregressive, AR_NAMES)}


def checked(session: OpenSession, case: str, **options: Any) -> Comparison:
    """Train the second implementation by a golden."""
    kind, names = SECOND[case]
    parity = session(case, names=names, ignore=UNCUT, **options)
    pretrain(parity, kind(VOCABULARY))
    comparison = parity.finish()
    assert isinstance(comparison, Comparison)
    return comparison


@pytest.mark.parametrize("case", SECOND)
def test_it_agrees(case: str, session: OpenSession) -> None:
    """Everything that it computes, within the noise floors, in all three steps; but for what it does not compute apart."""
    comparison = checked(session, case)
    assert comparison.passed
    assert comparison.counts["ignored"] == 36
    assert comparison.compared == comparison.expected - 36


def test_without_streams_of_their_own_times_and_masks_are_others(session: OpenSession, tmp_path: Path) -> None:
    """The twin: recorded with one stream for the whole step, which the two draw from in another order."""
    own = {"root": tmp_path, "rng": "global"}
    reference = session(MDLM, mode=Mode.RECORD, **own)
    pretrain(reference, build(MDLM))
    reference.finish()
    with pytest.raises(ParityFailure, match=r"step 0: noise.clock is the first module .*corruption.times"):
        checked(session, MDLM, **own)
