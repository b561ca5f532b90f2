"""Whatever happened to a golden's files, the reader says so in one error, and never hands out other values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_parity.errors import GoldenError
from pytest_parity.golden import Golden
from pytest_parity.golden.canonical import compact
from pytest_parity.golden.digest import digest

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
ACTIVATIONS = "step_0/activations.safetensors"


def error_of(path: Path) -> str:
    with pytest.raises(GoldenError) as caught, Golden.open(path) as golden:
        golden.verify()
    return str(caught.value)


def edit(file: Path, change: Callable[[bytearray], Any]) -> None:
    data = bytearray(file.read_bytes())
    change(data)
    file.write_bytes(data)


def reseal(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest, and forge its digest."""
    content = json.loads((path / "golden.json").read_text())
    content.pop("digest")
    change(content)
    content["digest"] = digest(compact(content).encode())
    (path / "golden.json").write_text(json.dumps(content))


def forge_header(path: Path, name: str, header: bytes) -> None:
    """Give a file another header, and have the manifest vouch for it."""
    data = (path / name).read_bytes()
    head = len(header).to_bytes(8, "little") + header
    tail = data[8 + int.from_bytes(data[:8], "little") :]
    (path / name).write_bytes(head + tail)
    record = {"digest": digest(head), "size": len(head + tail)}
    reseal(path, lambda content: content["files"][name].update(record))


def header_of(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def test_truncated(record) -> None:
    path = record()
    edit(path / ACTIVATIONS, lambda data: data.__delitem__(slice(-7, None)))
    size = (path / ACTIVATIONS).stat().st_size
    assert f"{ACTIVATIONS} is truncated: {size} bytes, and the manifest says {size + 7}; restore it" in error_of(path)


def test_grown(record) -> None:
    path = record()
    edit(path / ACTIVATIONS, lambda data: data.append(0))
    assert f"{ACTIVATIONS} is not the file that was recorded" in error_of(path)


def test_empty_file(record) -> None:
    path = record()
    (path / ACTIVATIONS).write_bytes(b"")
    assert f"{ACTIVATIONS} is truncated: 0 bytes" in error_of(path)


def test_damaged_tensor_names_its_site(record) -> None:
    path = record()
    edit(path / ACTIVATIONS, lambda data: data.__setitem__(-1, data[-1] ^ 1))
    message = error_of(path)
    assert "activation/lin#1/out of step 0 is damaged: the digest of its 40 bytes" in message
    assert "pytest --parity-record" in message


def test_a_damaged_tensor_is_never_handed_out_whole(record) -> None:
    path = record()
    edit(path / "step_0/gradients.safetensors", lambda data: data.__setitem__(-1, data[-1] ^ 1))
    buffer = torch.empty(100_000, dtype=torch.uint8)
    with Golden.open(path) as golden:
        entry = golden.entries(0)[5]
        with pytest.raises(GoldenError, match=r"gradient/lin\.weight of step 0 is damaged"):
            golden.tensor(entry)
        pieces = golden.chunks(entry, buffer)
        for _ in range(3):
            next(pieces)
        with pytest.raises(GoldenError, match=r"gradient/lin\.weight of step 0 is damaged"):
            next(pieces)


def test_damaged_header(record) -> None:
    path = record()
    edit(path / ACTIVATIONS, lambda data: data.__setitem__(30, data[30] ^ 1))
    assert f"the header of {path / ACTIVATIONS} is damaged: its digest is" in error_of(path)


def test_header_of_absurd_length(record) -> None:
    path = record()
    edit(path / ACTIVATIONS, lambda data: data.__setitem__(slice(0, 8), (1 << 60).to_bytes(8, "little")))
    assert f"states a header of {1 << 60} bytes, in a file of" in error_of(path)


def test_newer_schema(record) -> None:
    path = record()
    reseal(path, lambda content: content.update(schema=7))
    message = error_of(path)
    assert "has schema 7" in message
    assert "reads up to schema 1; upgrade with 'pip install --upgrade pytest-parity'" in message


@pytest.mark.parametrize("name", ["golden.json", ACTIVATIONS])
def test_git_lfs_pointer(record, name: str) -> None:
    path = record()
    (path / name).write_bytes(POINTER)
    assert error_of(path) == f"{path / name} is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"


@pytest.mark.parametrize("text", ["{", "[1, 2", "\ufffe", '{"schema": NaN}', "[" * 100_000])
def test_corrupt_json(record, text: str) -> None:
    path = record()
    (path / "golden.json").write_text(text, encoding="utf-16" if text == "\ufffe" else "utf-8")
    assert "golden.json is not JSON" in error_of(path)


def test_json_of_something_else(record) -> None:
    path = record()
    (path / "golden.json").write_text("[]")
    assert "is no manifest: it holds a list" in error_of(path)
    (path / "golden.json").write_text('{"name": "react"}')
    assert "its schema is None, not 1" in error_of(path)


def test_edited_manifest(record) -> None:
    path = record()
    text = (path / "golden.json").read_text()
    (path / "golden.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    assert "golden.json is damaged: its digest is not" in error_of(path)


def test_a_manifest_with_other_line_ends_is_the_same(record) -> None:
    path = record()
    (path / "golden.json").write_bytes((path / "golden.json").read_bytes().replace(b"\n", b"\r\n"))
    Golden.open(path).verify()


def test_missing_file(record) -> None:
    path = record()
    (path / ACTIVATIONS).unlink()
    assert f"{path / ACTIVATIONS} is missing, and the manifest names it; restore it" in error_of(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../secret", "step_0/../../x", "a//b", "./a", "a\\..\\b", "\ud800"])
def test_a_path_that_leaves_the_golden_is_refused(record, name: str) -> None:
    path = record()
    reseal(path, lambda content: content["files"].update({name: {"digest": "", "size": 0, "step": 0}}))
    message = error_of(path)
    assert "which is outside of the golden; it is refused" in message


def test_a_symlink_that_leaves_the_golden_is_refused(record, tmp_path: Path) -> None:
    path = record()
    shutil.copy(path / ACTIVATIONS, tmp_path / "outside")
    (path / ACTIVATIONS).unlink()
    (path / ACTIVATIONS).symlink_to(tmp_path / "outside")
    assert "leads out of the golden" in error_of(path)


def test_a_symlink_within_the_golden_is_followed(record) -> None:
    path = record()
    (path / ACTIVATIONS).rename(path / "elsewhere")
    (path / ACTIVATIONS).symlink_to(path / "elsewhere")
    Golden.open(path).verify()


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "step_9/none.safetensors", 7, ["a"], None])
def test_an_alias_that_leaves_the_golden_is_refused(record, target: Any) -> None:
    path = record()
    header = header_of(path / "step_1/weights.safetensors")
    metadata = json.loads(header["__metadata__"]["parity"])
    metadata["entries"][0]["alias"] = [target, "weight/lin.weight"]
    header["__metadata__"]["parity"] = json.dumps(metadata)
    forge_header(path, "step_1/weights.safetensors", json.dumps(header).encode())
    error_of(path)


def test_an_alias_to_another_shape_is_refused(record) -> None:
    path = record()
    header = header_of(path / "step_1/weights.safetensors")
    header["__metadata__"]["parity"] = header["__metadata__"]["parity"].replace('"shape":[64]', '"shape":[1000000000]')
    forge_header(path, "step_1/weights.safetensors", json.dumps(header).encode())
    assert "does not take 256 bytes" in error_of(path)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"{" * 100_000,
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"parity": "["}}',
        b'{"__metadata__": {"parity": "{}"}}',
        b'{"__metadata__": {"parity": "{\\"entries\\": 3, \\"step\\": 0}"}}',
        b'{"__metadata__": {"parity": "{\\"entries\\": [3], \\"step\\": 0}"}}',
        b'{"__metadata__": {"parity": "{\\"entries\\": [{\\"site\\": []}], \\"step\\": 0}"}}',
        b'{"__metadata__": {"parity": "{\\"entries\\": [], \\"step\\": 0}"}, "a": {"data_offsets": [0, 999999999]}}',
        b'{"__metadata__": {"parity": "{\\"entries\\": [], \\"step\\": 0}"}, "a": {"data_offsets": [-5, 1]}}',
        b'{"__metadata__": {"parity": "{\\"entries\\": [], \\"step\\": 0}"}, "a": 5}',
        b"\xff\xfe\x00",
    ],
)
def test_a_malformed_header(record, header: bytes) -> None:
    path = record()
    forge_header(path, ACTIVATIONS, header)
    assert f"the header of {path / ACTIVATIONS} is malformed" in error_of(path)


