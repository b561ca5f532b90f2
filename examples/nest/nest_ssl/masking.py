"""Random block masking of the noisy features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nest_ssl.preprocessor import valid_steps


class RandomBlockMasking(nn.Module):
    """Replace blocks of frames by one embedding; blocks may overlap and lie wholly inside the utterance.

    Args:
        feat_in: number of bands F.
        block_size: frames a block covers.
        mask_prob: probability that a block starts at a frame.
        freeze: whether the embedding is kept from training.

    """

    def __init__(self, *, feat_in: int, block_size: int = 48, mask_prob: float = 0.5, freeze: bool = True) -> None:
        super().__init__()
        self.block_size = block_size
        self.mask_prob = mask_prob
        self.embedding = nn.Parameter(torch.empty(feat_in).normal_(0.0, 0.1), requires_grad=not freeze)

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the blocks and mask them.

        An utterance, or a whole batch, may stay without a block.

        Args:
            feats: float32, shape (B, F, T).
            lengths: int64, shape (B,), in frames.

        Returns:
            The masked features, float32, shape (B, F, T), and the mask of the same shape, 1 where masked: a view with
            stride 0 along F.

        """
        masked = self.draw(feats, lengths).unsqueeze(1)
        return torch.where(masked, self.embedding.view(1, -1, 1), feats), masked.to(feats.dtype).expand_as(feats)

    def draw(self, feats: Tensor, lengths: Tensor) -> Tensor:
        """Draw which frames are masked: bool, shape (B, T); one `rand(B, T)` of torch's stream."""
        batch, _, steps = feats.shape
        starts = torch.rand(batch, steps, device=feats.device) < self.mask_prob
        starts &= valid_steps(lengths - self.block_size + 1, steps)
        covered = functional.pad(starts.unsqueeze(1).float(), (self.block_size - 1, 0))
        return functional.max_pool1d(covered, kernel_size=self.block_size, stride=1).squeeze(1).bool()
