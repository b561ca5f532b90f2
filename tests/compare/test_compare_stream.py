from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pytest_parity.compare.judge import StreamJudge, judge
from pytest_parity.compare.pieces import Pieces, Scratch
from pytest_parity.compare.region import LengthRegion
from pytest_parity.errors import GoldenError
from pytest_parity.golden import Entry, Golden
from pytest_parity.result import Tolerance, Verdict

Keep = Callable[..., tuple[Golden, list[Entry]]]
LOOSE = Tolerance(1e-2, 1e-4)


class Counting:
    """A golden that counts how often it is read."""

    def __init__(self, golden: Golden) -> None:
        self.golden, self.reads, self.pieces = golden, 0, 0

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        self.reads += 1
        for chunk in self.golden.chunks(entry, buffer):
            self.pieces += 1
            yield chunk

    def tensor(self, entry: Entry) -> torch.Tensor:
        return self.golden.tensor(entry)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.complex64, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (7,), (5, 33), (3, 17, 29), (0, 4)])
@pytest.mark.parametrize("factor", [1.0, 1.0 + 2**-8, 2.0])
def test_in_chunks_the_outcome_is_that_of_the_whole(
    keep: Keep, dtype: torch.dtype, shape: tuple[int, ...], factor: float
):
    reference = torch.arange(3.0, 3.0 + torch.Size(shape).numel()).view(shape)
    candidate = (reference * factor).to(dtype)
    golden, (entry,) = keep(reference.to(dtype))
    assert StreamJudge(golden, 64)(entry, candidate, LOOSE) == judge(candidate, reference.to(dtype), LOOSE)


@pytest.mark.parametrize(
    "make", [lambda x: x.transpose(0, 2), lambda x: x[::2, 1:, ::3], lambda x: x[:, :1].expand(6, 9, 8)]
)
def test_strided_tensors_are_compared_piece_by_piece(keep: Keep, make: Callable[[torch.Tensor], torch.Tensor]):
    reference = make(torch.randn(6, 7, 8))
    golden, (entry,) = keep(reference)
    stream = StreamJudge(golden, 52)
    assert not reference.is_contiguous()
    assert stream(entry, reference, LOOSE).verdict is Verdict.EQUAL
    assert stream(entry, make(torch.randn(6, 7, 8)), LOOSE).verdict is Verdict.DIFFERS


def test_none_is_a_value(keep: Keep):
    golden, (none, some) = keep(None, torch.zeros(3))
    stream = StreamJudge(golden)
    assert stream(none, None, LOOSE).verdict is Verdict.EQUAL
    assert stream(none, torch.zeros(3), LOOSE).verdict is Verdict.EXTRA
    assert stream(some, None, LOOSE).verdict is Verdict.MISSING


def test_shape_and_dtype_are_those_of_the_golden(keep: Keep):
    golden, (entry,) = keep(torch.ones(2, 3))
    stream = StreamJudge(golden)
    assert stream(entry, torch.ones(3, 2), LOOSE).verdict is Verdict.SHAPE
    assert stream(entry, torch.ones(2, 3).half(), LOOSE).detail.endswith("the values agree within tolerance")
    assert stream(entry, torch.zeros(2, 3).half(), LOOSE).detail.endswith("the values differ too")
    assert stream(entry, torch.ones(2, 3).half(), LOOSE, allow_dtype=True).verdict is Verdict.CLOSE


def test_what_agrees_is_read_once_and_what_fails_twice(keep: Keep):
    reference = torch.randn(1000)
    golden, (entry,) = keep(reference)
    counting = Counting(golden)
    stream = StreamJudge(counting, 1000)
    stream(entry, reference, LOOSE)
    stream(entry, reference * 1.001, LOOSE)
    assert (counting.reads, counting.pieces) == (2, 8)
    stream(entry, reference * 2, LOOSE)
    assert (counting.reads, counting.pieces) == (4, 8 + 1 + 4)


def test_the_worst_element_has_its_place_in_the_tensor(keep: Keep):
    reference = torch.ones(4, 50)
    golden, (entry,) = keep(reference)
    candidate = reference * 1.02
    candidate[2, 31] = 5.0
    metrics = StreamJudge(golden, 64)(entry, candidate, LOOSE).metrics
    assert metrics is not None
    assert (metrics.worst_index, metrics.worst_actual, metrics.worst_expected) == ((2, 31), 5.0, 1.0)
    assert metrics.worst_allowed == pytest.approx(1e-2 + 1e-4)
    assert (metrics.elements, metrics.mismatched, metrics.share) == (200, 200, 1.0)


