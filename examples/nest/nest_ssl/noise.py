"""Picking and reading noise; every choice is a draw of numpy's global stream, in NeMo's order."""
# ruff: noqa: NPY002 (the legacy stream is the one that a seed of both implementations reaches)

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nest_ssl.manifest import Entry, read_audio

LOG = logging.getLogger(__name__)
SEGMENT_TRIALS = 100
FILE_TRIALS = 20
WHITE_NOISE_DB = (-90, -46)
"""Range of the level that stands in for silent noise, dB of full scale, upper end excluded."""

Samples = npt.NDArray[np.float32]


def sample_noise(entries: Sequence[Entry], *, sample_rate: int, length: int) -> tuple[Tensor, Tensor]:
    """Pick a noise file and read it for an utterance.

    Args:
        entries: the noise manifest; without entries the noise is silence.
        sample_rate: Hz.
        length: the utterance's length N, in samples.

    Returns:
        float32, shape (N,), padded with 0; and the noise's own length, int64 scalar, at most N.

    """
    for _ in range(FILE_TRIALS if entries else 0):
        entry = entries[np.random.randint(len(entries))]
        try:
            samples = read_noise(entry, sample_rate=sample_rate, length=length)
        except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
            LOG.warning("cannot read noise %s: %s", entry.path, error)
            continue
        noise = torch.zeros(length)
        noise[: len(samples)] = torch.from_numpy(samples[:length])
        return noise, torch.tensor(min(len(samples), length))
    return torch.zeros(length), torch.tensor(length)


def read_noise(entry: Entry, *, sample_rate: int, length: int) -> Samples:
    """Read a noise file: a random segment of the utterance's length if it is longer, else all of it.

    Returns:
        float32, at most `length` samples; silence gets white noise.

    """
    wanted = length / sample_rate
    if entry.duration is not None and entry.duration > wanted:
        samples = _random_segment(entry, sample_rate=sample_rate, duration=wanted, slack=entry.duration - wanted)
    else:
        samples = read_audio(entry.path, sample_rate=sample_rate, offset=entry.offset, duration=entry.duration)
    return samples + _white_noise(len(samples)) if _total(samples) == 0 else samples


def _random_segment(entry: Entry, *, sample_rate: int, duration: float, slack: float) -> Samples:
    # NeMo draws again until the samples' sum is positive, which half of all segments are not; so must this.
    for _ in range(SEGMENT_TRIALS):
        offset = np.random.uniform(0, slack)
        samples = read_audio(entry.path, sample_rate=sample_rate, offset=offset, duration=duration)
        if _total(samples) > 0:
            break
    return samples


def _total(samples: Samples) -> float:
    """Add the samples one after the other in float32; another order could change the sum's sign."""
    return float(np.cumsum(samples, dtype=np.float32)[-1]) if len(samples) else 0.0


def _white_noise(length: int) -> Samples:
    level = np.random.randint(*WHITE_NOISE_DB, dtype="int32")
    return (np.random.randn(length) * 10.0 ** (level / 20.0)).astype(np.float32)
