"""Shortage: what an error says more where memory ran out while a model was recorded or checked."""

from __future__ import annotations

import sys

import torch

from pytest_parity.session.memory import Start
from pytest_parity.settings import Mode, Settings

__all__ = ["explain", "ran_out"]

_SAID = ("out of memory", "can't allocate memory", "not enough memory")
"""Of torch's allocators: on accelerators, on the CPU of Linux and macOS, on Windows."""
_HOST = ("DefaultCPUAllocator",)


def ran_out(error: BaseException) -> str:
    """``device`` or ``host``, where memory ran out there; empty for any other error."""
    if isinstance(error, MemoryError):
        return "host"
    text = str(error)
    if not isinstance(error, RuntimeError) or not any(said in text for said in _SAID):
        return ""
    return "host" if any(name in text for name in _HOST) else "device"


def explain(error: BaseException, settings: Settings, step: int | None, start: Start | None) -> None:
    """Add to an error, where memory ran out, what of it is ours and what to type: as a note, in python 3.10 to its message.

    ``start`` is what a recording keeps for its noise floor, beside the model and where that is.
    """
    where = ran_out(error)
    if not where:
        return
    doing = "recording" if settings.mode is Mode.RECORD else "checking"
    at = f"step {step} of {settings.case}" if step is not None else settings.case
    note = f"pytest-parity: memory ran out on the {where} while {doing} {at}. {_ours(settings, start)}"
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        error.args = (f"{error}\n{note}",)


def _ours(settings: Settings, start: Start | None) -> str:
    less = "a smaller batch, or fewer kinds: kinds="
    if settings.mode is not Mode.RECORD:
        by = f": {settings.memory_by}" if settings.memory_by else ""
        return (
            f"Checking keeps {settings.memory:,} bytes of a step in the host's memory at most{by}. For the kind "
            "updated_weight it steps copies of the weights where they are, a few at a time, or all at once where the "
            f"optimizer is none of torch's own. If it fits without pytest-parity: {less}"
        )
    kept = 0 if start is None else _size(start)
    if not kept:
        return f"Recording writes what it sees to the disk at once, and keeps nothing. If it fits without: {less}"
    return (
        "Recording writes what it sees to the disk at once; for the noise floor it keeps one copy of weights, gradients and "
        f"optimizer state beside the model, {kept:,} bytes: --parity-noise 0 does without it. Else: {less}"
    )


def _size(start: Start) -> int:
    """The bytes of a start's tensors."""
    states = [one for optimizer in start.optimizers for state in optimizer["state"].values() for one in state.values()]
    tensors = [*start.tensors.values(), *start.gradients.values(), *states]
    return sum(one.nbytes for one in tensors if isinstance(one, torch.Tensor))
