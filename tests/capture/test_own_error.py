"""An exception of the candidate's own comes through as it is, with a note where it came on the golden's batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity_studio import Body, Studio
from torch import nn

from pytest_parity import Parity, UsageError
from pytest_parity.session.driven import Driven, Keeping
from pytest_parity.session.run import Watching
from pytest_parity.settings import Batches, Mode


def loop(error: BaseException | None = None, *, at: int = 1, behind: bool = False) -> Body:
    """Two steps on batches of a table; the error comes in one of them, or behind the loop."""

    def body(parity: Parity) -> None:
        model = nn.Linear(4, 2)
        with parity.watch(model) as run:
            for step, batch in enumerate(run.steps([{"x": torch.ones(3, 4), "ids": torch.arange(3)}] * 2)):
                model(batch["x"]).sum().backward()
                if error is not None and step == at and not behind:
                    raise error
            if error is not None and behind:
                raise error

    return body


def one_step(error: BaseException | None = None) -> Body:
    def body(parity: Parity) -> None:
        model = nn.Linear(4, 2)
        with parity.watch(model):
            model(parity.input("audio", lambda: torch.ones(3, 4))).sum().backward()
            if error is not None:
                raise error

    return body


def notes(studio: Studio, make: Any, error: BaseException, *, check: bool = True, **options: Any) -> list[str]:
    studio.record(make())
    text, arguments = str(error), error.args
    with pytest.raises(type(error)) as caught:
        (studio.check if check else studio.record)(make(error, **options))
    assert caught.value is error
    assert (str(error), error.args) == (text, arguments)
    return list(getattr(error, "__notes__", ()))


def test_the_note_names_step_case_and_every_tensor(studio: Studio):
    (note,) = notes(studio, loop, ValueError("a batch has 8 rows"))
    assert note.startswith(
        "pytest-parity: step 1 of case ran on the golden's batch, not on one drawn here: x float32 (3, 4), ids int64 (3,). "
    )
    assert note.endswith("record the reference again: pytest --parity-record")


def test_an_input_has_its_name(studio: Studio):
    (note,) = notes(studio, one_step, RuntimeError("8 rows"))
    assert "step 0 of case ran on the golden's batch, not on one drawn here: audio float32 (3, 4). " in note


def test_a_recording_runs_on_its_own(studio: Studio):
    assert notes(studio, loop, ValueError("mine"), check=False) == []


def test_a_recording_that_is_run_again_has_no_golden_yet(studio: Studio):
    error = ValueError("mine")
    runs = iter([None, error])

    def body(parity: Parity) -> None:
        loop(next(runs, None))(parity)

    studio.record(body, draws=1)
    assert next(runs, "all were used") == "all were used"
    assert not getattr(error, "__notes__", ())


def test_behind_the_loop_no_batch_is_out(studio: Studio):
    assert notes(studio, loop, ValueError("mine"), behind=True) == []


@pytest.mark.parametrize(("batches", "noted"), [(Batches.RECORDED, True), (Batches.OWN, False)])
def test_in_a_loop_that_others_drive_only_where_the_goldens_batch_takes_the_owns_place(
    studio: Studio, batches: Batches, noted: bool
):
    studio.record(loop())
    driven = Driven(studio.settings(Mode.CHECK, batches=batches), Keeping.of(None, every=None, first=None))
    driven.watch(Watching(model=nn.Linear(4, 2)))
    driven.begin(0, {"x": torch.ones(3, 4), "ids": torch.arange(3)})
    error = ValueError("mine")
    driven.run.explain(error)
    driven.abandon()
    assert bool(getattr(error, "__notes__", ())) is noted


@pytest.mark.parametrize("error", [UsageError("ours"), KeyboardInterrupt()])
def test_what_is_no_error_of_the_candidates_is_left_alone(studio: Studio, error: BaseException):
    assert notes(studio, loop, error) == []
