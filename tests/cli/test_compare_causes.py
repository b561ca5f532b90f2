"""What ``parity compare`` says by itself where two runs were not set up alike: seed, data, initial weights, mode, shapes."""

from __future__ import annotations

from pathlib import Path

import torch
from parity_studio import Studio
from recordings import Two
from torch import nn

from pytest_parity.settings import MarkerOptions


def run(*, seed: int = 0, width: int = 4, size: int = 3, mode: bool = True, p: float = 0.5, batch: int = 0):
    def body(parity):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, width), nn.Dropout(p), nn.Linear(width, 1)).train(mode)
        loader = [torch.randn(size, 2, generator=torch.Generator().manual_seed(batch))]
        with parity.watch(model) as watch:
            for x in watch.steps(loader):
                model(x).sum().backward()

    return body


def said(two: Two, *arguments: object) -> str:
    done = two.compare(*arguments)
    assert done.status == 1
    return done.out


def test_another_seed(two: Two):
    two.reference.record(run(), seed=1)
    two.candidate.record(run(), seed=2)
    out = said(two)
    assert "first divergence: step 0: module 1 is the first module whose output differs while its inputs agree" in out
    assert "  seed: 2 here, 1 in the golden" in out


def test_another_case_whose_name_seeds_the_streams(two: Two, tmp_path: Path):
    two.reference.record(run())
    Studio(tmp_path / "other", "other").record(run())
    done = two.run("compare", two.place(two.reference), tmp_path / "other/golden/other")
    assert done.status == 1
    assert "module 1 is the first module whose output differs while its inputs agree" in done.out
    assert "  case, by which random streams and batches are seeded: other here, case in the golden" in done.out
    two.candidate.record(run())
    assert two.compare().status == 0


def test_other_random_streams(two: Two):
    two.reference.record(run(), marker=MarkerOptions(rng="global"))
    two.candidate.record(run())
    assert "  rng: keyed here, global in the golden" in said(two)


def test_other_initial_weights(two: Two):
    two.record(run(), run(seed=1))
    out = said(two)
    assert "first divergence: step 0: the weight 0.weight differs before the step's forward pass" in out
    assert "  to start from the reference's weights: parity.load(model) in a test, " in out


def test_another_mode(two: Two):
    two.record(run(), run(mode=False))
    out = said(two)
    assert "module 1 is the first module whose output differs while its inputs agree" in out
    assert "  training of 1, (model), 0 and 1 more: False here, True in the golden" in out


def test_another_rate_of_dropout(two: Two):
    two.record(run(), run(p=0.25))
    assert "  p of 1: 0.25 here, 0.5 in the golden" in said(two)


def test_other_data(two: Two):
    two.record(run(), run(batch=1))
    assert "first divergence: the data differs from step 0 on: " in said(two)


def test_another_batch_size(two: Two):
    two.record(run(), run(size=5))
    out = said(two)
    assert "first divergence: the data differs from step 0 on: " in out
    assert "(5, 2)" in out
    assert "(3, 2)" in out


def test_another_architecture(two: Two):
    two.record(run(), run(width=6))
    out = said(two)
    assert "first divergence: 0.bias: it has another shape: (6,) here, (4,) in the reference" in out
    assert "  17 parameters in 4 tensors in the reference, 25 parameters in 4 tensors in the candidate" in out
    assert "  4 of 4 tensors in common; of these 1 match in shape, 4 in dtype" in out
    assert "0: 12 parameters in the reference, 18 here (+6)" in out
