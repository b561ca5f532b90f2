"""The Conformer block (https://arxiv.org/abs/2005.08100)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nest_ssl.attention import RelativeAttention


class FeedForward(nn.Module):
    """Linear, SiLU, dropout, linear.

    Args:
        d_model: size D of a token.
        d_hidden: size of the hidden layer.
        dropout: probability of the dropout on the hidden layer.
        bias: whether the linear layers have a bias.

    """

    def __init__(self, *, d_model: int, d_hidden: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.linear_in = nn.Linear(d_model, d_hidden, bias=bias)
        self.act = nn.SiLU()
        self.drop = nn.Dropout(dropout)
        self.linear_out = nn.Linear(d_hidden, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (B, T, D) to the same shape."""
        out: Tensor = self.linear_out(self.drop(self.hidden(x)))
        return out

    def hidden(self, x: Tensor) -> Tensor:
        """Compute the activated hidden layer: (B, T, D) to (B, T, d_hidden)."""
        activated: Tensor = self.act(self.linear_in(x))
        return activated


class ConvolutionModule(nn.Module):
    """Pointwise convolution with a gate, depthwise convolution, batch norm, SiLU, pointwise convolution.

    Args:
        d_model: size D of a token.
        kernel_size: taps of the depthwise convolution, odd; it is centred.
        bias: whether the convolutions have a bias.

    """

    def __init__(self, *, d_model: int, kernel_size: int, bias: bool) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is even")
        self.expand = nn.Conv1d(d_model, 2 * d_model, kernel_size=1, bias=bias)
        self.depthwise = nn.Conv1d(
            d_model, d_model, kernel_size=kernel_size, padding=kernel_size // 2, groups=d_model, bias=bias
        )
        self.norm = nn.BatchNorm1d(d_model)
        self.act = nn.SiLU()
        self.project = nn.Conv1d(d_model, d_model, kernel_size=1, bias=bias)

    def forward(self, x: Tensor, pad_mask: Tensor) -> Tensor:
        """Convolve over time; the batch norm sees padding.

        Args:
            x: float32, shape (B, T, D).
            pad_mask: bool, shape (B, T), True past the utterance's end, where the depthwise convolution sees 0.

        Returns:
            float32, shape (B, T, D).

        """
        gated = functional.glu(self.expand(x.transpose(1, 2)), dim=1)
        convolved = self.depthwise(gated.masked_fill(pad_mask.unsqueeze(1), 0.0))
        out: Tensor = self.project(self.act(self.norm(convolved)))
        return out.transpose(1, 2)


class ConformerBlock(nn.Module):
    """Half a feed-forward, self-attention, convolution, half a feed-forward, each on a residual; then a layer norm.

    Args:
        d_model: size D of a token.
        d_hidden: hidden size of the feed-forwards.
        heads: attention heads.
        kernel_size: taps of the depthwise convolution.
        dropout: probability of the dropouts on the residual branches and in the feed-forwards.
        dropout_att: probability of the dropout on the attention weights.
        bias: whether linear layers and convolutions have a bias.

    """

    def __init__(
        self,
        *,
        d_model: int,
        d_hidden: int,
        heads: int,
        kernel_size: int,
        dropout: float,
        dropout_att: float,
        bias: bool,
    ) -> None:
        super().__init__()
        self.norm_ff1 = nn.LayerNorm(d_model)
        self.ff1 = FeedForward(d_model=d_model, d_hidden=d_hidden, dropout=dropout, bias=bias)
        self.drop_ff1 = nn.Dropout(dropout)
        self.norm_att = nn.LayerNorm(d_model)
        self.att = RelativeAttention(d_model=d_model, heads=heads, dropout=dropout_att, bias=bias)
        self.drop_att = nn.Dropout(dropout)
        self.norm_conv = nn.LayerNorm(d_model)
        self.conv = ConvolutionModule(d_model=d_model, kernel_size=kernel_size, bias=bias)
        self.drop_conv = nn.Dropout(dropout)
        self.norm_ff2 = nn.LayerNorm(d_model)
        self.ff2 = FeedForward(d_model=d_model, d_hidden=d_hidden, dropout=dropout, bias=bias)
        self.drop_ff2 = nn.Dropout(dropout)
        self.norm_out = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, att_mask: Tensor, positions: Tensor, pad_mask: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: float32, shape (B, T, D).
            att_mask: bool, shape (B, T, T), True where a query may not see a key.
            positions: float32, shape (1, 2 * T - 1, D).
            pad_mask: bool, shape (B, T), True past the utterance's end.

        Returns:
            float32, shape (B, T, D).

        """
        x = x + 0.5 * self.drop_ff1(self.ff1(self.norm_ff1(x)))
        x = self.attend(x, att_mask, positions)
        x = self.convolve(x, pad_mask)
        x = x + 0.5 * self.drop_ff2(self.ff2(self.norm_ff2(x)))
        out: Tensor = self.norm_out(x)
        return out

    def attend(self, x: Tensor, att_mask: Tensor, positions: Tensor) -> Tensor:
        """Add the attention's branch; shapes as in `forward`."""
        normed = self.norm_att(x)
        branch: Tensor = self.drop_att(self.att(normed, normed, normed, att_mask, positions))
        return x + branch

    def convolve(self, x: Tensor, pad_mask: Tensor) -> Tensor:
        """Add the convolution's branch; shapes as in `forward`."""
        branch: Tensor = self.drop_conv(self.conv(self.norm_conv(x), pad_mask))
        return x + branch
