"""How fast a golden's tensors are judged: GB of golden per second, and microseconds for a tiny tensor.

``python -m benchmarks.compare`` prints a table and, as its last line, the figures as one JSON object. The data is read
with ``pread`` from a file in the page cache and verified with xxh3-128, as a golden is.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import torch
import xxhash

from pytest_parity.compare.dtypes import dtype_name
from pytest_parity.compare.judge import Outcome, StreamJudge
from pytest_parity.compare.tolerance import default_tolerance
from pytest_parity.compare.update import UpdateJudge
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import torch_dtype
from pytest_parity.result import Tolerance, Verdict
from pytest_parity.site import Kind, Site

ROUNDS = 9
SHAPE = (64, 1 << 18)  # 64 MB of float32, read in many chunks
TINY = (16, 16)  # 1 KB


class PreadSource:
    """Tensors in one file, read back in chunks and verified."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._end = 0

    def put(self, tensor: torch.Tensor) -> Entry:
        """Append a tensor."""
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy().data
        offset, self._end = self._end, self._end + data.nbytes
        for start in range(0, data.nbytes, 1 << 26):
            os.pwrite(self._file, data[start : start + (1 << 26)], offset + start)
        digest = xxhash.xxh3_128_hexdigest(data)
        site = Site(Kind.ACTIVATION, "layer", 0)
        return Entry(site, 0, 0, dtype_name(tensor.dtype), tuple(tensor.shape), digest, "", offset, data.nbytes)

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        """The tensor's pieces, in ``buffer`` one after the other."""
        digest, view = xxhash.xxh3_128(), buffer.numpy().data
        for start in range(0, entry.nbytes, buffer.numel()):
            size = min(buffer.numel(), entry.nbytes - start)
            os.preadv(self._file, [view[:size]], entry.offset + start)
            digest.update(view[:size])
            yield buffer[:size].view(torch_dtype(entry))
        assert digest.hexdigest() == entry.digest

    def tensor(self, entry: Entry) -> torch.Tensor:
        """The whole tensor."""
        (whole,) = self.chunks(entry, torch.empty(entry.nbytes, dtype=torch.uint8))
        return whole.view(entry.shape)


def seconds(work: Callable[[], Outcome], expected: Verdict, times: int = 1) -> float:
    """The median time of one call, checked for its verdict."""
    taken = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(times):
            verdict = work().verdict
        taken.append((time.perf_counter() - begin) / times)
        assert verdict is expected, verdict
    return median(taken)


def large(source: PreadSource, dtype: torch.dtype, tolerance: Tolerance) -> dict[str, float]:
    """GB of golden per second, for a tensor of many chunks."""
    name, stream = dtype_name(dtype), StreamJudge(source)
    reference = torch.randn(SHAPE).to(dtype)
    close = reference * (1 + 2 * torch.finfo(dtype).eps)
    entry = source.put(reference)
    cases = {
        "equal": (reference.clone(), Verdict.EQUAL),
        "close": (close, Verdict.CLOSE),
        "close_strided": (close.t().contiguous().t(), Verdict.CLOSE),
        "failing": (reference * 1.5, Verdict.DIFFERS),
    }
    return {
        f"{name}_{case}_gb_s": reference.nbytes / 1e9 / seconds(partial(stream, entry, actual, tolerance), verdict)
        for case, (actual, verdict) in cases.items()
    }


def updates(source: PreadSource) -> dict[str, float]:
    """GB of updated weights per second."""
    start = torch.randn(SHAPE)
    begun, moved = source.put(start), source.put(start - 1e-3)
    work = partial(UpdateJudge(source), moved, begun, start - 1.0001e-3, None, Tolerance(1e-2, 1e-6))
    return {"float32_update_gb_s": start.nbytes / 1e9 / seconds(work, Verdict.CLOSE)}


def tiny(source: PreadSource) -> dict[str, float]:
    """Microseconds for a tensor of 1 KB."""
    stream, reference = StreamJudge(source), torch.randn(TINY)
    entry, tolerance = source.put(reference), default_tolerance("float32", "float32")
    cases = {
        "equal": (reference.clone(), Verdict.EQUAL),
        "close": (reference * (1 + 2e-7), Verdict.CLOSE),
        "failing": (reference * 1.5, Verdict.DIFFERS),
    }
    return {
        f"tiny_{case}_us": 1e6 * seconds(partial(stream, entry, actual, tolerance), verdict, times=300)
        for case, (actual, verdict) in cases.items()
    }


def main() -> None:
    """Measure, print."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as directory:
        source = PreadSource(Path(directory) / "data")
        figures = large(source, torch.float32, default_tolerance("float32", "float32"))
        figures |= large(source, torch.bfloat16, Tolerance(2e-2, 1e-5))
        figures |= updates(source) | tiny(source)
    for name, value in figures.items():
        print(f"{name:28} {value:8.1f}")
    figures["step_490mb_close_s"] = 0.49 / figures["float32_close_gb_s"]
    print(f"490 MB of close float32: {figures['step_490mb_close_s']:.3f} s")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