def test_a_region_leaves_padding_out(keep: Keep):
    reference = torch.randn(2, 5, 3)
    golden, (entry,) = keep(reference)
    candidate = reference.clone()
    candidate[1, 2:] = 99.0
    stream, region = StreamJudge(golden), LengthRegion(1, (5, 2))
    assert stream(entry, candidate, LOOSE, region=region).verdict is Verdict.EQUAL
    assert stream(entry, candidate, LOOSE).verdict is Verdict.DIFFERS
    candidate[1, 1, 2] = 99.0
    outcome = stream(entry, candidate, LOOSE, region=region)
    assert outcome.metrics is not None
    assert (outcome.verdict, outcome.elements, outcome.metrics.worst_index) == (Verdict.DIFFERS, 21, (1, 1, 2))


def test_one_judge_serves_many_sites(keep: Keep):
    tensors = [torch.randn(n).to(d) for n in (1, 700, 3, 40) for d in (torch.float32, torch.float16, torch.float64)]
    golden, entries = keep(*tensors)
    stream = StreamJudge(golden, 128)
    for _ in range(2):
        for entry, tensor in zip(entries, tensors, strict=True):
            assert stream(entry, tensor, LOOSE).verdict is Verdict.EQUAL
            assert stream(
                entry, tensor * 1.001 if tensor.dtype is not torch.float16 else tensor * 1.002, LOOSE
            ).verdict in {
                Verdict.CLOSE,
                Verdict.VACUOUS,
            }
            assert stream(entry, tensor * 3 + 1, LOOSE).verdict is Verdict.DIFFERS


def test_a_judge_made_in_inference_mode_works_outside(keep: Keep):
    reference = torch.randn(10)
    golden, (entry,) = keep(reference)
    with torch.inference_mode():
        stream = StreamJudge(golden)
        assert stream(entry, reference * 1.001, LOOSE).verdict is Verdict.CLOSE
    assert stream(entry, reference * 1.001, LOOSE).verdict is Verdict.CLOSE
    with torch.inference_mode():
        assert stream(entry, reference * 2, LOOSE).verdict is Verdict.DIFFERS


def test_damage_is_an_error_whatever_the_verdict_would_be(keep: Keep):
    reference = torch.randn(1000)
    golden, (entry,) = keep(reference)
    path = golden.path / entry.file
    data = bytearray(Path(path).read_bytes())
    data[entry.offset + 2001] ^= 1
    golden.close()
    Path(path).write_bytes(data)
    stream = StreamJudge(golden, 400)
    for candidate in (reference, reference * 1.001, reference * 2):
        with pytest.raises(GoldenError, match="damaged"):
            stream(entry, candidate, LOOSE)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_memory_stays_bounded(keep: Keep):
    reference = torch.randn(8, 1 << 20)
    candidate, far = (reference * 1.001).t().contiguous().t(), reference * 2
    golden, (entry,) = keep(reference)
    stream = StreamJudge(golden)
    stream(entry, far[:, : 1 << 10].repeat(1, 1 << 10), LOOSE)
    held = sum(buffer.nbytes for buffer in stream._scratch._bytes.values())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert stream(entry, candidate, LOOSE).verdict is Verdict.CLOSE
    assert stream(entry, far, LOOSE).verdict is Verdict.DIFFERS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10
    assert held < 16 << 20


@pytest.mark.parametrize("step", [1, 2, 5, 7, 100])
def test_pieces_put_together_are_the_tensor(step: int):
    for tensor in (torch.arange(60).view(3, 4, 5).permute(2, 0, 1), torch.arange(6)[::2], torch.tensor(3)):
        pieces = [piece.clone() for piece in Pieces(tensor, Scratch()).of(step)]
        assert torch.equal(torch.cat(pieces), tensor.reshape(-1))


@pytest.mark.gpu
def test_a_tensor_on_a_device_is_streamed(keep: Keep):
    reference = torch.randn(100, 3000)
    golden, (entry,) = keep(reference)
    stream = StreamJudge(golden, 1 << 16)
    assert stream(entry, reference.cuda(), LOOSE).verdict is Verdict.EQUAL
    assert stream(entry, reference.cuda() * 1.001, LOOSE).verdict is Verdict.CLOSE
    assert stream(entry, reference.t().contiguous().cuda().t() * 2, LOOSE).verdict is Verdict.DIFFERS
