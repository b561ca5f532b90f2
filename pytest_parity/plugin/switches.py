"""Switches: a profile in force, from before a parity test's fixtures are set up until they are torn down."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_parity.errors import UsageError
from pytest_parity.plugin.cases import is_planned
from pytest_parity.plugin.profiles import SHIPPED, Profile

__all__ = ["SWITCHES", "Switches", "export"]

_Undo = Callable[[], object]


def export(variables: Mapping[str, str], config: pytest.Config, *, yielding: bool) -> None:
    """Set variables of this process until pytest ends; ``yielding``, only those that are not set."""
    for name, value in variables.items():
        before = os.environ.get(name)
        if value == before or (yielding and before is not None):
            continue
        os.environ[name] = value
        config.add_cleanup(_restoring(name, before))


def export_early(named: Profile | None, config: pytest.Config) -> None:
    """Set a profile's variables before any conftest can import torch.

    Which device there is only torch can tell, and what torch reads when it is imported is about Apple's alone.
    """
    if named is not None:
        export(named.environment, config, yielding=False)
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        export(SHIPPED["mps"].environment, config, yielding=True)


def _restoring(name: str, before: str | None) -> Callable[[], None]:
    def restore() -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

    return restore


class Switches:
    """Registered as a plugin of its own, so that it comes before every other that sets a test up."""

    def __init__(self, config: pytest.Config, profiles: Mapping[str, Profile], named: Profile | None) -> None:
        self._config = config
        self._profiles = profiles
        self._profile = named
        self._undo: ExitStack | None = None

    def profile(self) -> Profile:
        """The profile that was named, or else the one of the device that torch finds.

        No property: pytest before 9 reads every attribute of a plugin, and this one may import torch.
        """
        if self._profile is None:
            self._profile = self._profiles[_device()]
            export(self._profile.environment, self._config, yielding=True)
        return self._profile

    def on(self) -> None:
        """Put the profile into force, if it is not; raises ``UsageError`` where torch refuses a switch."""
        if self._undo is None:
            self._undo = ExitStack()
            profile = self.profile()
            for name, value in profile.switches.items():
                self._undo.callback(_turned(profile.name, name, value))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before the first fixture of a parity test: one of them may build the model."""
        if is_planned(item):
            self.on()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """After the last one: other tests compute with what they find."""
        try:
            return (yield)
        finally:
            undo, self._undo = self._undo, None
            if undo is not None:
                undo.close()


SWITCHES = pytest.StashKey[Switches]()


def _turned(profile: str, name: str, value: Any) -> _Undo:
    try:
        return _SET[name](value)
    except RuntimeError as error:
        raise UsageError(f"profile {profile}: {name} = {value!r}: torch refuses it: {error}") from error


def _device() -> str:
    import torch  # noqa: PLC0415

    if torch.cuda.device_count():  # asked without starting it
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _deterministic_algorithms(value: bool | str) -> _Undo:
    import torch  # noqa: PLC0415

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(bool(value), warn_only=value == "warn")
    return lambda: torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _float32_matmul_precision(value: str) -> _Undo:
    import torch  # noqa: PLC0415

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(value)
    return lambda: torch.set_float32_matmul_precision(before)


def _tf32_matmul(value: bool) -> _Undo:
    import torch  # noqa: PLC0415

    matmul: Any = torch.backends.cuda.matmul
    try:  # torch 2.9 and later: refused once a newer switch was set to something that this one has no word for
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        newer = matmul.fp32_precision
        matmul.allow_tf32 = value
        return lambda: setattr(matmul, "fp32_precision", newer)
    matmul.allow_tf32 = value
    return lambda: torch.set_float32_matmul_precision(before)


def _tf32_convolutions(value: bool) -> _Undo:
    import torch  # noqa: PLC0415

    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:
        conv, rnn = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
        cudnn.allow_tf32 = value

        def restore() -> None:
            cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = conv, rnn

        return restore
    cudnn.allow_tf32 = value
    return lambda: setattr(cudnn, "allow_tf32", before)


def _cudnn(name: str) -> Callable[[bool], _Undo]:
    def turn(value: bool) -> _Undo:
        import torch  # noqa: PLC0415

        before = getattr(torch.backends.cudnn, name)
        setattr(torch.backends.cudnn, name, value)
        return lambda: setattr(torch.backends.cudnn, name, before)

    return turn


def _threads(value: int) -> _Undo:
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    torch.set_num_threads(value)
    return lambda: torch.set_num_threads(before)


_SET: dict[str, Callable[[Any], _Undo]] = {
    "deterministic_algorithms": _deterministic_algorithms,
    "float32_matmul_precision": _float32_matmul_precision,
    "tf32_matmul": _tf32_matmul,
    "tf32_convolutions": _tf32_convolutions,
    "cudnn_deterministic": _cudnn("deterministic"),
    "cudnn_benchmark": _cudnn("benchmark"),
    "threads": _threads,
}
"""By a switch's name: sets it, and returns what puts it back."""
