"""The FastConformer encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nest_ssl.attention import RelativePositions
from nest_ssl.conformer import ConformerBlock
from nest_ssl.preprocessor import valid_steps
from nest_ssl.subsampling import ConvSubsampling


class ConformerEncoder(nn.Module):
    """Subsampling, relative positions and Conformer blocks (FastConformer, https://arxiv.org/abs/2305.05084).

    Args:
        feat_in: bands F.
        n_layers: number of blocks.
        d_model: size D of a token.
        subsampling_factor: frames S in a token.
        subsampling_conv_channels: channels of the subsampling; -1 stands for `d_model`.
        ff_expansion_factor: hidden size of the feed-forwards over `d_model`.
        n_heads: attention heads.
        xscaling: whether tokens are multiplied by sqrt(d_model) after the subsampling.
        pos_emb_max_len: tokens for which the table of positions is built at first.
        conv_kernel_size: taps of the blocks' depthwise convolutions.
        use_bias: whether the blocks' linear layers and convolutions have a bias.
        dropout: probability of the dropouts of a block.
        dropout_pre_encoder: probability of the dropout before the first block.
        dropout_att: probability of the dropout on the attention weights.

    """

    def __init__(
        self,
        *,
        feat_in: int,
        n_layers: int,
        d_model: int,
        subsampling_factor: int = 8,
        subsampling_conv_channels: int = -1,
        ff_expansion_factor: int = 4,
        n_heads: int = 4,
        xscaling: bool = True,
        pos_emb_max_len: int = 5000,
        conv_kernel_size: int = 9,
        use_bias: bool = True,
        dropout: float = 0.1,
        dropout_pre_encoder: float = 0.1,
        dropout_att: float = 0.0,
    ) -> None:
        super().__init__()
        self.subsampling = ConvSubsampling(
            feat_in=feat_in,
            feat_out=d_model,
            channels=d_model if subsampling_conv_channels == -1 else subsampling_conv_channels,
            factor=subsampling_factor,
        )
        self.positions = RelativePositions(
            d_model=d_model,
            max_len=pos_emb_max_len,
            scale=math.sqrt(d_model) if xscaling else 1.0,
            dropout=dropout_pre_encoder,
        )
        self.blocks = nn.ModuleList(
            ConformerBlock(
                d_model=d_model,
                d_hidden=d_model * ff_expansion_factor,
                heads=n_heads,
                kernel_size=conv_kernel_size,
                dropout=dropout,
                dropout_att=dropout_att,
                bias=use_bias,
            )
            for _ in range(n_layers)
        )

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode features.

        Args:
            feats: float32, shape (B, F, T).
            lengths: int64, shape (B,), in frames.

        Returns:
            float32, shape (B, D, T'), a transposed view, T' = T / S rounded up, and int64 lengths, shape (B,), in
            tokens.

        """
        tokens, lengths = self.subsampling(feats.transpose(1, 2), lengths)
        tokens, positions = self.positions(tokens)
        pad_mask, att_mask = masks_for(lengths, tokens.shape[1])
        for block in self.blocks:
            tokens = block(tokens, att_mask, positions, pad_mask)
        return tokens.transpose(1, 2), lengths


def masks_for(lengths: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Build the masks of a batch.

    Args:
        lengths: int64, shape (B,), in tokens.
        steps: tokens T of the padded batch.

    Returns:
        The padding mask, bool, shape (B, T), True past the end; and the attention mask, bool, shape (B, T, T), True
        where query or key is padding.

    """
    valid = valid_steps(lengths, steps)
    return ~valid, ~torch.logical_and(valid.unsqueeze(1), valid.unsqueeze(2))
