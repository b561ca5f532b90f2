"""A run as the tests of sinks log it: everything that a sink has to take."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pytest_parity.report.sinks import Sink, read_sink
from pytest_parity.report.sinks.logged import Line, Logged

RUN = Logged(
    name="nest/tiny",
    passed=False,
    config={"golden": "golden", "python": "3.11", "TF32 in matrix products": "off"},
    scalars={"parity/passed": 0.0, "sites/differs": 3.0},
    lines=[
        Line("loss", [0, 1, 2, 3], [4.0, 3.0, 2.0, 1.0], side="reference"),
        Line("loss", [0, 1, 2, 3], [4.0, math.nan, math.inf, 1.5], side="candidate"),
        Line("epoch_loss", [1, 2], [3.5, 1.5], axis="epoch"),
        Line("learning_rate", [2, 3, 3, 1], [0.2, 0.3, 0.4, 0.1]),
    ],
    headline="nest/tiny step 0: act is the first module whose output differs",
    text="## pytest-parity: 1 of 1 case failed\n\n- **act is the first**\n",
)
GREEN = Logged(name="../else where", passed=True, scalars={"parity/passed": 1.0})


def sink(text: str, base: Path) -> Sink:
    return read_sink(text, "--parity-sink", base)


def leave_no_trace(place: Path, patch: pytest.MonkeyPatch) -> None:
    """What a library keeps of its own goes below ``place``; no account, no mode, and nothing of this machine's."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR", "MLFLOW_EXPERIMENT_NAME"):
        patch.delenv(name, raising=False)
    patch.setenv("NETRC", str(place / "netrc"))
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        patch.setenv(name, str(place / name.lower()))
