"""NEST's pretraining model: predict the clean audio's tokens from noisy, masked audio."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Batch(Protocol):
    """What a step reads of a batch; `nest_ssl.data.AudioNoiseBatch` and NeMo's batch have it.

    Audio is float32 of shape (B, N), full scale 1; lengths are int64 of shape (B,), in samples.
    """

    audio: Tensor
    audio_len: Tensor
    noisy_audio: Tensor
    noisy_audio_len: Tensor


class DenoiseMaskedTokenPredModel(nn.Module):
    """Denoising masked-token prediction (NEST, https://arxiv.org/abs/2408.13106).

    The clean audio's features are quantized to targets, the noisy audio's features are masked and encoded, and the
    decoder predicts the targets of the masked tokens.

    Args:
        preprocessor: audio to features.
        quantizer: clean features to targets.
        mask_processor: masks noisy features.
        encoder: masked features to tokens.
        decoder: tokens to log-probabilities.
        loss: over masked tokens.

    """

    def __init__(
        self,
        *,
        preprocessor: nn.Module,
        quantizer: nn.Module,
        mask_processor: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        loss: nn.Module,
    ) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.quantizer = quantizer
        self.mask_processor = mask_processor
        self.encoder = encoder
        self.decoder = decoder
        self.loss = loss

    def forward(
        self,
        audio: Tensor,
        audio_len: Tensor,
        noisy_audio: Tensor,
        noisy_audio_len: Tensor,
        *,
        apply_mask: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Predict the tokens.

        In training the preprocessor's dither changes `audio` and `noisy_audio` in place.

        Args:
            audio: float32, shape (B, N).
            audio_len: int64, shape (B,), in samples.
            noisy_audio: float32, shape (B, N).
            noisy_audio_len: int64, shape (B,), in samples; may be shorter than the clean audio's.
            apply_mask: whether noisy features are masked.

        Returns:
            Log-probabilities, float32, shape (B, T, C, H); token lengths, int64, shape (B,); the mask, float32, shape
            (B, F, S * T); the targets, int64, shape (B, T, H).

        """
        clean, _ = self.preprocessor(audio, audio_len)
        feats, feats_len = self.preprocessor(noisy_audio, noisy_audio_len)
        _, targets = self.quantizer(clean)
        masks = torch.zeros_like(feats)
        if apply_mask:
            feats, masks = self.mask_processor(feats, feats_len)
        encoded, encoded_len = self.encoder(feats, feats_len)
        return self.decoder(encoded), encoded_len, masks, targets

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, whose audio the dither changes in place in training.

        `forward` is called directly, not through `__call__`: hooks on the model itself do not fire, as in NeMo.

        Returns:
            The loss, a float32 scalar (NaN when no token is masked), and the log-probabilities of `forward`.

        """
        log_probs, encoded_len, masks, targets = self.forward(
            batch.audio, batch.audio_len, batch.noisy_audio, batch.noisy_audio_len
        )
        loss: Tensor = self.loss(masks, log_probs, targets, encoded_len)
        return loss, log_probs

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Any:
        """Give Lightning the loss of a training batch."""
        del batch_idx
        return self.step(batch)[0]
