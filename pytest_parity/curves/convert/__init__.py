"""Curves from what other libraries have logged: TensorBoard, Lightning's CSV logger, W&B offline runs, MLflow.

Each converter imports its library when it is called, and reads only: nothing is written, and no network is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_parity.curves.convert.csv_logger import from_csv
    from pytest_parity.curves.convert.kinds import convert, kind_of
    from pytest_parity.curves.convert.mlflow_store import from_mlflow
    from pytest_parity.curves.convert.tensorboard_events import from_tensorboard
    from pytest_parity.curves.convert.wandb_offline import from_wandb

__all__ = ["convert", "from_csv", "from_mlflow", "from_tensorboard", "from_wandb", "kind_of"]

_LAZY = {
    "convert": "kinds",
    "from_csv": "csv_logger",
    "from_mlflow": "mlflow_store",
    "from_tensorboard": "tensorboard_events",
    "from_wandb": "wandb_offline",
    "kind_of": "kinds",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
