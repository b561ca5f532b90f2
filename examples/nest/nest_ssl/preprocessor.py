"""From audio to normalised log-mel frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nest_ssl.mel import mel_basis

STD_FLOOR = 1e-5
"""Added to a band's standard deviation before the division."""


def valid_steps(lengths: Tensor, size: int) -> Tensor:
    """Mark the steps that belong to an utterance.

    Args:
        lengths: int64, shape (B,).
        size: number of steps T.

    Returns:
        bool, shape (B, T): True where t < lengths[b].

    """
    return torch.arange(size, device=lengths.device).unsqueeze(0) < lengths.unsqueeze(1)


def normalize_per_band(mel: Tensor, lengths: Tensor) -> Tensor:
    """Bring every band of every utterance to mean 0 and standard deviation 1 over its valid frames.

    The variance has Bessel's correction; an utterance of one frame gets the floor alone. Frames past the end become 0.

    Args:
        mel: float32, shape (B, F, T).
        lengths: int64, shape (B,), in frames.

    Returns:
        float32, shape (B, F, T).

    """
    valid = valid_steps(lengths, mel.shape[2])
    count = valid.sum(dim=1).unsqueeze(1)
    inside = valid.unsqueeze(1)
    mean = (torch.where(inside, mel, 0.0).sum(dim=2) / count).unsqueeze(2)
    squares = torch.where(inside, mel - mean, 0.0).pow(2).sum(dim=2)
    std = torch.sqrt(squares / (count - 1.0))
    std = std.masked_fill(std.isnan(), 0.0) + STD_FLOOR
    return ((mel - mean) / std.unsqueeze(2)).masked_fill(~inside, 0.0)


class MelFilterbank(nn.Module):
    """Dither, pre-emphasis, power spectrum, mel bands, log, normalisation, padding.

    Args:
        sample_rate: Hz.
        window_length: samples; the Hann window is symmetric and centred in `n_fft`.
        hop: samples.
        n_fft: samples.
        features: number of mel bands F.
        dither: standard deviation of the noise added to the audio in training, in units of full scale.
        pad_to: frames are padded to a multiple of this.
        pad_value: the value of padded frames.
        preemphasis: coefficient of the first-order high-pass.
        log_guard: added before the logarithm.

    """

    window: Tensor
    basis: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        window_length: int,
        hop: int,
        n_fft: int,
        features: int,
        dither: float,
        pad_to: int,
        pad_value: float,
        preemphasis: float = 0.97,
        log_guard: float = 2**-24,
    ) -> None:
        super().__init__()
        self.hop = hop
        self.n_fft = n_fft
        self.dither = dither
        self.pad_to = pad_to
        self.pad_value = pad_value
        self.preemphasis = preemphasis
        self.log_guard = log_guard
        self.register_buffer("window", torch.hann_window(window_length, periodic=False))
        basis = mel_basis(sample_rate=sample_rate, n_fft=n_fft, bands=features)
        self.register_buffer("basis", basis.unsqueeze(0))

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features.

        In training the dither is added to `audio` **in place**: the caller's tensor changes.

        Args:
            audio: float32, shape (B, N), full scale is 1.
            lengths: int64, shape (B,), in samples.

        Returns:
            float32 features of shape (B, F, T), T a multiple of `pad_to`, and int64 lengths of shape (B,) in frames,
            `lengths // hop`.

        """
        if self.training and self.dither > 0:
            audio += self.dither * torch.randn_like(audio)
        frames = torch.div(lengths, self.hop, rounding_mode="floor")
        mel = torch.matmul(self.basis, self.power_spectrum(self.emphasize(audio, lengths)))
        mel = normalize_per_band(torch.log(mel + self.log_guard), frames)
        mel = mel.masked_fill(~valid_steps(frames, mel.shape[2]).unsqueeze(1), self.pad_value)
        return functional.pad(mel, (0, -mel.shape[2] % self.pad_to), value=self.pad_value), frames

    def emphasize(self, audio: Tensor, lengths: Tensor) -> Tensor:
        """Apply y[n] = x[n] - preemphasis * x[n - 1] and silence what lies past the end; shapes as in `forward`."""
        high_passed = torch.cat((audio[:, :1], audio[:, 1:] - self.preemphasis * audio[:, :-1]), dim=1)
        return high_passed.masked_fill(~valid_steps(lengths, audio.shape[1]), 0.0)

    def power_spectrum(self, audio: Tensor) -> Tensor:
        """Give the squared magnitude of the short-time spectrum: float32, shape (B, n_fft // 2 + 1, N // hop + 1)."""
        spectrum = torch.stft(
            audio,
            n_fft=self.n_fft,
            hop_length=self.hop,
            win_length=self.window.shape[0],
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        magnitude = torch.view_as_real(spectrum).pow(2).sum(-1).sqrt()
        return magnitude.pow(2.0)


class AudioToMelSpectrogramPreprocessor(nn.Module):
    """The model's front end: `MelFilterbank` with its windows given in seconds, without gradients.

    Args:
        sample_rate: Hz.
        window_size: length of the analysis window, s.
        window_stride: distance of two frames, s.
        features: number of mel bands.
        n_fft: length of the Fourier transform, samples.
        dither: see `MelFilterbank`.
        pad_to: see `MelFilterbank`.
        pad_value: see `MelFilterbank`.

    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        window_size: float = 0.025,
        window_stride: float = 0.01,
        features: int = 80,
        n_fft: int = 512,
        dither: float = 1e-5,
        pad_to: int = 16,
        pad_value: float = 0.0,
    ) -> None:
        super().__init__()
        self.mel = MelFilterbank(
            sample_rate=sample_rate,
            window_length=int(window_size * sample_rate),
            hop=int(window_stride * sample_rate),
            n_fft=n_fft,
            features=features,
            dither=dither,
            pad_to=pad_to,
            pad_value=pad_value,
        )

    @torch.no_grad()
    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features; arguments and results are those of `MelFilterbank.forward`."""
        mel: Tensor
        frames: Tensor
        mel, frames = self.mel(audio.to(torch.float32), lengths)
        return mel, frames
