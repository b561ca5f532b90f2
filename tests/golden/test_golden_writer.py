from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pytest_parity.errors import GoldenError, UsageError
from pytest_parity.golden import Golden, GoldenWriter, shard
from pytest_parity.golden.layout import STORED
from pytest_parity.site import Kind, Site

LEFT = {"provenance": {}, "settings": {}, "structure": {}, "history": []}


def activation(name: str) -> Site:
    return Site(Kind.ACTIVATION, name, 0, "out")


def round_trip(root: Path, *values: torch.Tensor | None) -> list[torch.Tensor]:
    writer = GoldenWriter(root, "case")
    for order, value in enumerate(values):
        writer.write(0, order, activation(f"m{order}"), value)
    writer.finish_step(0, {})
    writer.commit(**LEFT)
    with Golden.find(root, "case") as golden:
        golden.verify()
        return [golden.tensor(entry) for entry in golden.entries(0)]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(one.contiguous().flatten().view(torch.uint8), other.contiguous().flatten().view(torch.uint8))
    )


@pytest.mark.parametrize("name", [name for name in STORED if hasattr(torch, name)])
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    dtype = getattr(torch, name)
    bits = torch.arange(0, 96, dtype=torch.uint8)
    value = (bits % 2 if name == "bool" else bits).view(dtype).reshape(2, -1)
    (back,) = round_trip(tmp_path, value)
    assert same(back, value)
    for file in tmp_path.rglob("*.safetensors"):
        load_file(file)


@pytest.mark.parametrize(
    "value",
    [
        torch.randn(4, 6).t(),
        torch.randn(1, 5).expand(3, 5),
        torch.randn(8, 8)[::2, 1::3],
        torch.tensor(1.5),
        torch.randn(3, 0, 2),
        torch.randn(3, 2, requires_grad=True),
        torch.nn.Parameter(torch.randn(3, 2)).t(),
        torch.randn(3, 2, dtype=torch.complex64).conj(),
        torch.randn(3, 2, dtype=torch.complex64).conj().imag,
        torch.randn(700, 700).t(),
    ],
    ids=["transposed", "stride 0", "strided", "0-d", "empty", "grad", "parameter", "conj", "neg", "large"],
)
def test_every_memory_layout_comes_back(tmp_path: Path, value: torch.Tensor) -> None:
    (back,) = round_trip(tmp_path, value)
    assert same(back, value.detach().resolve_conj().resolve_neg())


def test_a_sparse_gradient_is_densified(tmp_path: Path) -> None:
    embedding = torch.nn.Embedding(10, 3, sparse=True)
    embedding(torch.tensor([1, 7, 7])).sum().backward()
    gradient = embedding.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    (back,) = round_trip(tmp_path, gradient)
    assert torch.equal(back, gradient.to_dense())


