"""What the callbacks refuse, and what they leave behind then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_fit import CASE, Tiny, content, loader

from pytest_parity import CaptureError, GoldenNotFound, ParityFailure, UsageError
from pytest_parity.lightning import ParityCheck, ParityRecord


def untrainable(tiny: Tiny) -> type:
    class Never(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise AssertionError("it was trained")

    return Never


def breaking(tiny: Tiny, after: int) -> type:
    class Breaking(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == after:
                raise RuntimeError("the disk is full")
            return super().training_step(batch, batch_idx)

    return Breaking


def litter() -> list[str]:
    return [str(path) for path in Path().rglob("*") if path.is_file() and "golden/nest/tiny" not in path.as_posix()]


def test_a_golden_that_is_not_there_is_said_before_anything_is_trained(tiny: Tiny) -> None:
    with pytest.raises(GoldenNotFound, match=r"nest/tiny"):
        tiny.check(untrainable(tiny))


def test_a_case_that_is_no_name_is_said_at_once() -> None:
    with pytest.raises(UsageError, match=r"\.\./up"):
        ParityRecord("../up")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"steps": []}, r"steps \[\]: a list of step numbers, from 0"),
        ({"steps": [-1]}, r"steps \[-1\]: a list of step numbers, from 0"),
        ({"steps": 3}, r"steps=3: a list of step numbers, from 0; the first 3 are first=3"),
        ({"first": 0}, r"first 0: at least 1"),
        ({"every": 0}, r"every 0: at least 1"),
        ({"steps": [1], "every": 2}, r"steps \[1\] name every step"),
    ],
)
@pytest.mark.parametrize("callback", [ParityRecord, ParityCheck])
def test_steps_that_select_nothing_are_refused_at_once(callback: type, steps: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        callback(CASE, **steps)


@pytest.mark.parametrize("callback", [ParityRecord, ParityCheck])
def test_a_kind_that_is_none_is_refused_at_once(callback: type) -> None:
    with pytest.raises(UsageError, match=r"'gradients' is no kind; did you mean 'gradient'\? kinds are batch, weight"):
        callback(CASE, kinds=["gradients"])


def test_batches_are_own_or_recorded() -> None:
    with pytest.raises(UsageError, match=r"ParityCheck\(batches='golden'\): 'own' or 'recorded'"):
        ParityCheck(CASE, batches="golden")


def test_a_step_of_the_list_that_is_not_reached_is_an_error_and_nothing_is_written(tiny: Tiny) -> None:
    said = r"^nest/tiny was to be recorded in step 9, and the training ended after 6 steps; .* Nothing was written$"
    with pytest.raises(UsageError, match=said):
        tiny.record(steps=[1, 9])
    assert not list(Path().rglob("*"))


def test_a_step_that_the_golden_has_not_is_an_error_before_anything_is_trained(tiny: Tiny) -> None:
    tiny.record(steps=[0, 2])
    with pytest.raises(UsageError, match=r"step 1.*0, 2"):
        tiny.check(untrainable(tiny), steps=[1, 2])


def test_a_training_that_ends_before_the_goldens_steps_fails(tiny: Tiny) -> None:
    tiny.record(steps=[0, 4])
    with pytest.raises(
        ParityFailure, match=r"^nest/tiny: step 4 of the golden was never run; run every step"
    ) as caught:
        tiny.check(limit_train_batches=2)
    assert caught.value.comparison is not None
    assert caught.value.comparison.steps == (0,)


def test_a_training_without_a_batch_fails(tiny: Tiny) -> None:
    said = r"^nest/tiny: the trainer had nothing to train, so nothing was {}; look at its max_epochs"
    with pytest.raises(UsageError, match=said.format("recorded")):
        tiny.record(limit_train_batches=0)
    assert not list(Path().rglob("*"))
    tiny.record()
    with pytest.raises(UsageError, match=said.format("compared")):
        tiny.check(max_steps=0, max_epochs=-1)


def test_an_exception_leaves_the_old_golden_and_no_litter(tiny: Tiny) -> None:
    tiny.record()
    before = content()
    with pytest.raises(RuntimeError, match="the disk is full"):
        tiny.record(breaking(tiny, 1), steps=[0, 4])
    assert content() == before
    assert litter() == []
    with pytest.raises(RuntimeError, match="the disk is full"):
        tiny.check(breaking(tiny, 1))
    assert content() == before


def test_an_exception_after_the_last_step_kept_leaves_the_new_golden(tiny: Tiny) -> None:
    with pytest.raises(RuntimeError, match="the disk is full"):
        tiny.record(breaking(tiny, 4))
    found = tiny.check().comparison
    assert found is not None
    assert found.passed


def test_what_a_check_had_found_is_said_when_the_training_breaks(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.record()
    with pytest.raises(RuntimeError, match="the disk is full"):
        tiny.check(lambda: breaking(tiny, 4)(eps=1e-3))
    assert "activation/net.1#0" in capsys.readouterr().err


def test_the_model_is_as_it_was_after_training_and_after_an_exception(tiny: Tiny) -> None:
    for model in (tiny.module, breaking(tiny, 1)):
        made = model()
        if model is tiny.module:
            tiny.fit(ParityRecord(CASE), lambda made=made: made)
        else:
            with pytest.raises(RuntimeError, match="the disk is full"):
                tiny.fit(ParityRecord(CASE), lambda made=made: made)
        assert "training_step" not in vars(made)
        assert not any(one._forward_hooks or one._forward_pre_hooks for one in made.modules())


def test_two_callbacks_of_one_trainer_are_refused(tiny: Tiny) -> None:
    said = "a trainer has one ParityRecord or ParityCheck, and this one has another besides, of other"
    with pytest.raises(UsageError, match=said):
        tiny.fit([ParityRecord(CASE), ParityRecord("other")], untrainable(tiny))
    assert not list(Path().rglob("*"))


def test_a_recording_under_ci_needs_a_reason(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.record()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(UsageError, match=r"^nest/tiny has a golden in golden, and under CI it is not recorded again"):
        tiny.record(untrainable(tiny))
    tiny.record(lambda: tiny.module(scale=2.0), reason="the loss is doubled")


def test_a_batch_that_cannot_be_kept_is_an_error_of_its_own(tiny: Tiny) -> None:
    def collate(rows: list[Any]) -> Any:
        x, y = (torch.stack(one) for one in zip(*rows, strict=True))
        return {"x": x, "y": y, "source": object()}

    class Named(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step((batch["x"], batch["y"]), batch_idx)

    with pytest.raises(CaptureError, match=r"holds a object at source") as caught:
        tiny.record(Named, loader(collate_fn=collate))
    assert "collate_fn" in str(caught.value)
    assert not list(Path().rglob("*"))
