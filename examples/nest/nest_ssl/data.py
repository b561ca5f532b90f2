"""The datasets behind manifests and the loader over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader, Dataset

from nest_ssl.augmentation import MultiSpeakerNoiseAugmentation
from nest_ssl.batch import AudioNoiseBatch, AudioNoiseItem, collate
from nest_ssl.manifest import read_audio, read_manifests
from nest_ssl.noise import sample_noise
from nest_ssl.targets import refuse, section

MIN_SECONDS = 1.0
"""A shorter utterance is repeated up to this length."""


class AudioNoiseDataset(Dataset[AudioNoiseItem]):
    """Utterances of a manifest, each with a noise drawn when it is read.

    Args:
        manifest: see `read_manifests`.
        noise_manifest: likewise; None for silence.
        sample_rate: Hz.
        min_duration: shorter utterances are left out, s.
        max_duration: longer utterances are left out, s.

    """

    def __init__(
        self,
        manifest: str | Sequence[str],
        *,
        noise_manifest: str | Sequence[str] | None = None,
        sample_rate: int = 16000,
        min_duration: float = 0.0,
        max_duration: float = float("inf"),
    ) -> None:
        self.sample_rate = sample_rate
        self.noise = read_manifests(noise_manifest)
        self.entries = [
            entry
            for entry in read_manifests(manifest)
            if entry.duration is None or min_duration <= entry.duration <= max_duration
        ]

    def __len__(self) -> int:
        """Give the number of utterances."""
        return len(self.entries)

    def __getitem__(self, index: int) -> AudioNoiseItem:
        """Read an utterance and draw its noise."""
        entry = self.entries[index]
        samples = read_audio(entry.path, sample_rate=self.sample_rate, offset=entry.offset, duration=entry.duration)
        if not len(samples):
            raise ValueError(f"{entry.path} has no samples at {entry.offset} s")
        audio = torch.from_numpy(samples)
        shortest = int(MIN_SECONDS * self.sample_rate)
        if len(audio) < shortest:
            audio = audio.repeat(-(-shortest // len(audio)))[:shortest]
        noise, noise_len = sample_noise(self.noise, sample_rate=self.sample_rate, length=len(audio))
        return AudioNoiseItem(audio=audio, audio_len=torch.tensor(len(audio)), noise=noise, noise_len=noise_len)


class Collator:
    """Collates items and augments the batch; a class, so that worker processes can be sent it.

    Args:
        augment: what makes the noisy audio; None for the plain sum.

    """

    def __init__(self, augment: Callable[[AudioNoiseBatch], AudioNoiseBatch] | None) -> None:
        self.augment = augment

    def __call__(self, items: list[AudioNoiseItem]) -> AudioNoiseBatch:
        """Make a batch of items."""
        batch = collate(items)
        return self.augment(batch) if self.augment else batch


def build_loader(cfg: DictConfig) -> DataLoader[AudioNoiseItem]:
    """Build a loader of `AudioNoiseBatch`.

    The draws of a pass, under equal seeds of torch, numpy and `random` and `num_workers=0`, are those of NeMo's loader.

    Args:
        cfg: the section `model.train_ds` or `model.validation_ds` of the configuration.

    Raises:
        ValueError: if the section asks for something that is not implemented.

    """
    refuse(cfg, "dataset", {"is_tarred": False, "is_concat": False, "trim_silence": False})
    augmentor = cfg.get("batch_augmentor")
    dataset = AudioNoiseDataset(
        _paths(cfg.manifest_filepath),
        noise_manifest=_paths(cfg.noise_manifest),
        sample_rate=cfg.sample_rate,
        min_duration=cfg.min_duration,
        max_duration=cfg.max_duration,
    )
    return DataLoader(
        dataset,
        batch_size=cfg.batch_size,
        shuffle=cfg.shuffle,
        num_workers=cfg.num_workers,
        drop_last=cfg.get("drop_last", False),
        pin_memory=cfg.pin_memory and torch.cuda.is_available(),
        collate_fn=Collator(MultiSpeakerNoiseAugmentation(**section(augmentor)) if augmentor else None),
    )


def _paths(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_list(value) else value