def test_something_else_in_the_place_of_a_file(record) -> None:
    path = record()
    (path / ACTIVATIONS).unlink()
    (path / ACTIVATIONS).mkdir()
    assert str(path / ACTIVATIONS) in error_of(path)


def values_of(path: Path) -> list[tuple[Any, ...]]:
    with Golden.open(path) as golden:
        golden.verify()
        found: list[tuple[Any, ...]] = [(json.dumps(golden.manifest, sort_keys=True),)]
        for step in golden.steps:
            for entry in golden.entries(step):
                data = golden.tensor(entry).numpy().tobytes() if entry.dtype != "none" else b""
                found.append((str(entry.site), entry.step, entry.order, entry.dtype, entry.shape, data))
        return found


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_or_truncation_is_an_error_and_never_other_values(record, tmp_path: Path, data: Any) -> None:
    path = tmp_path / "nest/tiny"
    if not path.exists():
        record()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    good = values_of(path)
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        bad = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    else:
        bad = whole[:place]
    file.write_bytes(bad)
    try:
        found = values_of(path)
    except GoldenError as error:
        assert str(path) in str(error)  # noqa: PT017 - no error is right, too, where the bytes meant nothing
    else:
        assert found == good
        assert file.name == "golden.json"
    finally:
        file.write_bytes(whole)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_header_never_gives_another_exception(record, tmp_path: Path, data: Any) -> None:
    path = tmp_path / "nest/tiny"
    if not path.exists():
        record()
    manifest, whole = (path / "golden.json").read_bytes(), (path / ACTIVATIONS).read_bytes()
    header = bytearray(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    for _ in range(data.draw(st.integers(1, 3))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.sampled_from(b'0129-{}[]",:\\eE. xn'))
    try:
        forge_header(path, ACTIVATIONS, bytes(header))
        values_of(path)
    except GoldenError:
        pass
    finally:
        (path / "golden.json").write_bytes(manifest)
        (path / ACTIVATIONS).write_bytes(whole)
