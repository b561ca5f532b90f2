"""Each fault of `lm_faults.py`, put into a model alone, fails the check, and the first line names its module."""

from __future__ import annotations

import re

import pytest
from lm_cases import AR, MDLM, OpenSession, build, pretrain
from lm_faults import FAULTS

from pytest_parity import ParityFailure


@pytest.mark.parametrize("case", [MDLM, AR])
def test_without_a_fault_the_check_passes(case: str, session: OpenSession) -> None:
    """The twin of every test below."""
    parity = session(case)
    pretrain(parity, build(case))
    assert parity.finish().passed


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_line_names_the_module(name: str, session: OpenSession) -> None:
    """What a person reads first is where the fault is."""
    fault = FAULTS[name]
    with pytest.raises(ParityFailure) as caught:
        pretrain(session(fault.case), build(fault.case), fault=fault.apply)
    first = str(caught.value).partition("\n")[0]
    print(f"{name}: {first}")
    assert re.match(rf"{fault.case}( step 0)?: {re.escape(fault.module)}(?![\w.])", first), first
