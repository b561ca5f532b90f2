"""Sinks: what a run found, told to TensorBoard, W&B and MLflow, each by its own library."""

from __future__ import annotations

from pytest_parity.report.sinks.place import Sink, check_sinks, read_sink
from pytest_parity.report.sinks.writing import Written, write_sinks

__all__ = ["Sink", "Written", "check_sinks", "read_sink", "write_sinks"]
