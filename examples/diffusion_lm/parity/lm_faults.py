"""How to break the two models: each fault is one edit of a freshly built one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from diffusion_lm.ar import Likelihood, Shift
from diffusion_lm.backbone import Attention, Block, Rotary
from diffusion_lm.mdlm import Bound, Subs, Times, Uniform
from lm_cases import AR, MDLM, Apply
from torch import Tensor, nn, optim
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a case, the module that the first line has to name, and what puts it in."""

    case: str
    module: str
    apply: Apply


FAULTS: dict[str, Fault] = {}


def fault(case: str, module: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register what breaks a module as the fault of its own name."""

    def register(broken: Callable[[Any], None]) -> Callable[[Any], None]:
        def apply(model: nn.Module, optimizer: optim.Optimizer) -> None:
            broken(model.get_submodule(module) if module != "AdamW" else optimizer)

        FAULTS[broken.__name__] = Fault(case, module, apply)
        return broken

    return register


@fault(MDLM, "bound")
def weight_forgotten(bound: Bound) -> None:
    """Leave out 1 / t."""
    _forward(
        bound, lambda self, log_probs, tokens, times: Bound.forward(self, log_probs, tokens, torch.ones_like(times))
    )


@fault(MDLM, "bound")
def mean_over_masked_tokens(bound: Bound) -> None:
    """Divide by the masked tokens instead of all, which the weight makes up for already."""

    def forward(_: Bound, log_probs: Tensor, tokens: Tensor, times: Tensor) -> Tensor:
        costs = -log_probs.gather(-1, tokens[..., None]).squeeze(-1)
        return (costs / times[:, None]).sum() / (costs != 0).sum()

    _forward(bound, forward)


@fault(MDLM, "subs")
def mask_not_excluded(subs: Subs) -> None:
    """Let the prediction give the mask a probability."""

    def forward(self: Subs, logits: Tensor, noised: Tensor) -> Tensor:
        right = Subs.forward(self, logits, noised)
        return torch.where((noised == self.mask)[..., None], logits.log_softmax(-1), right)

    _forward(subs, forward)


@fault(MDLM, "subs")
def free_tokens_predicted(subs: Subs) -> None:
    """Do not carry over what is not masked."""

    def forward(self: Subs, logits: Tensor, noised: Tensor) -> Tensor:
        return Subs.forward(self, logits, torch.full_like(noised, self.mask))

    _forward(subs, forward)


@fault(MDLM, "backbone.layers.0.attention")
def causal_diffusion(attention: Attention) -> None:
    """Forget to take off the causal mask."""
    attention.causal = True


@fault(MDLM, "corruption.times")
def independent_times(times: Times) -> None:
    """Draw each row's time for itself."""
    _forward(times, lambda self, tokens: torch.rand(len(tokens)).clamp_min(self.earliest))


@fault(MDLM, "corruption.times")
def cosine_times(times: Times) -> None:
    """Take another schedule's masking probability, and keep the weight of this one."""
    _forward(times, lambda self, tokens: 1 - torch.cos(Times.forward(self, tokens) * torch.pi / 2))


@fault(MDLM, "corruption")
def kept_for_masked(corruption: Any) -> None:
    """Mask what should be kept, and the other way round."""

    def forward(self: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
        times = self.times(tokens)
        return tokens.masked_fill(self.uniform(tokens) >= times[:, None], self.mask), times

    _forward(corruption, forward)


@fault(MDLM, "corruption.uniform")
def one_number_a_row(uniform: Uniform) -> None:
    """Draw one number for each row, so that it is masked as a whole or not at all."""
    _forward(uniform, lambda _, tokens: torch.rand(len(tokens), 1).expand(tokens.shape))


@fault(AR, "likelihood")
def targets_off_by_one(likelihood: Likelihood) -> None:
    """Compare with the token after the next."""
    _forward(likelihood, lambda self, logits, tokens: Likelihood.forward(self, logits[:, :-1], tokens[:, 1:]))


@fault(AR, "likelihood")
def begin_not_excluded(likelihood: Likelihood) -> None:
    """Let the token that begins have a probability of coming."""

    def forward(_: Likelihood, logits: Tensor, tokens: Tensor) -> Tensor:
        return functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    _forward(likelihood, forward)


@fault(AR, "shift")
def not_shifted(shift: Shift) -> None:
    """Let each position see the token that it is to predict."""
    _forward(shift, lambda _, tokens: tokens)


@fault(AR, "backbone.layers.0.attention")
def sees_the_future(attention: Attention) -> None:
    """Forget the causal mask."""
    attention.causal = False


@fault(AR, "backbone.layers.1.attention.rotary")
def interleaved_rotary(rotary: Rotary) -> None:
    """Take neighbours for the pairs, where the weights are for halves."""

    def forward(self: Rotary, x: Tensor) -> Tensor:
        apart = torch.cat([x[..., ::2], x[..., 1::2]], -1)
        turned = Rotary.forward(self, apart)
        return torch.stack(turned.chunk(2, -1), -1).flatten(-2)

    _forward(rotary, forward)


@fault(AR, "backbone.layers.0.attention.rotary")
def other_half_turned(rotary: Rotary) -> None:
    """Put the minus sign on the other half: every pair turns the other way."""
    rotary.sin.neg_()


@fault(AR, "backbone.layers.1.activation")
def tanh_gelu(activation: nn.GELU) -> None:
    """Take GELU's approximation."""
    activation.approximate = "tanh"


@fault(AR, "backbone.layers.1")
def norm_behind(block: Block) -> None:
    """Add attention's input behind its norm, not in front of it."""

    def forward(self: Block, x: Tensor) -> Tensor:
        x = self.attention_norm(x)
        x = x + self.attention_drop(self.attention(x))
        return x + self.feed_drop(self.down(self.activation(self.up(self.feed_norm(x)))))

    _forward(block, forward)


@fault(AR, "AdamW")
def no_weight_decay(optimizer: optim.Optimizer) -> None:
    """Leave out AdamW's default decay."""
    optimizer.param_groups[0]["weight_decay"] = 0.0


def _forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    module.forward = MethodType(forward, module)
