"""How to break the candidate: each fault is one edit of a freshly built tiny model or its optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType

from nest_ssl import DenoiseMaskedTokenPredModel, RandomProjectionVectorQuantizer
from nest_ssl.attention import RelativeAttention, RelativePositions
from nest_ssl.conformer import ConformerBlock, FeedForward
from nest_ssl.subsampling import ConvSubsampling, MaskedConvStack
from torch import Tensor, nn, optim

Apply = Callable[[DenoiseMaskedTokenPredModel, optim.Optimizer], None]

STACK = "encoder.subsampling.stack"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and where it must be found.

    Attributes:
        name: the fault in a word or two; its key in `FAULTS`.
        module: the candidate's path of the module to be blamed; empty where no module is wrong, only the optimizer.
        apply: puts the fault into a model and its optimizer; touches these two instances only.

    """

    name: str
    module: str
    apply: Apply


FAULTS: dict[str, Fault] = {}


def fault(module: str) -> Callable[[Apply], Apply]:
    """Register a function as the fault of its own name, to be found in `module`."""

    def register(apply: Apply) -> Apply:
        name = apply.__name__
        FAULTS[name] = Fault(name=name, module=module, apply=apply)
        return apply

    return register


@fault("encoder.blocks.1")
def convolution_before_attention(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Swap the two middle branches of one block."""

    def forward(self: ConformerBlock, x: Tensor, att_mask: Tensor, positions: Tensor, pad_mask: Tensor) -> Tensor:
        x = x + 0.5 * self.drop_ff1(self.ff1(self.norm_ff1(x)))
        x = self.convolve(x, pad_mask)
        x = self.attend(x, att_mask, positions)
        x = x + 0.5 * self.drop_ff2(self.ff2(self.norm_ff2(x)))
        out: Tensor = self.norm_out(x)
        return out

    _patch(model.get_submodule("encoder.blocks.1"), ConformerBlock, forward)


@fault("encoder.subsampling")
def flatten_swaps_time_and_frequency(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Flatten the subsampled maps as if bands came before time; the shape is right, the values are not."""

    def flatten(self: ConvSubsampling, maps: Tensor) -> Tensor:
        del self
        batch, _, steps, _ = maps.shape
        return maps.permute(0, 3, 2, 1).reshape(batch, steps, -1)

    _patch(model.get_submodule("encoder.subsampling"), ConvSubsampling, flatten)


@fault(STACK)
def lengths_rounded_down(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Round halved lengths down: an odd utterance loses its last step at every halving."""

    def halve(self: MaskedConvStack, lengths: Tensor) -> Tensor:
        del self
        return lengths // 2

    _patch(model.get_submodule(STACK), MaskedConvStack, halve)


@fault("encoder.blocks.1.att")
def attention_without_padding_mask(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Let the queries of one block see padding."""

    def weigh(self: RelativeAttention, scores: Tensor, mask: Tensor) -> Tensor:
        del self, mask
        return scores.softmax(dim=-1)

    _patch(model.get_submodule("encoder.blocks.1.att"), RelativeAttention, weigh)


@fault(STACK)
def subsampling_without_mask(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Let the biases of the subsampling's convolutions leak from padding into the utterance."""

    def silence_padding(self: MaskedConvStack, x: Tensor, lengths: Tensor) -> Tensor:
        del self, lengths
        return x

    _patch(model.get_submodule(STACK), MaskedConvStack, silence_padding)


@fault("encoder.positions")
def no_xscaling(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Leave out the factor sqrt(d_model)."""
    positions = model.get_submodule("encoder.positions")
    assert isinstance(positions, RelativePositions)
    positions.scale = 1.0


@fault("encoder.blocks.1.norm_ff2")
def layer_norm_eps(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Give one layer norm an eps of 1e-3 for 1e-5."""
    norm = model.get_submodule("encoder.blocks.1.norm_ff2")
    assert isinstance(norm, nn.LayerNorm)
    norm.eps = 1e-3


@fault("encoder.blocks.0.drop_att")
def dropout_never_drops(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Set one dropout's probability to 0."""
    dropout = model.get_submodule("encoder.blocks.0.drop_att")
    assert isinstance(dropout, nn.Dropout)
    dropout.p = 0.0


@fault("quantizer")
def codebooks_in_float32(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Fetch the codes from codebooks in float32; the search, and so the ids, stay as they are."""

    def look_up(self: RandomProjectionVectorQuantizer, ids: Tensor) -> Tensor:
        return RandomProjectionVectorQuantizer.look_up(self, ids).float()

    _patch(model.get_submodule("quantizer"), RandomProjectionVectorQuantizer, look_up)


@fault("quantizer.codebooks")
def codebook_parameter_in_float32(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Keep the codebooks themselves in float32; the ids of what is not padding stay as they are."""
    quantizer = model.get_submodule("quantizer")
    assert isinstance(quantizer, RandomProjectionVectorQuantizer)
    quantizer.codebooks.data = quantizer.codebooks.data.float()


@fault("encoder.blocks.0.ff2.linear_in")  # what the gradient no longer reaches
def feed_forward_detached(model: DenoiseMaskedTokenPredModel, _: optim.Optimizer) -> None:
    """Detach one feed-forward's hidden layer: every activation is right, the gradients before it are gone."""

    def forward(self: FeedForward, x: Tensor) -> Tensor:
        out: Tensor = self.linear_out(self.drop(self.hidden(x).detach()))
        return out

    _patch(model.get_submodule("encoder.blocks.0.ff2"), FeedForward, forward)


@fault("")
def no_weight_decay(_: DenoiseMaskedTokenPredModel, optimizer: optim.Optimizer) -> None:
    """Leave out AdamW's weight decay: only the updated weights differ, by lr * weight_decay * w."""
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0


def _patch(module: nn.Module, owner: type[nn.Module], method: Callable[..., Tensor]) -> None:
    """Put a method of this name in place of the class's, on one instance."""
    assert isinstance(module, owner)
    assert hasattr(owner, method.__name__)
    setattr(module, method.__name__, MethodType(method, module))
