"""Checkpoint: all that a training needs to go on as if it had not stopped, and what a generator needs."""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from diffusion_lm.ar import Autoregressive
from diffusion_lm.backbone import Size
from diffusion_lm.mdlm import MaskedDiffusion
from diffusion_lm.model import LanguageModel

__all__ = ["CheckpointError", "generators", "load", "rebuilt", "restore_generators", "save"]

_VERSION = 1
KINDS: dict[str, type[LanguageModel]] = {kind.model_type: kind for kind in (MaskedDiffusion, Autoregressive)}


class CheckpointError(Exception):
    """A checkpoint that is not there, cannot be read, or is of another training; says what differs."""


def save(path: Path, model: LanguageModel, **state: Any) -> None:
    """Write the model's weights and `state`, tensors and plain values, whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    plain = {"version": _VERSION, "model_type": model.model_type, "size": asdict(model.backbone.size)}
    try:
        torch.save({**plain, "vocabulary": model.vocabulary, "model": model.state_dict(), **state}, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read one; no class that a file names is imported, so one from elsewhere can do no harm."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or state.get("version") != _VERSION or state.get("model_type") not in KINDS:
        raise CheckpointError(f"{path} is no checkpoint of train.py or train_ar.py")
    return state


def rebuilt(state: dict[str, Any]) -> LanguageModel:
    """The model of a checkpoint, with its weights."""
    model = KINDS[state["model_type"]](state["vocabulary"], Size(**state["size"]))
    model.load_state_dict(state["model"])
    return model


def generators(device: torch.device) -> dict[str, torch.Tensor]:
    """Where torch's random streams are, of the CPU and of the device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put them back there."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
