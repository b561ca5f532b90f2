"""``with check(...)`` around a loop: what to type is what this door takes."""

from __future__ import annotations

import pytest
import torch
from own_loop import batches, made, train

from pytest_parity import ParityFailure, UsageError, check
from pytest_parity.session.loop import Loop

pytestmark = pytest.mark.usefixtures("golden")


def failure(**options: object) -> str:
    model, optimizer = made()
    with pytest.raises(ParityFailure) as caught, check("golden", "case", model.double(), optimizer, **options) as run:
        train(run, model, optimizer)
    return str(caught.value)


def test_another_dtype():
    text = failure()
    assert text.startswith("case: 0.bias: it has another dtype: float64 here, float32 in the reference\n")
    assert "to compare the values all the same: check(..., allow_dtype=True); to compare in this dtype, record" in text


def test_another_dtype_that_is_allowed():
    model, optimizer = made()
    with check("golden", "case", model.double(), optimizer, allow_dtype=True) as run:
        for batch in run.steps(batches()):
            out = model(batch.double())
            loss = out.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.assert_step(outputs=out, loss=loss)
    assert "another dtype" not in str(run)


def called(run: Loop, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for batch in run.steps(batches()):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        run.assert_gradients(rtol=1e-3, atol=1e-6)


def test_a_step_that_is_larger_than_memory():
    model, optimizer = made()
    with pytest.raises(UsageError) as caught, check("golden", "case", model, optimizer, memory=100) as run:
        called(run, model, optimizer)
    text = str(caught.value)
    assert " kB, over memory= of check(...) (100 B), so it was judged as it streamed by" in text
    assert text.endswith("check(..., tolerances={'gradient': (0.001, 1e-06)}), or raise memory= of check(...)")


def left(at: int) -> str:
    model, optimizer = made()
    with check("golden", "case", model, optimizer, raises=False) as run:
        for step, batch in enumerate(run.steps(batches())):
            out = model(batch)
            loss = out.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.assert_step(outputs=out, loss=loss * (2 if step == at == 2 else 1))
            if step == at:
                break
    return str(run.failure)


@pytest.mark.parametrize("at", [0, 1])
def test_a_loop_that_is_left_before_its_last_step(at: int):
    assert f"the loop was left at step {at} (break, return), and the golden has steps 0-2" in left(at)


def test_a_loop_that_is_left_in_its_last_step_explains_no_other_difference():
    text = left(2)
    assert text.startswith("case step 2: the loss is the first site that differs")
    assert "the loop was left" not in text


def test_a_loop_that_came_to_its_end_was_not_left():
    model, optimizer = made()
    with check("golden", "case", model, optimizer, raises=False) as run:
        called(run, model, optimizer)
    text = str(run.failure)
    assert text.startswith("case step 0: the output outputs is missing")
    assert "the loop was left" not in text
