"""The environment that numbers depend on: versions, device, precision, determinism, threads; no host, user or time."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

__all__ = ["differences", "environment", "loader_workers", "rounding_of"]

_ABSENT = "absent"

_backends: Any = torch.backends  # half of what is read there has no type annotations, some of it only newer versions
_cuda: Any = torch.cuda
_Read = Callable[[], str]

_ISA = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
"""Variables that choose among a CPU's instruction sets, each of which adds in another order."""
_FPMATH = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
_SUMS = ("float16 sums", "bfloat16 sums")
_ON_CUDA = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")


def environment(
    device: torch.device | str | None = None, *, seed: int | None = None, workers: int | None = None
) -> dict[str, str]:
    """What this process computes with, the likeliest cause of other numbers first.

    ``device`` is where the model is; without one it is the accelerator that this process has used, or the CPU.
    ``seed`` is the case's, ``workers`` the number of processes that its loader draws batches in; what is not given is
    not known. No accelerator is started to find out.
    """
    found = {name: read() for name, read in _readers(_device(device)).items()}
    further = {_SEED: seed, _WORKERS: workers}
    return found | {name: str(value) for name, value in further.items() if value is not None}


def differences(golden: Mapping[str, str], here: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name to (the golden's, this one's) where they differ, the likeliest cause of other numbers first.

    What only one of the two has recorded is not known of the other, and no difference; nor is what concerns an
    accelerator that neither has used.
    """
    known = (*_readers(torch.device("cpu")), _SEED, _WORKERS)
    names = [*(name for name in known if name in golden), *sorted(golden.keys() - set(known))]
    devices = f"{golden.get('device', '')} {here.get('device', '')}"
    idle = {name for device, alone in _ALONE.items() if device not in devices for name in alone}
    return {
        name: (golden[name], here[name])
        for name in names
        if name in here and golden[name] != here[name] and name not in idle
    }


def rounding_of(names: Iterable[str]) -> float | None:
    """How far one operation can move, relative to its result, where the environment differs in these.

    0 where sums are added in another order alone, and the dtype's own precision says how far; ``None`` where the same
    code computes the same numbers from the same inputs.
    """
    moving = set(names) - _HARMLESS
    if not moving:
        return None
    if moving & {"default dtype", "autocast", "float32 matmul precision", "float32 in oneDNN", *_SUMS, *_FPMATH}:
        return _BFLOAT16
    return _TF32 if moving & {"device", "TF32 in matrix products", "TF32 in convolutions", *_ON_CUDA} else 0.0


def loader_workers(loader: object) -> int | None:
    """How many processes a torch DataLoader draws its batches in; ``None`` of any other loader. Nothing is drawn."""
    return loader.num_workers if isinstance(loader, torch.utils.data.DataLoader) else None


_TF32, _BFLOAT16 = 2**-11, 2**-8
"""Half a unit in the last of 10 and of 7 bits."""
_SEED, _WORKERS = "seed", "dataloader workers"
_HARMLESS = frozenset({"python", "numpy", "pytest-parity", _SEED, _WORKERS})
"""The batches are the golden's own; another seed leads elsewhere altogether, or nowhere."""


def _readers(device: torch.device) -> dict[str, _Read]:
    return {
        "default dtype": lambda: str(torch.get_default_dtype()).removeprefix("torch."),
        "autocast": lambda: _autocast(device),
        "float32 matmul precision": _matmul_precision,
        "TF32 in matrix products": _matmul_tf32,
        "TF32 in convolutions": _convolution_tf32,
        "float32 in oneDNN": _onednn_precision,
        "float16 sums": lambda: _reduced(_backends.cuda.matmul.allow_fp16_reduced_precision_reduction),
        "bfloat16 sums": lambda: _reduced(_backends.cuda.matmul.allow_bf16_reduced_precision_reduction),
        **{name: _variable(name) for name in (*_ON_CUDA, *_FPMATH)},
        "device": lambda: _device_name(device),
        "torch": lambda: str(torch.__version__),
        "CUDA": lambda: str(torch.version.cuda or _ABSENT),
        "cuDNN": _cudnn,
        "attention": _attention,
        "deterministic algorithms": _deterministic,
        "CUBLAS_WORKSPACE_CONFIG": _variable("CUBLAS_WORKSPACE_CONFIG"),
        "cuDNN enabled": lambda: _on(_backends.cudnn.enabled),
        "cuDNN deterministic": lambda: _on(_backends.cudnn.deterministic),
        "cuDNN benchmark": lambda: _on(_backends.cudnn.benchmark),
        "PYTORCH_ENABLE_MPS_FALLBACK": _variable("PYTORCH_ENABLE_MPS_FALLBACK"),
        "threads": lambda: str(torch.get_num_threads()),
        "interop threads": lambda: str(torch.get_num_interop_threads()),
        "CPU capability": torch.backends.cpu.get_cpu_capability,
        **{name: _variable(name) for name in _ISA},
        "MKL": lambda: _on(_backends.mkl.is_available()),
        "oneDNN": lambda: _on(_backends.mkldnn.is_available() and _backends.mkldnn.enabled),
        "machine": platform.machine,
        "system": platform.system,
        "numpy": lambda: _version("numpy"),
        "python": platform.python_version,
        "pytest-parity": lambda: _version("pytest-parity"),
    }


_ALONE = {
    "cuda": (
        "TF32 in matrix products",
        "TF32 in convolutions",
        *_SUMS,
        "cuDNN",
        "cuDNN enabled",
        "cuDNN deterministic",
        "cuDNN benchmark",
        "CUBLAS_WORKSPACE_CONFIG",
        *_ON_CUDA,
    ),
    "mps": ("PYTORCH_ENABLE_MPS_FALLBACK",),
}
"""What concerns one kind of device alone."""


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


def _matmul_precision() -> str:
    """Read a switch that raises in torch 2.9 and later, once one of the newer switches for a backend was set."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "by backend"


def _matmul_tf32() -> str:
    matmul = _backends.cuda.matmul
    return _tf32(lambda: matmul.fp32_precision, lambda: matmul.allow_tf32)


def _convolution_tf32() -> str:
    cudnn = _backends.cudnn
    return _tf32(lambda: cudnn.conv.fp32_precision, lambda: cudnn.allow_tf32)


def _tf32(new: _Read, old: Callable[[], bool]) -> str:
    """Read a switch that torch 2.9 renamed; the old name raises once the new one was set."""
    try:
        return {"tf32": "on", "none": "off", "ieee": "off"}.get(value := new(), value)
    except (AttributeError, AssertionError):
        return _on(old())


def _onednn_precision() -> str:
    """Whether oneDNN may round the factors of float32 products: ``matmul ieee, conv bf16, rnn ieee``."""
    parts = {name: getattr(_backends.mkldnn, name, None) for name in ("matmul", "conv", "rnn")}
    said = {name: getattr(part, "fp32_precision", _ABSENT) for name, part in parts.items()}
    return ", ".join(f"{name} {'ieee' if value == 'none' else value}" for name, value in said.items())


def _attention() -> str:
    """The implementations that ``scaled_dot_product_attention`` may choose from."""
    kinds = {"flash": "flash", "mem_efficient": "memory-efficient", "math": "math", "cudnn": "cuDNN"}
    chosen = [word for name, word in kinds.items() if getattr(_backends.cuda, f"{name}_sdp_enabled", bool)()]
    return ", ".join(chosen) or "none"


def _deterministic() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "off"
    return "warn" if torch.is_deterministic_algorithms_warn_only_enabled() else "on"


def _reduced(switch: object) -> str:
    """Newer versions of torch answer with a pair, whose first says it."""
    return "reduced precision" if (switch[0] if isinstance(switch, tuple) else switch) else "full precision"


def _variable(name: str) -> _Read:
    return lambda: os.environ.get(name, _ABSENT)


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
