"""Surroundings: what a run computes with, and what of that is not as it was in the golden's run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from pytest_parity.contract.config import config_differences
from pytest_parity.contract.constants import constant_differences
from pytest_parity.contract.environment import environment, loader_workers
from pytest_parity.contract.tensors import Structure
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.result import Diagnosis, Difference, Fault
from pytest_parity.settings import Settings
from pytest_parity.site import ROOT

__all__ = ["Surroundings", "configured_differently", "explains", "set_differently"]


class Surroundings:
    """The environment of one run, read while the model runs where that is observed: autocast is over at the end."""

    def __init__(self, settings: Settings) -> None:
        self._seed = None if settings.marker.rng == "off" else settings.seed
        self._workers: int | None = None
        self._read: dict[str, str] = {}
        self.unread = True
        """Whether nothing was read yet; asked at every observation."""

    def draw_from(self, loader: Iterable[Any]) -> None:
        """Note what can be told of a loader without touching it."""
        self._workers = loader_workers(loader)

    def read(self, device: torch.device | None) -> dict[str, str]:
        """The environment as it was at the first reading; ``device`` is where the model is."""
        if self.unread:
            self.unread = False
            self._read = environment(device, seed=self._seed, workers=self._workers)
        return self._read


def set_differently(
    golden: Golden,
    settings: Settings,
    *,
    own: Structure | None,
    names: BoundNames,
    optimizers: Sequence[Difference],
    diagnosis: Diagnosis | None,
) -> tuple[Difference, ...]:
    """What model, optimizers and configuration were set to differently, what belongs to the first divergence first.

    What a golden does not tell is not known, and no difference. ``own`` is the candidate's structure.
    """
    recorded = golden.manifest["structure"]
    found: list[Difference] = []
    if own is not None and recorded:
        found += constant_differences(Structure.from_plain(recorded), own, names)
    found += [*optimizers, *configured_differently(golden, settings)]
    marked = [replace(one, likely=explains(one, diagnosis)) for one in found]
    return tuple(sorted(marked, key=lambda one: not one.likely))


def configured_differently(golden: Golden, settings: Settings) -> tuple[Difference, ...]:
    """What the configuration says otherwise than the golden's, where both are known, and of the same things."""
    config, own = golden.manifest["settings"].get("config"), settings.config
    if config is None or own is None or (config and own and config.keys().isdisjoint(own)):
        return ()
    return config_differences(config, own)


def explains(difference: Difference, diagnosis: Diagnosis | None) -> bool:
    """Whether it is set where the first divergence is; a configuration may be the cause of anything."""
    if diagnosis is None:
        return False
    if difference.about == "constant":
        return difference.where == diagnosis.module or (
            diagnosis.module != ROOT and difference.where.startswith(f"{diagnosis.module}.")
        )
    return difference.about == "config" or diagnosis.fault is Fault.UPDATE
