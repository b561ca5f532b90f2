"""One fault in the candidate is found, and the first line says where."""

from __future__ import annotations

import pytest
import torch
from pair_models import FUSED_NAMES, Block, Eager, Fused, ManualNorm, first_line, seeded
from torch import nn

from pytest_parity import ParityFailure, assert_equivalent


@pytest.mark.parametrize("scale", [1.01, 1.001, 1.0001])
def test_a_scale(scale: float):
    line = first_line(seeded(Block), seeded(Block, scale=scale), torch.randn(6, 8))
    assert line.startswith("Block against Block step 0: (model): what it hands to act is the first site that differs")


def test_nothing_is_said_of_the_environment_which_is_one_for_both():
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Block), seeded(Block, scale=1.01), torch.randn(6, 8))
    assert "regression" not in str(caught.value)
    assert "environment" not in str(caught.value)


def test_a_scale_of_the_scores_with_names_of_both():
    line = first_line(seeded(Eager, scale=1.001), seeded(Fused), torch.randn(2, 6, 16), names=FUSED_NAMES)
    assert line.startswith("Fused against Eager step 0: (model): what it hands to drop is the first site that differs")


def test_the_module_is_called_by_the_candidates_name_and_the_references():
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1.01

    faulty = seeded(Fused)
    faulty.k = Doubled(16, 16)
    line = first_line(seeded(Eager), faulty, torch.randn(2, 6, 16), names=FUSED_NAMES)
    assert "k is the first module whose output differs while its inputs agree (reference: key)" in line


def test_a_mask_that_is_off_by_one():
    line = first_line(seeded(Eager), seeded(Eager, shift=-1), torch.randn(2, 6, 16))
    assert "what it hands to drop is the first site that differs" in line


def test_a_missing_bias_is_of_the_structure():
    line = first_line(seeded(Block), seeded(Block, bias=False), torch.randn(6, 8))
    assert "up.bias: the reference has it, the candidate has not" in line


@pytest.mark.parametrize("fault", [{"eps": 1e-3}, {"unbiased": True}])
def test_a_norm_with_another_eps_or_variance(fault: dict):
    line = first_line(seeded(nn.LayerNorm, 16), ManualNorm(16, **fault), torch.randn(4, 16))
    assert "(model) is the first module whose output differs while its inputs agree" in line


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_another_dropout(p: float):
    line = first_line(seeded(Block), seeded(Block, p=p), torch.randn(6, 8))
    assert "drop is the first module whose output differs while its inputs agree" in line


def test_a_candidate_left_in_evaluation_mode_where_modes_are_kept():
    reference, candidate = seeded(Block), seeded(Block).eval()
    assert assert_equivalent(reference, candidate, torch.randn(6, 8)).passed
    line = first_line(reference, candidate, torch.randn(6, 8), train=None)
    assert "drop is the first module whose output differs" in line


def test_a_detached_activation_is_seen_in_the_gradients_alone():
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Block), seeded(Block, detach="hidden"), torch.randn(6, 8))
    assert "gets no gradient, while the forward pass agrees" in str(caught.value).splitlines()[0]
    assert {delta.site.partition("/")[0] for delta in caught.value.comparison.failures} == {"gradient"}


def test_a_detached_residual_is_seen_in_the_gradient_of_the_input_alone():
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Block), seeded(Block, detach="residual"), torch.randn(6, 8))
    assert "the gradient of the input x is the first that differs while the forward pass agrees" in str(caught.value)
    assert [delta.site for delta in caught.value.comparison.failures] == ["gradient/(inputs).x"]
    assert assert_equivalent(
        seeded(Block), seeded(Block, detach="residual"), torch.randn(6, 8), input_gradients=False
    ).passed


def test_an_input_that_gets_no_gradient():
    class Cut(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.detach())

    line = first_line(seeded(nn.Linear, 4, 2), Cut(4, 2), torch.randn(3, 4))
    assert line == "Cut against Linear step 0: the input x gets no gradient, while the forward pass agrees" or (
        "input" in line and "gets no gradient" in line
    )


def test_weight_decay():
    line = first_line(
        seeded(Block),
        seeded(Block),
        torch.randn(6, 8),
        optimizer=(
            lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1),
            lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0),
        ),
    )
    assert "AdamW: its update of norm.weight is the first that differs" in line


def test_the_momentum_of_a_buffer():
    line = first_line(seeded(Block), seeded(Block, momentum=0.2), torch.randn(6, 8))
    assert "batch updates its buffer running_mean differently, while every module's output agrees" in line


def test_a_module_of_the_reference_that_the_candidate_never_calls():
    class Shortened(Block):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.batch(x + self.down(self.act(self.up(self.norm(x)))))

    assert "drop is never called" in first_line(seeded(Block), seeded(Shortened), torch.randn(6, 8))


def test_a_loss_of_ones_own_sees_what_it_looks_at():
    def own(output: torch.Tensor) -> torch.Tensor:
        return output[..., :4].square().mean()

    line = first_line(seeded(Block), seeded(Block, scale=1.01), torch.randn(6, 8), loss=own)
    assert "what it hands to act" in line
    assert assert_equivalent(seeded(Block), seeded(Block), torch.randn(6, 8), loss=own).passed


def test_every_output_element_has_a_part_in_the_default_loss():
    class Last(nn.Linear):
        """The gradient through its last output element is lost."""

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            out = super().forward(x)
            return out[..., :-1], out[..., -1:].detach()

    class Whole(nn.Linear):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            out = super().forward(x)
            return out[..., :-1], out[..., -1:]

    line = first_line(seeded(Whole, 4, 3), Last(4, 3), torch.randn(5, 4))
    assert "(model) is the first module in backward order whose gradient differs while the forward pass agrees" in line


def test_explicit_tolerances_decide_where_they_are_given():
    reference, candidate = seeded(Block), seeded(Block, scale=1.001)
    x = torch.randn(6, 8)
    assert assert_equivalent(reference, candidate, x, rtol=0.1, atol=0.1).passed
    assert assert_equivalent(reference, candidate, x, factor=1e7).passed
    assert "act" in first_line(reference, candidate, x, factor=10)
    assert "act" in first_line(reference, candidate, x, tolerances={"activation": (0.1, 0.1)})


def test_a_wrong_gradient_is_the_modules_and_not_the_inputs_that_it_reaches():
    class Louder(nn.GELU):
        """Right forward, and twice the gradient."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(2 * x - x.detach())

    faulty = seeded(Block)
    faulty.act = Louder()
    line = first_line(seeded(Block), faulty, torch.randn(6, 8))
    assert "up is the first module in backward order whose gradient differs while the forward pass agrees" in line


def test_a_scale_in_bfloat16():
    reference, x = seeded(Block).bfloat16(), torch.randn(64, 8, dtype=torch.bfloat16)
    assert "act" in first_line(reference, seeded(Block, scale=1.1).bfloat16(), x)
