"""One's own comparison logic: of a whole check, and of each step; around a loop, and in pytest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

# pytester drops what a run in this process imported, and torch, here with what it imports late, cannot come twice.
import torch._dynamo
from own_loop import checked, made

from pytest_parity import Comparison, ParityFailure, Site, check


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize(("scale", "passed"), [(1.0, True), (1.5, False)])
def test_compared_sees_a_check_that_passed_and_one_that_failed(scale: float, passed: bool) -> None:
    seen: list[Comparison] = []
    run = checked(scale=scale, compared=seen.append, raises=False)
    assert [one.passed for one in seen] == [passed]
    assert seen[0] is run.comparison()


@pytest.mark.usefixtures("golden")
def test_compared_sees_a_failure_before_it_is_raised() -> None:
    seen: list[Comparison] = []
    with pytest.raises(ParityFailure):
        checked(scale=1.5, compared=seen.append)
    assert [one.passed for one in seen] == [False]


@pytest.mark.usefixtures("golden")
def test_compared_may_ask_for_more_than_the_tolerances_do() -> None:
    def bit_for_bit(comparison: Comparison) -> None:
        assert set(comparison.counts) == {"equal"}, comparison.counts

    assert checked(compared=bit_for_bit).failure is None
    nearly = 1.0 + 1e-7
    assert checked(scale=nearly).failure is None
    with pytest.raises(AssertionError, match="'close'"):
        checked(scale=nearly, compared=bit_for_bit)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()


@pytest.mark.usefixtures("golden")
def test_each_step_has_the_verdicts_and_the_goldens_own_tensors_at_hand() -> None:
    """What the seeds' ``compare_step`` returned, and a metric of one's own beside it."""
    model, optimizer = made(seed=1)
    results: list[tuple[int | None, list[str], float]] = []
    with check("golden", "case", model, optimizer, weights=True, raises=False) as run:
        for batch in run.steps([]):
            out = model(batch)
            if run.step == 1:
                out = out * torch.tensor([1.0, -1.0])
            optimizer.zero_grad()
            out.square().mean().backward()
            optimizer.step()
            run.assert_step(outputs=out, loss=out.square().mean())
            found, golden = run.comparison(), run.golden
            assert found is not None
            assert golden is not None
            failing = [delta.site for delta in found.failures if delta.step == run.step]
            entry = golden.entry(run.step or 0, Site.parse("output/outputs"))
            assert entry is not None
            results.append((run.step, failing, cosine(out, golden.tensor(entry))))
    assert [step for step, _, _ in results] == [0, 1, 2]
    assert [len(failing) for _, failing, _ in results] == [0, 1, 0]
    assert results[1][1] == ["output/outputs"]
    assert results[0][2] == pytest.approx(1.0)
    assert results[1][2] < 0.99


PROJECT = """
    import torch
    from torch import nn

    SCALE = 1.0

    def test_training(parity):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        parity.load(model)
        with parity.watch(model, optimizer=optimizer) as run:
            for batch in run.steps([torch.randn(5, 4) for _ in range(2)]):
                out = model(batch)
                loss = SCALE * out.square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with parity.collect():
                    parity.assert_step(outputs=out, loss=loss)
                    found = parity.comparison()
                    failing = [] if found is None else [d.site for d in found.failures if d.step == run.step]
                    print("step", run.step, "match" if not failing else f"mismatch: {failing[0]}")
"""


def project(pytester: pytest.Pytester, conftest: str, scale: float = 1.0) -> Any:
    """Record, then check with a factor on the candidate's loss."""
    pytester.makepyfile(test_training=PROJECT)
    assert pytester.runpytest("--parity-record").ret == 0
    pytester.makepyfile(test_training=PROJECT.replace("SCALE = 1.0", f"SCALE = {scale}"))
    pytester.makeconftest(conftest)
    return pytester.runpytest("-s")


def test_in_pytest_each_step_has_them_too(pytester: pytest.Pytester) -> None:
    result = project(pytester, "", scale=1.5)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*step 0 mismatch: gradient/0.weight*"])


def test_in_pytest_the_hook_may_ask_for_more_than_the_tolerances_do(pytester: pytest.Pytester) -> None:
    conftest = """
        def pytest_parity_compared(item, comparison):
            assert set(comparison.counts) == {"equal"}, f"{item.name}: not bit for bit: {comparison.counts}"
    """
    assert project(pytester, "", scale=1.0000001).ret == 0
    result = project(pytester, conftest, scale=1.0000001)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_training: not bit for bit: *"])
