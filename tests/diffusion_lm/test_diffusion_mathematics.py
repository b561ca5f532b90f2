"""What the two models compute, held against what it has to be by arithmetic."""

from __future__ import annotations

import math
from itertools import combinations, permutations, product

import pytest
import torch
from diffusion_lm.ar import Autoregressive
from diffusion_lm.backbone import Size
from diffusion_lm.mdlm import MaskedDiffusion
from diffusion_lm.model import LanguageModel

V, L = 3, 3
SIZE = Size(d_model=8, n_layers=1, n_heads=2, seq_len=L)


def sharpened(kind: type[LanguageModel]) -> LanguageModel:
    """A model with weights large enough that it is far from a uniform guess."""
    torch.manual_seed(3)
    model = kind(V, SIZE)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.8)
    return model.eval().requires_grad_(False)


Costs = dict[tuple[int, ...], list[list[float]]]


def costs(model: MaskedDiffusion) -> Costs:
    """What each token would cost at each place, by what is known of a sequence."""
    known = list(product(range(V + 1), repeat=L))
    return dict(zip(known, (-model.predict(torch.tensor(known))).tolist(), strict=True))


def cost(costs: Costs, tokens: tuple[int, ...], masked: tuple[int, ...]) -> list[float]:
    """What the masked tokens cost, given the others."""
    known = tuple(V if at in masked else token for at, token in enumerate(tokens))
    return [costs[known][at][tokens[at]] for at in masked]


def likelihood(costs: Costs, tokens: tuple[int, ...]) -> float:
    """Of the sampler with infinitely many steps: tokens come one by one, in any order."""
    total = 0.0
    for order in permutations(range(L)):
        total += math.exp(-sum(cost(costs, tokens, order[done:])[0] for done in range(L)))
    return total / math.factorial(L)


def exact_bound(costs: Costs, tokens: tuple[int, ...]) -> float:
    """The integral over times in closed form: 1 / t * t**k * (1 - t)**(L - k) gives (k - 1)! (L - k)! / L!."""
    total = 0.0
    for count in range(1, L + 1):
        weight = math.factorial(count - 1) * math.factorial(L - count) / math.factorial(L)
        total += weight * sum(sum(cost(costs, tokens, masked)) for masked in combinations(range(L), count))
    return total / L


def averaged(model: MaskedDiffusion, tokens: torch.Tensor) -> float:
    torch.manual_seed(0)
    return sum(float(model(tokens)[0]) for _ in range(8)) / 8


def test_a_uniform_guess_costs_log_v():
    model = MaskedDiffusion(7, SIZE).requires_grad_(False)
    model.backbone.head.weight.zero_()
    assert averaged(model, torch.randint(7, (8192, L))) == pytest.approx(math.log(7), rel=0.02)


def test_the_loss_is_the_integral_in_expectation():
    model = sharpened(MaskedDiffusion)
    tokens = (0, 2, 1)
    seen = averaged(model, torch.tensor([tokens]).repeat(8192, 1))
    assert seen == pytest.approx(exact_bound(costs(model), tokens), rel=0.02)


def test_the_bound_is_above_what_it_bounds():
    known = costs(sharpened(MaskedDiffusion))
    sequences = list(product(range(V), repeat=L))
    likelihoods = [likelihood(known, tokens) for tokens in sequences]
    assert sum(likelihoods) == pytest.approx(1, abs=1e-5)
    gaps = [exact_bound(known, tokens) + math.log(p) / L for tokens, p in zip(sequences, likelihoods, strict=True)]
    assert min(gaps) > -1e-6
    assert max(gaps) > 0.01


def test_the_autoregressive_loss_is_the_likelihood_itself():
    model = sharpened(Autoregressive)
    losses = [float(model(row[None])[0]) for row in torch.tensor(list(product(range(V), repeat=L)))]
    assert sum(math.exp(-L * loss) for loss in losses) == pytest.approx(1, abs=1e-5)


def test_subs_gives_the_mask_nothing_and_keeps_what_is_free():
    model = sharpened(MaskedDiffusion)
    noised = torch.tensor([[0, model.extra, 2]])
    probabilities = model.predict(noised).exp()[0]
    assert probabilities[:, model.extra].tolist() == [0, 0, 0]
    assert probabilities[0].tolist() == [1, 0, 0, 0]
    assert probabilities[2].tolist() == [0, 0, 1, 0]
    assert float(probabilities[1].sum()) == pytest.approx(1)
    assert 0 < float(probabilities[1].max()) < 1


def test_times_are_evenly_spaced_and_none_is_below_the_earliest():
    times = MaskedDiffusion(V, SIZE, earliest=0.01).corruption.times
    for seed in range(20):
        torch.manual_seed(seed)
        drawn = times(torch.zeros(8, L)).sort().values
        assert float(drawn[0]) > 0.00999
        assert float(drawn[-1]) <= 1
        assert drawn[1:].diff().tolist() == pytest.approx([1 / 8] * 6, abs=1e-6)


def test_a_token_is_masked_as_often_as_the_time_says():
    corruption = MaskedDiffusion(V, SIZE).corruption
    torch.manual_seed(0)
    noised, times = corruption(torch.zeros(64, 4096, dtype=torch.long))
    assert (noised == V).float().mean(1).tolist() == pytest.approx(times.tolist(), abs=0.04)


def test_parts_of_a_batch_are_noised_as_the_whole():
    model = MaskedDiffusion(V, SIZE)
    tokens = torch.randint(V, (6, L))
    torch.manual_seed(0)
    whole = model.corruption(tokens)
    parts = []
    for rank in range(2):
        model.share(rank, 2)
        torch.manual_seed(0)
        parts.append(model.corruption(tokens[3 * rank : 3 * rank + 3]))
    assert torch.equal(torch.cat([noised for noised, _ in parts]), whole[0])
    assert torch.equal(torch.cat([times for _, times in parts]), whole[1])


def test_only_the_diffusion_sees_both_sides():
    for kind, seen in ((MaskedDiffusion, True), (Autoregressive, False)):
        backbone = sharpened(kind).backbone
        one, other = backbone(torch.tensor([[0, 1, 2], [0, 1, 0]]))
        assert torch.allclose(one[:2], other[:2], atol=1e-5) is not seen
        assert not torch.allclose(one[2], other[2], atol=1e-5)


@pytest.mark.parametrize("kind", [MaskedDiffusion, Autoregressive])
def test_samples_have_the_models_own_frequencies(kind: type[LanguageModel]):
    model = sharpened(kind)
    blank = torch.zeros(3000, L, dtype=torch.long)
    written = model.sample(blank, 0, steps=40, temperature=1.0, generator=torch.Generator().manual_seed(0))
    for tokens in ((0, 0, 0), (0, 2, 1), (2, 2, 2), (1, 0, 2)):
        share = float((written == torch.tensor(tokens)).all(1).float().mean())
        if isinstance(model, MaskedDiffusion):
            right = likelihood(costs(model), tokens)
        else:
            right = math.exp(-L * float(model(torch.tensor([tokens]))[0]))
        assert share == pytest.approx(right, abs=0.03)
