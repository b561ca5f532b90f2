"""The loss over masked tokens."""

from __future__ import annotations

from torch import Tensor, nn


class MLMLoss(nn.Module):
    """Mean negative log-likelihood of one codebook's targets over the masked tokens.

    Args:
        combine_time_steps: frames S in a token.
        mask_threshold: a token counts as masked when more than this share of its S x F mask entries is 1.

    """

    def __init__(self, *, combine_time_steps: int = 1, mask_threshold: float = 0.8) -> None:
        super().__init__()
        self.combine_time_steps = combine_time_steps
        self.mask_threshold = mask_threshold
        self.nll = nn.NLLLoss()

    def forward(self, log_probs: Tensor, targets: Tensor, lengths: Tensor, masks: Tensor) -> Tensor:
        """Compute the loss; NaN when no token is masked.

        Args:
            log_probs: float32, shape (B, T, C).
            targets: int64, shape (B, T).
            lengths: int64, shape (B,), in tokens; not used, a mask lies inside its utterance.
            masks: float32, shape (B, F, S * T), 1 where masked.

        Returns:
            float32 scalar.

        """
        del lengths
        chosen = self.masked_tokens(masks)
        loss: Tensor = self.nll(log_probs[chosen], targets[chosen])
        return loss

    def masked_tokens(self, masks: Tensor) -> Tensor:
        """Tell which tokens count as masked: bool, shape (B, T)."""
        by_token = masks.transpose(1, 2).reshape(masks.shape[0], masks.shape[2] // self.combine_time_steps, -1)
        return by_token.mean(-1) > self.mask_threshold


class MultiMLMLoss(nn.Module):
    """Mean of `MLMLoss` over the codebooks (https://arxiv.org/abs/2202.01855).

    Args:
        combine_time_steps: see `MLMLoss`.
        mask_threshold: see `MLMLoss`.
        num_decoders: codebooks H.

    """

    def __init__(self, *, combine_time_steps: int = 1, mask_threshold: float = 0.8, num_decoders: int = 1) -> None:
        super().__init__()
        self.num_decoders = num_decoders
        self.token_loss = MLMLoss(combine_time_steps=combine_time_steps, mask_threshold=mask_threshold)

    def forward(self, masks: Tensor, log_probs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            masks: float32, shape (B, F, S * T).
            log_probs: float32, shape (B, T, C, H).
            targets: int64, shape (B, T, H).
            lengths: int64, shape (B,), in tokens.

        Returns:
            float32 scalar; NaN when no token is masked.

        """
        total = log_probs.new_zeros(())
        for book in range(self.num_decoders):
            total = total + self.token_loss(log_probs[..., book], targets[..., book], lengths, masks)
        return total / self.num_decoders
