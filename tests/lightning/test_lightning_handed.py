"""Callbacks that ``parity record|check -- SCRIPT`` hands to a script's trainers: nothing of them ends the script."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_fit import CASE, Tiny, content, golden, lightnings_own_warnings_aside, loader

from pytest_parity import Site
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.lightning import ParityCheck, ParityRecord
from pytest_parity.session.plan import Plan
from pytest_parity.session.script import DRIVERS
from pytest_parity.settings import Mode


@pytest.fixture
def handing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the trainers that are made get the callback of a plan."""

    def hand(mode: Mode) -> None:
        told = Path("told") / mode.value
        told.mkdir(parents=True)
        monkeypatch.setenv("PARITY_SCRIPT", Plan(mode, CASE, "golden", outcomes=str(told)).to_json())

    yield hand
    DRIVERS.discard("lightning")


def outcome(mode: Mode) -> dict[str, Any]:
    (path,) = (Path("told") / mode.value).glob("outcome.*.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_trainer_without_a_plan_gets_no_callback(tiny: Tiny) -> None:
    assert not [one for one in tiny.fit().callbacks if isinstance(one, ParityCheck)]


def test_a_script_is_recorded_and_checked_without_a_word_of_it(tiny: Tiny, handing: Any) -> None:
    handing(Mode.RECORD)
    tiny.fit()
    assert outcome(Mode.RECORD)["kind"] == "recorded"
    handing(Mode.CHECK)
    tiny.fit()
    assert outcome(Mode.CHECK)["kind"] == "passed"


def test_a_check_that_fails_ends_nothing(tiny: Tiny, handing: Any) -> None:
    tiny.record()
    handing(Mode.CHECK)
    trainer = tiny.fit(None, lambda: tiny.module(eps=1e-3))
    assert trainer.global_step == 6
    found = outcome(Mode.CHECK)
    assert found["kind"] == "failed"
    assert found["lines"][0].startswith(f"{CASE} step 0: net.1 is the first module whose output differs")


def test_a_training_that_fails_leaves_the_case_to_the_next(tiny: Tiny, handing: Any) -> None:
    class Failing(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("out of luck")

    handing(Mode.RECORD)
    with pytest.raises(RuntimeError, match="out of luck"):
        tiny.fit(None, Failing)
    tiny.fit()
    assert outcome(Mode.RECORD)["kind"] == "recorded"


@pytest.mark.parametrize("handed", [True, False])
def test_a_tuners_trial_is_no_training(tiny: Tiny, handing: Any, handed: bool) -> None:
    class Tuned(tiny.module):
        lr = 0.01

    if handed:
        handing(Mode.RECORD)
    with lightnings_own_warnings_aside():
        own = None if handed else ParityRecord(CASE)
        trainer = tiny.pl.Trainer(
            callbacks=own,
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        model = Tuned()
        tuner = importlib.import_module(f"{tiny.pl.__name__}.tuner").Tuner(trainer)
        tuner.lr_find(model, loader(20), num_training=10)
        trainer.fit(model, loader())
    if handed:
        assert outcome(Mode.RECORD)["kind"] == "recorded"
    assert golden().steps == (0, 1, 2)


def test_a_batch_that_cannot_be_kept_ends_nothing(tiny: Tiny, handing: Any) -> None:
    def collate(rows: list[Any]) -> Any:
        return *loader().collate_fn(rows), object()

    class Three(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch[:2], batch_idx)

    handing(Mode.RECORD)
    assert tiny.fit(None, Three, loader(collate_fn=collate)).global_step == 6
    found = outcome(Mode.RECORD)
    assert found["kind"] == "error"
    assert "at 2" in found["lines"][0]
    assert not Path("golden").exists()


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def full_at(kind: str) -> Any:
    """A disk that has room until a site of a kind comes."""
    write = GoldenWriter.write

    def written(writer: GoldenWriter, step: int, order: int, site: Site, value: Any) -> None:
        return full() if site.kind.value == kind else write(writer, step, order, site, value)

    return written


@pytest.mark.parametrize("where", ["batch", "activation", "gradient", "the end"])
def test_a_disk_that_is_full_ends_nothing(
    tiny: Tiny, handing: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    handing(Mode.RECORD)
    if where == "the end":
        monkeypatch.setattr(GoldenWriter, "commit", full)
    else:
        monkeypatch.setattr(GoldenWriter, "write", full_at(where))
    assert tiny.fit().global_step == 6
    found = outcome(Mode.RECORD)
    assert found["kind"] == "error"
    assert found["lines"] == ["OSError: [Errno 28] No space left on device; the script went on without us"]
    assert not [path for path in Path("golden").rglob("*") if path.is_file()]


def test_a_disk_that_is_full_is_raised_where_the_script_asked_for_a_recording(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GoldenWriter, "write", full_at("activation"))
    with pytest.raises(OSError, match="No space left"):
        tiny.record()
    assert not [path for path in Path("golden").rglob("*") if path.is_file()]


def test_a_golden_that_is_not_there_ends_nothing(tiny: Tiny, handing: Any) -> None:
    handing(Mode.CHECK)
    assert tiny.fit().global_step == 6
    assert outcome(Mode.CHECK)["kind"] == "error"


def test_a_trainer_with_a_callback_of_its_own_keeps_that(tiny: Tiny, handing: Any) -> None:
    tiny.record()
    handing(Mode.CHECK)
    found = tiny.check().comparison
    assert found is not None
    assert found.passed
    assert "a trainer has one ParityRecord or ParityCheck" in outcome(Mode.CHECK)["lines"][0]


def test_a_further_training_of_the_script_is_left_alone(tiny: Tiny, handing: Any) -> None:
    handing(Mode.RECORD)
    tiny.fit()
    before = content()
    tiny.fit(None, lambda: tiny.module(scale=2.0))
    assert content() == before
    assert outcome(Mode.RECORD)["kind"] == "recorded"
