"""NeMo's own pretraining, recorded; without `--parity-record`, NeMo checked against what was recorded before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from omegaconf import DictConfig
from workload import PARAMETERS, STEPS

from pytest_parity import Valid

if TYPE_CHECKING:
    from pytest_parity import Parity


HOP = 160
"""Samples of a mel frame."""
GROUP = 8
"""Mel frames of a token."""

pytestmark = pytest.mark.filterwarnings("ignore")  # NeMo's imports and its Trainer warn of their own future


def token_lengths(batch: object) -> torch.Tensor:
    """How many tokens of each clean utterance hold audio; the rest is padding, which quantizes to a tie of all codes."""
    frames = batch.audio_len // HOP  # type: ignore[attr-defined]
    return (frames + GROUP - 1) // GROUP


VALID = {
    "quantizer/out.0": Valid(dim=2, lengths=token_lengths),
    "quantizer/out.1": Valid(dim=1, lengths=token_lengths),
    "loss/in.2": Valid(dim=1, lengths=token_lengths),
}


@pytest.mark.parity("nest/tiny", valid=VALID)
def test_pretraining(parity: Parity, tiny: DictConfig) -> None:
    """Three steps in training mode, with the configuration's dropouts, dither and masking."""
    from nemo_model import Pretraining, build_model  # noqa: PLC0415  after the warnings are off

    model = parity.load(build_model(tiny))
    optimizer, schedule = model._optimizer, model._scheduler["scheduler"]  # noqa: SLF001  where NeMo keeps them
    pretraining = Pretraining(model)
    with parity.watch(model, optimizer=optimizer) as run:
        for number, batch in enumerate(run.steps(model._train_dl, limit=STEPS)):  # noqa: SLF001
            loss, log_probs = pretraining.step(batch, number)
            assert loss.isfinite(), f"step {number}: no token of the batch is masked; choose another parity_seed"
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            parity.assert_step(outputs=log_probs, loss=loss)


@pytest.mark.parity("nest/full")
def test_full_structure(parity: Parity, full: DictConfig) -> None:
    """The full configuration: names, shapes and dtypes of its 113,106,000 parameters, and no tensor."""
    from nemo_model import build_model  # noqa: PLC0415

    model = build_model(full)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS
    parity.assert_structure(model)
