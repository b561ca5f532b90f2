"""The same without pytest: two values, two goldens, a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from parity_studio import Studio, single
from torch import nn

import pytest_parity
from pytest_parity import Golden, ParityFailure, UsageError, assert_parity, capture_model, compare_goldens
from pytest_parity.site import Kind


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (torch.ones(3), torch.ones(3)),
        (1.0, 1.0 + 1e-9),
        (np.ones(3, dtype=np.float32), torch.ones(3)),
        ({"a": torch.ones(2), "b": [1, None]}, {"a": torch.ones(2), "b": [1, None]}),
        (torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0])),
    ],
)
def test_values_that_agree(actual: Any, expected: Any) -> None:
    assert_parity(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected", "word"),
    [
        (torch.ones(3), torch.ones(3) * 1.01, "differs"),
        (torch.ones(3), torch.ones(4), "shape"),
        (torch.ones(3), torch.ones(3).double(), "dtype"),
        (torch.tensor([float("inf")]), torch.tensor([1.0]), "nonfinite"),
        (torch.tensor([1.0]), torch.tensor([float("inf")]), "differs"),
        ({"a": torch.ones(1)}, {"a": torch.ones(1), "b": torch.ones(1)}, "missing"),
        ({"a": torch.ones(1), "b": torch.ones(1)}, {"a": torch.ones(1)}, "extra"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "differs"),
    ],
)
def test_values_that_do_not(actual: Any, expected: Any, word: str) -> None:
    with pytest.raises(ParityFailure, match=word) as caught:
        assert_parity(actual, expected, name="it")
    assert "it" in str(caught.value).splitlines()[0]


def test_a_tolerance_needs_both_numbers() -> None:
    assert_parity(torch.ones(2), torch.ones(2) * 1.01, rtol=0.1, atol=0.0)
    with pytest.raises(UsageError, match=r"rtol=0\.1 without atol"):
        assert_parity(torch.ones(2), torch.ones(2), rtol=0.1)


def test_nothing_to_compare_fails() -> None:
    with pytest.raises((ParityFailure, UsageError)):
        assert_parity({}, {})


def test_two_goldens(studio: Studio, tmp_path: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    studio.record(single(model, torch.ones(3, 4)))
    other = Studio(tmp_path / "other")
    other.record(single(model, torch.ones(3, 4)))
    with Golden.open(studio.path / "golden" / "case") as one, other.golden() as two:
        comparison = compare_goldens(one, two)
        assert comparison.compared == comparison.expected == comparison.counts["equal"]
    faulty = nn.Sequential(model[0], nn.Sigmoid(), model[2])
    other.record(single(faulty, torch.ones(3, 4)))
    with studio.golden() as one, other.golden() as two:
        comparison = compare_goldens(one, two)
    assert not comparison.passed
    assert comparison.diagnosis is not None
    assert comparison.diagnosis.module == "1"


def looping(steps: int) -> Any:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        with parity.watch(model) as run:
            for batch in run.steps([torch.ones(2, 3)] * steps):
                model(batch).sum().backward()

    return body


def test_goldens_of_other_steps_do_not_agree(studio: Studio, tmp_path: Any) -> None:
    other = Studio(tmp_path / "other")
    studio.record(looping(2))
    other.record(looping(3))
    with studio.golden() as two, other.golden() as three:
        more, fewer = compare_goldens(two, three), compare_goldens(three, two)
    assert not more.passed
    assert "step 2 is the candidate's alone" in {delta.detail for delta in more.failures}
    assert not fewer.passed
    assert fewer.compared == fewer.expected * 2 // 3


def test_goldens_of_structures_alone(studio: Studio, tmp_path: Any) -> None:
    other = Studio(tmp_path / "other")
    studio.record(lambda parity: parity.assert_structure(nn.Linear(3, 2)))
    other.record(lambda parity: parity.assert_structure(nn.Linear(3, 4)))
    with studio.golden() as one, other.golden() as two:
        assert compare_goldens(one, one).compared == 2
        assert compare_goldens(one, one).passed
        assert {delta.verdict.value for delta in compare_goldens(one, two).failures} == {"shape"}


def test_a_model_observed_by_a_function_of_ones_own() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen: list[tuple[str, int]] = []

    def sink(site: pytest_parity.Site, tensor: torch.Tensor | None) -> None:
        seen.append((str(site), 0 if tensor is None else tensor.numel()))

    with capture_model(model, sink, optimizer=optimizer):
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
    names = [name for name, _ in seen]
    assert names[:2] == ["weight/0.weight", "weight/0.bias"]
    assert "activation/0#0" in names
    assert names[-4:] == ["gradient/0.weight", "gradient/0.bias", "updated_weight/0.weight", "updated_weight/0.bias"]
    before = len(seen)
    model(torch.ones(2, 4))
    assert len(seen) == before  # the hooks are gone


def test_a_failing_body_takes_the_hooks_off() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), capture_model(model, lambda *_: None):
        raise ZeroDivisionError
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_every_exported_name_is_there() -> None:
    for name in pytest_parity.__all__:
        assert getattr(pytest_parity, name).__name__.startswith(name)
    assert Kind("batch") is Kind.BATCH
