"""The environment that numbers depend on: versions, device, precision, determinism, threads; no host, user or time."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

__all__ = ["differences", "environment"]

_ABSENT = "absent"

_backends: Any = torch.backends  # half of what is read there has no type annotations, some of it only newer versions
_cuda: Any = torch.cuda


def environment(device: torch.device | str | None = None) -> dict[str, str]:
    """What this process computes with, the likeliest cause of other numbers first.

    ``device`` is where the model is; without one it is the accelerator that this process has used, or the CPU.
    No accelerator is started to find out.
    """
    return {name: read() for name, read in _readers(_device(device)).items()}


def differences(golden: Mapping[str, str], here: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name to (the golden's, this one's) where they differ, the likeliest cause of other numbers first."""
    names = [*_readers(torch.device("cpu")), *sorted(golden), *sorted(here)]
    pairs = {name: (golden.get(name, _ABSENT), here.get(name, _ABSENT)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _readers(device: torch.device) -> dict[str, Callable[[], str]]:
    return {
        "device": lambda: _device_name(device),
        "default dtype": lambda: str(torch.get_default_dtype()).removeprefix("torch."),
        "autocast": lambda: _autocast(device),
        "TF32 in matrix products": _matmul_tf32,
        "TF32 in convolutions": _convolution_tf32,
        "torch": lambda: str(torch.__version__),
        "CUDA": lambda: str(torch.version.cuda or _ABSENT),
        "cuDNN": _cudnn,
        "deterministic algorithms": lambda: _on(torch.are_deterministic_algorithms_enabled()),
        "cuDNN deterministic": lambda: _on(_backends.cudnn.deterministic),
        "cuDNN benchmark": lambda: _on(_backends.cudnn.benchmark),
        "threads": lambda: str(torch.get_num_threads()),
        "CPU capability": torch.backends.cpu.get_cpu_capability,
        "MKL": lambda: _on(_backends.mkl.is_available()),
        "oneDNN": lambda: _on(_backends.mkldnn.is_available() and _backends.mkldnn.enabled),
        "machine": platform.machine,
        "system": platform.system,
        "numpy": lambda: _version("numpy"),
        "python": platform.python_version,
        "pytest-parity": lambda: _version("pytest-parity"),
    }


def _device(device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    return torch.device("cuda") if _cuda.is_initialized() else torch.device("cpu")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({_cuda.get_device_name(device)})"
    return device.type


def _autocast(device: torch.device) -> str:
    if not torch.is_autocast_enabled(device.type):
        return "off"
    return str(torch.get_autocast_dtype(device.type)).removeprefix("torch.")


def _matmul_tf32() -> str:
    matmul = _backends.cuda.matmul
    return _tf32(lambda: matmul.fp32_precision, lambda: matmul.allow_tf32)


def _convolution_tf32() -> str:
    cudnn = _backends.cudnn
    return _tf32(lambda: cudnn.conv.fp32_precision, lambda: cudnn.allow_tf32)


def _tf32(new: Callable[[], str], old: Callable[[], bool]) -> str:
    """Read a switch that torch 2.9 renamed; the old name raises once the new one was set."""
    try:
        return {"tf32": "on", "none": "off", "ieee": "off"}.get(value := new(), value)
    except (AttributeError, AssertionError):
        return _on(old())


def _cudnn() -> str:
    # the first question for its version loads it; a run on the CPU does without
    return str(_backends.cudnn.version()) if _cuda.is_initialized() else _ABSENT


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _ABSENT


def _on(switch: object) -> str:
    return "on" if switch else "off"
