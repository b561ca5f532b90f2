"""What to type where an environment is not a golden's, difference by difference."""

from __future__ import annotations

__all__ = ["by_the_run", "remedy"]

_AGAIN = "record it again here: pytest --parity-record --parity-reason env"
_RUN = (
    "default dtype",
    "autocast",
    "float32 matmul precision",
    "TF32 in matrix products",
    "TF32 in convolutions",
    "float32 in oneDNN",
    "float16 sums",
    "bfloat16 sums",
    "attention",
    "deterministic algorithms",
    "CUBLAS_WORKSPACE_CONFIG",
    "cuDNN enabled",
    "cuDNN deterministic",
    "cuDNN benchmark",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "seed",
    "dataloader workers",
)
_ABSENT = "absent"


def by_the_run(name: str) -> bool:
    """Whether a test, its profile or the script sets this, so that nobody can know it before they run."""
    return name in _RUN


def remedy(name: str, golden: str, here: str) -> str:
    """What to type, or to look for, so that ``name`` is as in the golden's run."""
    if name in {"torch", "numpy", "pytest-parity"}:
        return f"pip install {name}=={golden.partition('+')[0]}{_build(golden)}"
    if name == "python":
        return f"an environment with python {'.'.join(golden.split('.')[:2])}"
    if name == "threads":
        return f"OMP_NUM_THREADS={golden} pytest ..., or torch.set_num_threads({golden})"
    if name == "interop threads":
        return f"torch.set_num_interop_threads({golden}) in a conftest.py, before torch computes"
    if name.isupper() and "_" in name:
        return f"unset {name}" if golden == _ABSENT else f"export {name}={golden}"
    return _machine(name, golden, here)


def _machine(name: str, golden: str, here: str) -> str:
    if name == "device":
        return f"run it where there is {_device(golden)}, or {_AGAIN}"
    if name == "CPU capability":
        return f"ATEN_CPU_CAPABILITY={golden.lower()} pytest ..., where this CPU has that; else {_AGAIN}"
    if name == "CUDA":
        return "a torch built without CUDA" if golden == _ABSENT else f"a torch built for CUDA {golden}"
    if name == "cuDNN":
        return f"the cuDNN that the golden's torch came with ({golden}), or {_AGAIN}"
    if name in {"MKL", "oneDNN"}:
        return f"a torch that has {name}" if here == "off" else f"a torch without {name}"
    return _AGAIN


def _build(version: str) -> str:
    local = version.partition("+")[2]
    return f", the build for {local}" if local else ""


def _device(golden: str) -> str:
    kind, _, name = golden.partition(" ")
    return f"a {kind} device {name}".rstrip() if kind != "cpu" else "no other device than the CPU"
