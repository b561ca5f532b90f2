from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from pytest_parity.errors import GoldenError, GoldenNotFound, UsageError
from pytest_parity.golden import Golden, GoldenWriter, cases
from pytest_parity.site import Kind, Site


def test_entries_come_in_execution_order(record) -> None:
    with Golden.open(record()) as golden:
        assert golden.case == "nest/tiny"
        assert golden.steps == (0, 1)
        assert [entry.order for entry in golden.entries(1)] == list(range(7))
        loss = golden.entry(1, Site(Kind.LOSS, "loss"))
        assert loss is not None
        assert math.isnan(golden.tensor(loss).item())
        assert golden.entry(1, Site(Kind.LOSS, "another")) is None


def test_plain_values_come_back_with_their_infinities(record) -> None:
    with Golden.open(record()) as golden:
        assert math.isnan(golden.manifest["steps"]["0"]["loss"])
        assert golden.manifest["steps"]["0"]["lengths"] == [3, 5]
        assert golden.manifest["settings"] == {"seed": 0, "noise": math.inf}


@pytest.mark.parametrize("size", [16, 100, 4096, 1 << 20])
def test_pieces_in_a_reused_buffer_are_the_tensor(record, size: int) -> None:
    buffer = torch.empty(size, dtype=torch.uint8)
    with Golden.open(record()) as golden:
        for entry in golden.entries(0):
            if entry.dtype == "none":
                assert list(golden.chunks(entry, buffer)) == []
                continue
            pieces = [piece.clone() for piece in golden.chunks(entry, buffer)]
            expected = golden.tensor(entry)
            assert pieces[0].dtype == expected.dtype
            assert torch.equal(torch.cat(pieces).nan_to_num(), expected.flatten().nan_to_num())


def test_none_comes_back_as_none(record) -> None:
    with Golden.open(record()) as golden:
        entry = golden.entry(0, Site(Kind.GRADIENT, "unused"))
        assert entry is not None
        assert (entry.dtype, entry.shape, entry.nbytes) == ("none", (), 0)
        with pytest.raises(GoldenError, match=r"gradient/unused of step 0 was None"):
            golden.tensor(entry)


def test_a_step_that_was_not_kept(record) -> None:
    with Golden.open(record()) as golden, pytest.raises(GoldenError, match="has no step 7; it keeps 0, 1"):
        golden.entries(7)


def test_many_steps_keep_few_files_open(record) -> None:
    with Golden.open(record(steps=40)) as golden:
        golden.verify()
        assert len(golden._sources) <= 64
        first = golden.entries(0)[0]
        assert golden.tensor(first).shape == (64,)


def test_a_closed_golden_opens_again_when_asked(record) -> None:
    golden = Golden.open(record())
    golden.verify()
    golden.close()
    golden.verify()
    golden.close()


def test_no_such_case_lists_those_there_are_nearest_first(record, tmp_path: Path) -> None:
    for case in ("gpt/small", "nest/tiny", "nest/tinier"):
        record(case)
    assert cases(tmp_path) == ("gpt/small", "nest/tinier", "nest/tiny")
    with pytest.raises(GoldenNotFound) as caught:
        Golden.find(tmp_path, "nest/tinny")
    assert "no case 'nest/tinny'" in str(caught.value)
    assert "there are nest/tiny, nest/tinier, gpt/small; record it with 'pytest --parity-record'" in str(caught.value)
    with pytest.raises(GoldenNotFound, match="no case 'nest' in"):
        Golden.find(tmp_path, "nest")


def test_no_goldens_at_all(tmp_path: Path) -> None:
    with pytest.raises(GoldenNotFound, match="nor any other"):
        Golden.find(tmp_path / "nowhere", "case")
    with pytest.raises(GoldenNotFound, match="there is no golden at"):
        Golden.open(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        Golden.find(tmp_path, "../case")


def test_a_directory_that_is_no_golden_names_the_cases_below(record, tmp_path: Path) -> None:
    record("nest/tiny")
    with pytest.raises(GoldenError, match=r"is no golden: it has no golden\.json; the cases below it are nest/tiny"):
        Golden.open(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(GoldenError, match=r"is no golden: it has no golden\.json; record it"):
        Golden.find(tmp_path, "other")


def test_cases_never_lists_what_is_being_recorded(record, tmp_path: Path) -> None:
    record("nest/tiny")
    writer = GoldenWriter(tmp_path, "nest/other")
    writer.write(0, 0, Site(Kind.LOSS, "loss"), torch.ones(1))
    writer.finish_step(0, {})
    assert cases(tmp_path) == ("nest/tiny",)
    writer.discard()
    assert cases(tmp_path / "nowhere") == ()


def test_a_golden_reached_through_a_symlink_is_read_and_replaced(record, tmp_path: Path) -> None:
    path = record("real", root=tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/real").symlink_to(path)
    record("real", root=tmp_path / "root", scale=2.0)
    assert (tmp_path / "root/real").is_symlink()
    assert [child.name for child in path.parent.iterdir()] == ["real"]
    Golden.find(tmp_path / "root", "real").verify()
