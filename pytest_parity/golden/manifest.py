"""Manifest: ``golden.json``, what a golden says about itself, and the first thing that is read of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pytest_parity.errors import GoldenError
from pytest_parity.golden.canonical import compact, decode, dumps, loads, plain
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.digest import digest

__all__ = ["AGAIN", "SCHEMA", "FileRecord", "check_not_pointer", "read_manifest", "recorded_bytes", "render_manifest"]

SCHEMA = 1
"""The newest layout of goldens that this version reads, and the one it writes."""

AGAIN = "restore it from version control ('git checkout -- PATH'), or record the case again ('pytest --parity-record')"

FileRecord = dict[str, Any]
"""A file's line in the manifest: ``digest`` of its header, ``size`` in bytes, ``step``."""

_POINTER = b"version https://git-lfs"
_KEYS = {
    "case": str,
    "provenance": dict,
    "settings": dict,
    "structure": dict,
    "steps": dict,
    "files": dict,
    "history": list,
}


def render_manifest(content: Mapping[str, Any]) -> bytes:
    """The bytes of a ``golden.json`` that holds ``content``, the schema, and a digest over both.

    Raises ``GoldenError`` on values that are not plain.
    """
    encoded = plain({**content, "schema": SCHEMA}, MANIFEST)
    return dumps({**encoded, "digest": digest(compact(encoded).encode())}).encode()


def read_manifest(directory: Path) -> dict[str, Any]:
    """What ``golden.json`` of ``directory`` holds, ``digest`` among it, checked against that digest.

    Raises ``GoldenError`` on a Git LFS pointer, broken JSON, a newer schema, a wrong digest, and on a file name that
    leaves the directory.
    """
    path = directory / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GoldenError(f"{path} cannot be read: {error.strerror}; {AGAIN}") from error
    check_not_pointer(data, path)
    encoded = _parse(data, path)
    _check_schema(encoded.get("schema"), path)
    stored = encoded.pop("digest", None)
    if stored != digest(compact(encoded).encode()):
        raise GoldenError(f"{path} is damaged: its digest is not {stored}, the one it states; {AGAIN}")
    try:
        manifest: dict[str, Any] = {**decode(encoded), "digest": stored}
        _check_content(manifest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GoldenError(f"{path} is malformed: {error}; {AGAIN}") from error
    for name in manifest["files"]:
        _check_inside(name, path)
    return manifest


def recorded_bytes(path: Path, record: Mapping[str, Any]) -> bytes:
    """A whole file that the manifest names by ``size`` and ``digest``; raises ``GoldenError`` if it is missing or another."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GoldenError(f"{path} cannot be read: {error.strerror}, and the manifest names it; {AGAIN}") from error
    check_not_pointer(data, path)
    if len(data) != record["size"] or digest(data) != record["digest"]:
        raise GoldenError(
            f"{path} is damaged: {len(data)} bytes, digest {digest(data)}; the manifest says otherwise; {AGAIN}"
        )
    return data


def check_not_pointer(data: bytes, path: Path) -> None:
    """Raise ``GoldenError`` if ``data``, a file's first bytes, are what Git LFS leaves in the place of a file."""
    if data.startswith(_POINTER):
        raise GoldenError(f"{path} is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'")


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    try:
        encoded = loads(data)
        compact(encoded).encode()
    except (ValueError, RecursionError) as error:
        raise GoldenError(f"{path} is not JSON ({len(data)} bytes): {error}; {AGAIN}") from error
    if not isinstance(encoded, dict):
        raise GoldenError(f"{path} is no manifest: it holds a {type(encoded).__name__}, not an object; {AGAIN}")
    return encoded


def _check_schema(schema: Any, path: Path) -> None:
    if isinstance(schema, int) and schema > SCHEMA:
        raise GoldenError(
            f"{path} has schema {schema}, and pytest-parity {_version()} reads up to schema {SCHEMA}; "
            f"upgrade with 'pip install --upgrade pytest-parity'"
        )
    if schema is not True and schema == SCHEMA:
        return
    raise GoldenError(f"{path} is no golden's manifest: its schema is {schema!r}, not {SCHEMA}; {AGAIN}")


def _version() -> str:
    try:
        return version("pytest-parity")
    except PackageNotFoundError:
        return "(not installed)"


def _check_content(manifest: dict[str, Any]) -> None:
    for key, kind in _KEYS.items():
        if not isinstance(manifest[key], kind):
            raise TypeError(f"{key} is a {type(manifest[key]).__name__}, not a {kind.__name__}")
    steps = {int(step) for step in manifest["steps"]}
    for name, record in manifest["files"].items():
        if type(record["size"]) is not int or type(record["digest"]) is not str or record["step"] not in steps:
            raise ValueError(f"the record of file {name!r} is {record!r}")


def _check_inside(name: str, path: Path) -> None:
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or re.search(r"[\\\x00-\x1f\ud800-\udfff]", name):
        raise GoldenError(f"{path} names the file {name!r}, which is outside of the golden; it is refused, {AGAIN}")
