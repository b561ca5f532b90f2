"""What a dataset yields and what a step receives."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(slots=True)
class AudioNoiseItem:
    """An utterance and its noise: float32 of shape (N,), full scale 1; lengths int64 scalars, in samples."""

    audio: Tensor
    audio_len: Tensor
    noise: Tensor
    noise_len: Tensor


@dataclass(slots=True)
class AudioNoiseBatch:
    """Utterances, their noise and their sum: float32 of shape (B, N); lengths int64 of shape (B,), in samples.

    Mutable on purpose: the augmentation writes the noise, the preprocessor's dither the audio.
    """

    audio: Tensor
    audio_len: Tensor
    noise: Tensor
    noise_len: Tensor
    noisy_audio: Tensor
    noisy_audio_len: Tensor

    def to(self, device: torch.device) -> AudioNoiseBatch:
        """Give the batch on a device."""
        return AudioNoiseBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def collate(items: list[AudioNoiseItem]) -> AudioNoiseBatch:
    """Pad items to the longest utterance; the noisy audio is the plain sum, and as long as the clean one."""
    longest = max(int(item.audio_len) for item in items)
    audio = torch.stack([fit(item.audio, longest) for item in items])
    noise = torch.stack([fit(item.noise, longest) for item in items])
    audio_len = torch.stack([item.audio_len for item in items])
    noise_len = torch.stack([item.noise_len for item in items])
    return AudioNoiseBatch(
        audio=audio,
        audio_len=audio_len,
        noise=noise,
        noise_len=noise_len,
        noisy_audio=audio + noise,
        noisy_audio_len=audio_len,
    )


def fit(audio: Tensor, length: int) -> Tensor:
    """Pad with 0 or cut to `length` samples."""
    return functional.pad(audio, (0, length - audio.shape[0]))
