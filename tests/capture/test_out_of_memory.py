"""Where memory runs out while a model is recorded or checked, the error says what of it is ours, and what to type."""

from __future__ import annotations

import traceback

import pytest
import torch
from parity_studio import Studio, single
from torch import nn

from pytest_parity import Parity
from pytest_parity.session.shortage import ran_out


class Greedy(nn.Linear):
    """Runs out of memory in its second call."""

    def __init__(self, error: BaseException, calls: int = 0) -> None:
        super().__init__(4, 4)
        self.error, self.calls = error, calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 1:
            raise self.error
        return super().forward(x)


def shown(error: BaseException) -> str:
    """As python prints it."""
    return "".join(traceback.format_exception_only(type(error), error))


def loop(model: nn.Module):
    def body(parity: Parity) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps([torch.ones(2, 4)] * 3):
                optimizer.zero_grad()
                model(x).sum().backward()
                optimizer.step()

    return body


def raised(error: BaseException, studio: Studio, *, check: bool = False, **options: object) -> str:
    if check:
        studio.record(loop(nn.Linear(4, 4)))
    run = studio.check if check else studio.record
    with pytest.raises(type(error)) as caught:
        run(loop(Greedy(error)), **options)
    assert caught.value is error
    return shown(error)


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "device"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"), "device"),
        (RuntimeError("CUDA error: out of memory"), "device"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "host",
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), "host"),
        (MemoryError(), "host"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ""),
        (ValueError("out of memory"), ""),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: BaseException, where: str):
    assert ran_out(error) == where


def test_torchs_own_words_are_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert ran_out(caught.value) == "host"


def test_recording_says_that_it_keeps_nothing(studio: Studio):
    text = raised(torch.cuda.OutOfMemoryError("CUDA out of memory."), studio)
    assert "CUDA out of memory." in text
    assert "pytest-parity: memory ran out on the device while recording step 1 of case. Recording writes" in text
    assert "and keeps nothing. If it fits without: a smaller batch, or fewer kinds: kinds=" in text


def test_recording_says_what_its_noise_floor_takes(studio: Studio):
    text = raised(MemoryError(), studio, draws=3)
    assert "memory ran out on the host while recording step 1 of case" in text
    assert "one copy of weights, gradients and optimizer state beside the model, 80 bytes: --parity-noise 0" in text


def test_checking_names_its_budget(studio: Studio):
    text = raised(torch.cuda.OutOfMemoryError("CUDA out of memory."), studio, check=True, memory=1 << 20)
    assert (
        "while checking step 1 of case. Checking keeps 1,048,576 bytes of a step in the host's memory at most: " in text
    )
    assert "at most: the ini option parity_memory. For the kind updated_weight it steps copies of the weights" in text


def test_the_old_golden_is_untouched(studio: Studio):
    studio.record(loop(nn.Linear(4, 4)))
    before = (studio.golden().path / "golden.json").read_bytes()
    raised(MemoryError(), studio)
    assert (studio.golden().path / "golden.json").read_bytes() == before


def test_another_error_is_left_as_it_is(studio: Studio):
    assert shown(RuntimeError("no such device")) == raised(RuntimeError("no such device"), studio)


def test_without_a_loop_it_is_said_too(studio: Studio):
    error = MemoryError()
    with pytest.raises(MemoryError):
        studio.record(single(Greedy(error, calls=1), torch.ones(2, 4)))
    assert "memory ran out on the host while recording step 0 of case" in shown(error)


def test_pytest_shows_it(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import torch

        class Greedy(torch.nn.Linear):
            def forward(self, x):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

        def test_it(parity):
            model = Greedy(2, 2)
            with parity.watch(model):
                model(torch.ones(1, 2))
        """
    )
    result = pytester.runpytest_subprocess("--parity-record", "-p", "no:xdist")
    result.stdout.fnmatch_lines(
        ["E*CUDA out of memory.", "E*pytest-parity: memory ran out on the device while recording*"]
    )
