"""The mel filter bank in Slaney's form: linear below 1 kHz, logarithmic above, each triangle of unit area."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.floating[Any]]

HZ_PER_MEL = 200.0 / 3
"""Width of a mel in the linear part, Hz."""
BREAK_HZ = 1000.0
"""Where the logarithmic part begins, Hz."""
LOG_STEP = math.log(6.4) / 27.0
"""27 mels of the logarithmic part span a factor of 6.4 in frequency."""


def hz_to_mel(frequency: float) -> float:
    """Give the mel of a frequency in Hz (M. Slaney, Auditory Toolbox, 1998)."""
    if frequency < BREAK_HZ:
        return frequency / HZ_PER_MEL
    return BREAK_HZ / HZ_PER_MEL + math.log(frequency / BREAK_HZ) / LOG_STEP


def mel_to_hz(mels: Array) -> Array:
    """Give the frequencies in Hz of an array of mels: the inverse of `hz_to_mel`."""
    knee = BREAK_HZ / HZ_PER_MEL
    logarithmic = BREAK_HZ * np.exp(LOG_STEP * (mels - knee))
    return np.where(mels >= knee, logarithmic, HZ_PER_MEL * mels)


def mel_basis(*, sample_rate: int, n_fft: int, bands: int) -> Tensor:
    """Build the bank of triangles between 0 Hz and half the sample rate.

    The rows are rounded to float32 before and after they are scaled to unit area, as librosa's `filters.mel` does, so
    that the two agree bit for bit.

    Returns:
        float32, shape (bands, n_fft // 2 + 1): weights of the power spectrum's bins, per Hz.

    """
    bins = np.fft.rfftfreq(n_fft, d=1.0 / sample_rate)
    corners = mel_to_hz(np.linspace(hz_to_mel(0.0), hz_to_mel(sample_rate / 2), bands + 2))
    widths = np.diff(corners)
    distance = corners[:, None] - bins[None, :]
    rising = -distance[:-2] / widths[:-1, None]
    falling = distance[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    area = 2.0 / (corners[2:] - corners[:-2])
    return torch.from_numpy((triangles * area[:, None]).astype(np.float32))
