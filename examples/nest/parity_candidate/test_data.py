"""nest_ssl's own loader, under the seeds of the recording, gives the batches that NeMo's loader gave."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from nest_ssl import AudioNoiseBatch, build_loader
from omegaconf import DictConfig

from pytest_parity import Golden, Kind, Site
from pytest_parity.capture import Streams, kept_generators

AUDIO = ("audio", "noise", "noisy_audio")
LENGTHS = ("audio_len", "noise_len", "noisy_audio_len")


def batches(config: DictConfig, golden: Golden, *, seed: int) -> Iterator[tuple[int, AudioNoiseBatch]]:
    """Draw a batch for each of the golden's steps, seeded as a recording is: before the iterator, and before each."""
    with kept_generators():
        streams = Streams(golden.case, policy=golden.manifest["settings"]["rng"], seed=seed)
        streams.seed_step(0, "batch")
        iterator = iter(build_loader(config.train_ds))
        for step in golden.steps:
            streams.seed_step(step, "batch")
            yield step, next(iterator)


def recorded(golden: Golden, step: int, name: str) -> torch.Tensor:
    """One tensor of the golden's batch."""
    entry = golden.entry(step, Site(Kind.BATCH, "loader", leaf=name))
    assert entry is not None
    return golden.tensor(entry)


def test_the_golden_has_the_same_fields(golden: Golden) -> None:
    """Nothing that NeMo's batches hold is left uncompared below."""
    for step in golden.steps:
        held = {entry.site.leaf for entry in golden.entries(step) if entry.site.kind is Kind.BATCH}
        assert held == {*AUDIO, *LENGTHS}


def test_lengths_are_the_goldens(golden: Golden, tiny: DictConfig) -> None:
    """Exactly: which utterances, which noises, and where the noise ends."""
    for step, batch in batches(tiny, golden, seed=golden.manifest["settings"]["seed"]):
        for name in LENGTHS:
            assert getattr(batch, name).tolist() == recorded(golden, step, name).tolist(), f"{name} of step {step}"


def test_audio_is_the_goldens(golden: Golden, tiny: DictConfig) -> None:
    """To 1e-6 of full scale."""
    for step, batch in batches(tiny, golden, seed=golden.manifest["settings"]["seed"]):
        for name in AUDIO:
            torch.testing.assert_close(
                getattr(batch, name), recorded(golden, step, name), rtol=0.0, atol=1e-6, msg=f"{name} of step {step}"
            )


def test_another_seed_gives_other_batches(golden: Golden, tiny: DictConfig) -> None:
    """The agreement above is one of draws, not of data that are all alike."""
    seed = golden.manifest["settings"]["seed"] + 1
    for step, batch in batches(tiny, golden, seed=seed):
        assert batch.audio_len.tolist() != recorded(golden, step, "audio_len").tolist()
