"""Random streams: every module call draws from its own, so that masks agree whatever the order of drawing.

``keyed`` gives each call a stream named by case, step, the reference's module name and call index, and hands the
caller's stream back on exit. ``global`` seeds once a step. ``off`` touches nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
import torch

__all__ = ["POLICIES", "Generators", "Streams", "kept_generators"]

T = TypeVar("T")

POLICIES = ("keyed", "global", "off")


class Streams:
    """The random streams of one case: ``policy`` is one of ``POLICIES``, ``seed`` any integer."""

    def __init__(self, case: str, *, policy: str = "keyed", seed: int = 0) -> None:
        self.case = case
        self.policy = policy
        self.seed = seed
        self._generators: list[torch.Generator] = [torch.default_generator]

    def use(self, devices: Iterator[torch.device]) -> None:
        """Take the generators of these devices in, besides the CPU's."""
        others = dict.fromkeys(device for device in devices if device.type not in {"cpu", "meta"})
        self._generators = [torch.default_generator, *filter(None, map(_generator, others))]

    def seed_step(self, step: int, moment: str) -> None:
        """Seed python, numpy and torch for a step; ``moment`` is ``"batch"`` before the draw, ``"step"`` after it."""
        if self.policy != "off":
            self.seed_all(f"{step}|{moment}")

    def seed_loop_end(self) -> None:
        """Seed them behind the last step: the one side has asked its loader for another batch, the other has none."""
        if self.policy != "off":
            self.seed_all("end")

    def seed_test(self) -> None:
        """Seed every generator of every device, so that what a test builds before it watches is the same each time."""
        self.seed_all("test")
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(self._key("test"))

    def seed_all(self, name: str) -> None:
        """Seed every generator by a name, whatever the policy."""
        key = self._key(name)
        random.seed(key)
        np.random.seed(key & 0xFFFFFFFF)  # noqa: NPY002  the global generator is the one that training code uses
        for generator in self._generators:
            generator.manual_seed(key)

    def drawn(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returns under a seed of its own; the caller's generators are as they were."""
        if self.policy == "off":
            return make()
        with kept_generators():
            self.seed_all(name)
            return make()

    @contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """Inside, every generator is seeded by a name, whatever the policy; then they are as they were."""
        states = self.states()
        with kept_generators():
            self.seed_all(name)
            try:
                yield
            finally:
                self.leave(states)

    def enter(self, step: int, path: str, call: int) -> list[torch.Tensor] | None:
        """Begin a module call's own stream; returns what ``leave`` needs to hand the caller's back."""
        if self.policy != "keyed":
            return None
        states = self.states()
        key = self.call_key(step, path, call)
        for generator in self._generators:
            generator.manual_seed(key)
        return states

    def call_key(self, step: int, path: str, call: int) -> int:
        """The seed of a module call's own stream."""
        return self._key(f"{step}|{path}#{call}")

    def states(self) -> list[torch.Tensor]:
        """Where the generators are now."""
        return [generator.get_state() for generator in self._generators]

    def leave(self, states: list[torch.Tensor] | None) -> None:
        """Hand the caller's stream back."""
        if states is not None:
            for generator, state in zip(self._generators, states, strict=True):
                generator.set_state(state)

    def _key(self, name: str) -> int:
        digest = blake2b(f"{self.seed}|{self.case}|{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1


def _generator(device: torch.device) -> torch.Generator | None:
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.init()  # type: ignore[no-untyped-call]
        generator: torch.Generator = torch.cuda.default_generators[index]
        return generator
    if device.type == "mps":
        mps: torch.Generator = torch.mps._get_default_mps_generator()  # noqa: SLF001  there is no public name
        return mps
    return None


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Generators:
    """Python's, numpy's and torch's generators at a moment; those of CUDA where it is in use."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    cuda: list[torch.Tensor] | None

    @classmethod
    def now(cls) -> Generators:
        """As they are."""
        cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else None
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002  the global one

    def put_back(self) -> None:
        """As they were."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state_all(self.cuda)


@contextmanager
def kept_generators() -> Iterator[None]:
    """Give python's, numpy's and torch's generators back as they were, also those of CUDA once it is in use."""
    before = Generators.now()
    try:
        yield
    finally:
        before.put_back()
