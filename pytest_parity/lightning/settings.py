"""Settings: what of a trainer changes the numbers of a step, for a golden to keep and a check to name."""

from __future__ import annotations

from typing import Any

__all__ = ["trainer_settings"]


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """As a configuration of plain values, under the names that ``Trainer(...)`` has for them."""
    algorithm = trainer.gradient_clip_algorithm
    return {
        "Trainer": {
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "gradient_clip_algorithm": None if algorithm is None else str(getattr(algorithm, "value", algorithm)),
            "gradient_clip_val": trainer.gradient_clip_val,
            "precision": str(trainer.precision),
            "world_size": trainer.world_size,
        }
    }
