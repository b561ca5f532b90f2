"""Subsampling by depthwise-separable convolutions of stride 2, masked between the layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from nest_ssl.preprocessor import valid_steps


def halve(lengths: Tensor) -> Tensor:
    """Give the output lengths of a convolution with kernel 3, stride 2 and padding 1: ceil(n / 2); int64 in and out."""
    return (lengths + 1) // 2


class MaskedConvStack(nn.Module):
    """The convolutions; what lies past an utterance's end is set to 0 before each layer and after the last.

    The first convolution has one input channel and is dense; every further halving is a depthwise convolution followed
    by a pointwise one.

    Args:
        channels: channels C of every layer.
        halvings: how often time and bands are halved.

    """

    def __init__(self, *, channels: int, halvings: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=1)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1, groups=channels)
            for _ in range(halvings - 1)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, kernel_size=1) for _ in range(halvings - 1))
        self.relu = nn.ModuleList(nn.ReLU(inplace=True) for _ in range(halvings))

    def layers(self) -> Iterator[tuple[nn.Module, bool]]:
        """Go through the layers in order, each with whether it halves the time axis."""
        yield self.stem, True
        yield self.relu[0], False
        for depthwise, pointwise, relu in zip(self.depthwise, self.pointwise, list(self.relu)[1:], strict=True):
            yield depthwise, True
            yield pointwise, False
            yield relu, False

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Subsample.

        Args:
            frames: float32, shape (B, T, F).
            lengths: int64, shape (B,), in frames.

        Returns:
            float32, shape (B, C, T', F') with T' = ceil(T / 2) once per halving, F' likewise; int64 lengths, shape
            (B,).

        """
        x = frames.unsqueeze(1)
        for layer, halves in self.layers():
            x = layer(self.silence_padding(x, lengths))
            if halves:
                lengths = self.halve(lengths)
        return self.silence_padding(x, lengths), lengths

    def silence_padding(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Set steps past the end to 0; x is (B, C, T, F)."""
        mask = valid_steps(lengths, x.shape[2]).to(x.dtype)
        return x * mask[:, None, :, None]

    def halve(self, lengths: Tensor) -> Tensor:
        """See the function `halve`."""
        return halve(lengths)


class ConvSubsampling(nn.Module):
    """`MaskedConvStack` and a linear layer over its channels and bands.

    Args:
        feat_in: bands F.
        feat_out: size D of a token.
        channels: channels of the convolutions.
        factor: how many frames make a token; a power of 2.

    """

    def __init__(self, *, feat_in: int, feat_out: int, channels: int, factor: int) -> None:
        super().__init__()
        halvings = factor.bit_length() - 1
        if factor != 2**halvings or halvings < 1:
            raise ValueError(f"subsampling factor {factor} is not a power of 2 above 1")
        bands = -(-feat_in // factor)
        self.stack = MaskedConvStack(channels=channels, halvings=halvings)
        self.out = nn.Linear(channels * bands, feat_out)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn frames into tokens.

        Args:
            frames: float32, shape (B, T, F).
            lengths: int64, shape (B,), in frames.

        Returns:
            float32 tokens, shape (B, T', D), and their int64 lengths, shape (B,).

        """
        maps, lengths = self.stack(frames, lengths)
        tokens: Tensor = self.out(self.flatten(maps))
        return tokens, lengths

    def flatten(self, maps: Tensor) -> Tensor:
        """Join channels and bands, channels outermost: (B, C, T, F) to (B, T, C * F)."""
        return maps.transpose(1, 2).flatten(2)