def test_a_tensor_without_bytes_is_refused_by_name(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    with pytest.raises(GoldenError, match=r"activation/m#0/out cannot be copied to the CPU"):
        writer.write(0, 0, activation("m"), torch.empty(3, device="meta"))


def test_zeros_that_have_no_storage_are_recorded(tmp_path: Path) -> None:
    (back,) = round_trip(tmp_path, torch._efficientzerotensor(3))
    assert torch.equal(back, torch.zeros(3))


def test_a_tensor_whose_storage_was_freed_is_refused(tmp_path: Path) -> None:
    value = torch.ones(3)
    value.untyped_storage().resize_(0)
    with pytest.raises(GoldenError, match="has no bytes of its own"):
        round_trip(tmp_path, value)


def test_what_is_changed_after_the_write_is_recorded_as_it_was(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    small, large = torch.ones(5), torch.ones(1 << 20)
    writer.write(0, 0, activation("small"), small)
    writer.write(0, 1, activation("large"), large)
    small.zero_()
    large.zero_()
    writer.finish_step(0, {})
    writer.commit(**LEFT)
    with Golden.find(tmp_path, "case") as golden:
        assert all(bool((golden.tensor(entry) == 1).all()) for entry in golden.entries(0))


def test_equal_tensors_are_stored_once_also_across_steps(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    weight, frozen = torch.randn(1000), torch.randn(1000)
    for step in range(4):
        writer.write(step, 0, Site(Kind.WEIGHT, "w"), weight)
        writer.write(step, 1, Site(Kind.WEIGHT, "frozen"), frozen)
        weight = weight + 1
        writer.write(step, 2, Site(Kind.UPDATED_WEIGHT, "w"), weight)
        writer.write(step, 3, Site(Kind.UPDATED_WEIGHT, "frozen"), frozen)
        writer.finish_step(step, {})
    writer.commit(**LEFT)
    assert writer.sites == 16
    assert writer.bytes_written == 4000 * (1 + 4 + 1)
    with Golden.find(tmp_path, "case") as golden:
        golden.verify()
        start = golden.entry(3, Site(Kind.WEIGHT, "w"))
        end = golden.entry(2, Site(Kind.UPDATED_WEIGHT, "w"))
        assert start is not None
        assert end is not None
        assert (start.file, start.offset) == (end.file, end.offset)
        assert start.file == "step_2/updated_weights.safetensors"


def test_equal_bytes_of_another_shape_or_dtype_are_no_alias(tmp_path: Path) -> None:
    first, second, third = round_trip(tmp_path, torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32))
    assert (first.shape, second.shape, third.dtype) == ((4,), (2, 2), torch.int32)


def test_recording_twice_gives_the_same_bytes_in_every_file(tmp_path: Path, record) -> None:
    one, other = record(root=tmp_path / "a"), record(root=tmp_path / "b")
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert len(names) == 11
    assert names == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_every_file_is_safetensors_and_small(record) -> None:
    path = record()
    tensors = {}
    for file in path.rglob("*.safetensors"):
        tensors.update({f"{file.relative_to(path)}:{name}": value for name, value in load_file(file).items()})
    assert tensors["step_0/gradients.safetensors:gradient/lin.weight"].shape == (300, 300)
    assert (path / "step_0/gradients.safetensors").stat().st_size < 300 * 300 * 4 + 1024


def test_a_file_that_grows_large_keeps_the_space_of_its_header(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard, "AHEAD", 1 << 20)
    values = [torch.full((300_000,), float(index)) for index in range(3)]
    back = round_trip(tmp_path, *values)
    assert all(map(torch.equal, back, values))
    file = tmp_path / "case/step_0/activations.safetensors"
    assert file.stat().st_size == shard.RESERVED + 3 * 1_200_000
    assert len(load_file(file)) == 3


def test_a_file_system_that_cannot_allocate_ahead_is_written_all_the_same(tmp_path: Path, monkeypatch) -> None:
    def unable(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(shard.os, "posix_fallocate", unable)
    value = torch.randn(1 << 20)
    (back,) = round_trip(tmp_path, value)
    assert torch.equal(back, value)


@pytest.mark.parametrize("size", [3, 70_000])
def test_a_full_header_opens_a_further_shard(tmp_path: Path, monkeypatch, size: int) -> None:
    monkeypatch.setattr(shard, "RESERVED", 4096)
    values = [torch.full((size,), float(index)) for index in range(40)]
    back = round_trip(tmp_path, *values)
    assert all(map(torch.equal, back, values))
    files = sorted(path.name for path in (tmp_path / "case/step_0").iterdir())
    assert files[:2] == ["activations.1.safetensors", "activations.2.safetensors"]
    assert files[-1] == "activations.safetensors"
    assert sum(len(load_file(tmp_path / "case/step_0" / name)) for name in files) == 40


def test_names_beyond_ascii_fit_the_header(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard, "RESERVED", 4096)
    writer = GoldenWriter(tmp_path, "case")
    sites = [activation(f'schicht "{index}"\\\n\u00fc\U0001f600') for index in range(20)]
    for order, site in enumerate(sites):
        writer.write(0, order, site, torch.full((70_000,), float(order)))
    writer.finish_step(0, {})
    writer.commit(**LEFT)
    with Golden.find(tmp_path, "case") as golden:
        golden.verify()
        assert [entry.site for entry in golden.entries(0)] == sites


def test_a_name_that_fits_no_header_is_refused(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    with pytest.raises(GoldenError, match="does not fit"):
        writer.write(0, 0, activation("x" * shard.RESERVED), torch.ones(1))


def test_one_site_twice_in_a_step_is_refused(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    writer.write(0, 0, activation("m"), torch.ones(1))
    with pytest.raises(GoldenError, match=r"activation/m#0/out of step 0 was recorded twice"):
        writer.write(0, 1, activation("m"), torch.ones(1))
    with pytest.raises(GoldenError, match=r"cannot go on: activation/m#0/out of step 0 was recorded twice"):
        writer.write(0, 2, activation("n"), torch.ones(1))
    assert list(tmp_path.iterdir()) == []


def test_steps_are_recorded_one_after_the_other(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    writer.write(0, 0, activation("m"), torch.ones(1))
    with pytest.raises(GoldenError, match="step 1 cannot be recorded: step 0 is not finished"):
        writer.write(1, 0, activation("m"), torch.ones(1))


def test_a_golden_may_hold_no_tensor_at_all(tmp_path: Path) -> None:
    GoldenWriter(tmp_path, "nest/full").commit(**{**LEFT, "structure": {"parameters": 113_106_000}})
    with Golden.find(tmp_path, "nest/full") as golden:
        golden.verify()
        assert golden.steps == ()
        assert golden.manifest["structure"] == {"parameters": 113_106_000}


def test_a_value_that_is_not_plain_is_refused_by_its_place(tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path, "case")
    with pytest.raises(GoldenError, match=r"the record of step 0\.loss is a Tensor"):
        writer.finish_step(0, {"loss": torch.ones(1)})


@pytest.mark.parametrize("name", ["", "/a", "a//b", "a/", "../a", "a/..", ".a", "a/.b", "a\\b", "a\nb", "a" * 201])
def test_a_name_that_leaves_the_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a case"):
        GoldenWriter(tmp_path, name)


def test_a_case_inside_another_is_refused_both_ways(record, tmp_path: Path) -> None:
    record("nest/tiny")
    with pytest.raises(GoldenError, match=r"'nest/tiny' is there, and one is a path prefix"):
        GoldenWriter(tmp_path, "nest")
    with pytest.raises(GoldenError, match=r"'nest/tiny' is there, and one is a path prefix"):
        GoldenWriter(tmp_path, "nest/tiny/deeper")


def test_a_directory_that_is_no_golden_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case/thesis.txt").write_text("years of work")
    with pytest.raises(GoldenError, match="exists and is no golden"):
        GoldenWriter(tmp_path, "case")
    assert (tmp_path / "case/thesis.txt").exists()


def test_a_discarded_recording_leaves_nothing(record, tmp_path: Path) -> None:
    writer = GoldenWriter(tmp_path / "root", "a/b/case")
    writer.write(0, 0, activation("m"), torch.ones(1 << 20))
    writer.discard()
    writer.discard()
    assert list(tmp_path.iterdir()) == []
    path = record()
    before = (path / "golden.json").read_bytes()
    writer = GoldenWriter(tmp_path, "nest/tiny")
    writer.write(0, 0, activation("m"), torch.ones(1 << 20))
    writer.discard()
    assert (path / "golden.json").read_bytes() == before
    assert [child.name for child in path.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("limit", [4096, 700_000])
def test_a_full_disk_is_one_clear_error_and_the_old_golden_stays(record, tmp_path: Path, limit: int) -> None:
    path = record()
    script = f"""
import resource, sys, torch
from pathlib import Path
from pytest_parity.errors import GoldenError
from pytest_parity.golden import GoldenWriter
from pytest_parity.site import Kind, Site
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
writer = GoldenWriter(Path({str(tmp_path)!r}), "nest/tiny")
try:
    for order in range(5):
        writer.write(0, order, Site(Kind.LOSS, str(order)), torch.randn(100_000))
    writer.finish_step(0, {{}})
    writer.commit(provenance={{}}, settings={{}}, structure={{}}, history=[])
except GoldenError as error:
    print(error)
"""
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    assert resource.RLIMIT_FSIZE
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "the golden of 'nest/tiny' cannot be written" in done.stdout
    assert "File too large" in done.stdout
    assert "the golden that was there is untouched" in done.stdout
    assert [child.name for child in path.parent.iterdir()] == ["tiny"]
    Golden.open(path).verify()


def test_importing_the_package_imports_no_torch() -> None:
    script = "import sys, pytest_parity.golden; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
    script = "import sys; from pytest_parity.golden import Golden; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 1
