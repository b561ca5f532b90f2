"""The linear head over the codes' classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class MultiSoftmaxDecoder(nn.Module):
    """One linear layer per codebook and a log-softmax over its classes.

    Args:
        feat_in: size D of an encoded token.
        num_classes: classes C of a codebook.
        num_decoders: codebooks H.
        use_bias: whether the layer has a bias.

    """

    def __init__(self, *, feat_in: int, num_classes: int, num_decoders: int = 1, use_bias: bool = False) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_decoders = num_decoders
        linear = nn.Conv1d(feat_in, num_classes * num_decoders, kernel_size=1, bias=use_bias)
        nn.init.xavier_uniform_(linear.weight)
        self.heads = nn.Sequential(linear)

    def forward(self, encoded: Tensor) -> Tensor:
        """Score the tokens.

        Args:
            encoded: float32, shape (B, D, T).

        Returns:
            float32 log-probabilities, shape (B, T, C, H).

        """
        logits: Tensor = self.heads(encoded).transpose(1, 2)
        by_book = logits.reshape(*logits.shape[:2], self.num_classes, self.num_decoders)
        return functional.log_softmax(by_book, dim=2)
