"""GoldenWriter: a recording's observations become files the moment they are seen."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pytest_parity.errors import GoldenError
from pytest_parity.golden.canonical import decode, plain
from pytest_parity.golden.cases import MANIFEST, check_case_name, check_no_prefix
from pytest_parity.golden.curves import KeptCurve, write_curves
from pytest_parity.golden.digest import digest
from pytest_parity.golden.layout import STORED, Form, file_name, none_entry, quoted
from pytest_parity.golden.manifest import FileRecord, render_manifest
from pytest_parity.golden.memory import SMALL, buffer_of, dense, is_plain
from pytest_parity.golden.noise import NoiseFloors, write_floors
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.room import is_full, less_words, room_words, stays_words
from pytest_parity.golden.shard import Shard
from pytest_parity.golden.staging import Staging
from pytest_parity.site import Kind, Site

__all__ = ["GoldenWriter"]


class GoldenWriter:
    """Writes one case's golden below ``root``, in a directory of its own that takes the old golden's place at the end.

    ``sites`` counts the observations written, ``bytes_written`` those tensors' bytes that are no aliases.

    Every method raises ``GoldenError`` if the golden cannot be written (a full disk, for one); the recording is
    discarded then, and the golden that was there is untouched. ``UsageError`` if ``case`` cannot be a name.
    """

    def __init__(self, root: Path, case: str) -> None:
        check_case_name(case)
        self.sites = 0
        self.bytes_written = 0
        self._case = case
        self._target = root / case
        self._steps: dict[str, Any] = {}
        self._files: dict[str, FileRecord] = {}
        self._shards: dict[Kind, Shard] = {}
        self._seen: set[str] = set()
        self._step: int | None = None
        self._names: dict[Site, str] = {}
        self._forms: dict[tuple[torch.dtype, torch.Size], Form] = {}
        self._recent: dict[str, str] = {}
        self._older: dict[str, str] = {}
        self._lock = threading.Lock()
        self._over = ""
        self._noise: dict[str, Any] = {}
        self._curves: dict[str, Any] = {}
        self._batches: dict[str, str] = {}
        self._bytes: dict[str, int] = {}
        """Of each kind, those that are no aliases."""
        self._staging: Staging | None = None
        with self._failing():
            check_no_prefix(root, case)
            _check_target(self._target)
            self._staging = Staging(Path(os.path.realpath(self._target)))

    def write(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        """Write one observation; the tensor may change as soon as this returns.

        ``value`` may have any shape, strides, device and layout, and any dtype of ``layout.STORED``. Raises
        ``GoldenError`` on another dtype, and on a site that this step has already.
        """
        with self._lock:
            try:
                self._write(step, order, site, value)
            except BaseException as error:
                with self._failing():
                    raise error from None

    def finish_step(self, step: int, info: Mapping[str, Any]) -> None:
        """Close the step's files; ``info``, plain values, becomes the manifest's record of the step."""
        with self._lock, self._failing():
            if self._step is None:
                self._begin(step)
            elif self._step != step:
                raise GoldenError(f"step {step} cannot end: it is step {self._step} that is being recorded")
            self._steps[str(step)] = decode(plain(info, f"the record of step {step}"))
            for kind in list(self._shards):
                self._close_shard(kind)
            self._older, self._recent = self._recent, {}
            self._seen.clear()
            self._step = None

    def seal(
        self,
        *,
        provenance: Mapping[str, Any],
        settings: Mapping[str, Any],
        structure: Mapping[str, Any],
        history: Sequence[Any],
    ) -> Golden:
        """Write the manifest of plain values, and open the golden as it will be. May be done again."""
        with self._lock, self._failing():
            if self._step is not None:
                raise GoldenError(f"step {self._step} is not finished")
            content = {
                "case": self._case,
                "provenance": provenance,
                "settings": settings,
                "structure": structure,
                "steps": self._steps,
                "files": self._files,
                "history": list(history),
                **({"batches": self._batches} if self._batches else {}),
                **({"noise": self._noise} if self._noise else {}),
                **({"curves": self._curves} if self._curves else {}),
            }
            assert self._staging is not None
            (self._staging.path / MANIFEST).write_bytes(render_manifest(content))
            return Golden.open(self._staging.path)

    def put_batch(self, step: int, digest: str) -> None:
        """Keep the digest of the batch that a step drew, kept or not; ``seal`` then writes them into the manifest."""
        self._batches[str(step)] = digest

    def put_noise(self, floors: NoiseFloors) -> None:
        """Write the noise floors of the steps; ``seal`` then names them in the manifest."""
        with self._lock, self._failing():
            assert self._staging is not None
            self._noise = write_floors(self._staging.path, floors)

    def put_curves(self, curves: Mapping[str, KeptCurve]) -> None:
        """Write the training curves, if any, in the place of those written before; ``seal`` then names them."""
        if curves:
            with self._lock, self._failing():
                assert self._staging is not None
                self._curves = write_curves(self._staging.path, curves)

    def commit(
        self,
        *,
        provenance: Mapping[str, Any],
        settings: Mapping[str, Any],
        structure: Mapping[str, Any],
        history: Sequence[Any],
    ) -> Path:
        """Seal, and put the golden in its place; returns the place."""
        self.seal(provenance=provenance, settings=settings, structure=structure, history=history).close()
        with self._lock, self._failing():
            assert self._staging is not None
            self._staging.commit()
            self._over = "it is committed"
            return self._target

    def discard(self) -> None:
        """Remove what was written; the golden that was there is untouched. After ``commit`` it does nothing."""
        if not self._over:
            self._abandon("it was discarded")

    def _write(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        if step != self._step or self._over:
            self._begin(step)
        name = self._names.get(site) or self._name(site)
        if name in self._seen:
            raise GoldenError(f"{site} of step {step} was recorded twice; give the second value a name of its own")
        self._seen.add(name)
        if value is None:
            entry = none_entry(name, order)
            self._shard(site.kind, 2 * len(entry)).add(entry)
        else:
            self._write_tensor(site, name, order, value)
        self.sites += 1

    def _begin(self, step: int) -> None:
        self._check_open()
        if self._step is not None:
            raise GoldenError(f"step {step} cannot be recorded: step {self._step} is not finished")
        if str(step) in self._steps:
            raise GoldenError(f"step {step} is recorded already")
        assert self._staging is not None
        self._step = step

    def _write_tensor(self, site: Site, name: str, order: int, value: torch.Tensor) -> None:
        value = _readable(value, site)
        form = self._forms.get((value.dtype, value.shape)) or self._form(value, site)
        data = buffer_of(value)
        digits = digest(data)
        key = digits + form.key
        alias = self._alias(key)
        entry = form.entry(name, order, digits, alias)
        if alias:
            self._shard(site.kind, 2 * len(entry)).add(entry)
            return
        size = len(data)
        shard = self._shard(site.kind, 2 * len(entry) + len(name) + 128)
        self._recent[key] = f"[{quoted(shard.name)},{name}]"
        shard.add(entry, form.tensor(name, shard.size, shard.size + size))
        shard.write(data, small=size <= SMALL)
        self.bytes_written += size
        self._bytes[site.kind.value] = self._bytes.get(site.kind.value, 0) + size

    def _alias(self, key: str) -> str:
        """The file and the tensor, as JSON, that this one repeats; what two steps did not see is forgotten."""
        known = self._recent.get(key)
        if known is None:
            known = self._older.get(key, "")
            if known:
                self._recent[key] = known
        return known

    def _shard(self, kind: Kind, needed: int) -> Shard:
        shard = self._shards.get(kind)
        if shard is not None and shard.has_room(needed):
            return shard
        return self._next_shard(kind, needed)

    def _next_shard(self, kind: Kind, needed: int) -> Shard:
        assert self._staging is not None
        assert self._step is not None
        number = 0
        if kind in self._shards:
            number = self._shards[kind].number + 1
            self._close_shard(kind)
        name = file_name(self._step, kind, first=not self._steps, shard=number)
        (self._staging.path / name).parent.mkdir(exist_ok=True)
        shard = self._shards[kind] = Shard(self._staging.path, name, self._step, number)
        if not shard.has_room(needed):
            raise GoldenError(f"a site's name of {needed} bytes does not fit into a file's header; shorten it")
        return shard

    def _close_shard(self, kind: Kind) -> None:
        shard = self._shards.pop(kind)
        self._files[shard.name] = shard.finish()

    def _name(self, site: Site) -> str:
        name = self._names[site] = quoted(str(site))
        return name

    def _form(self, value: torch.Tensor, site: Site) -> Form:
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in STORED:
            raise GoldenError(f"{site} has dtype {dtype}, which a golden cannot keep; cast it, or leave its kind out")
        form = self._forms[value.dtype, value.shape] = Form(dtype, tuple(value.shape))
        return form

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Whatever goes wrong inside becomes one ``GoldenError``, and the recording is discarded."""
        self._check_open()
        try:
            yield
        except OSError as error:
            message = self._unwritten(error)
            self._abandon(message)
            raise GoldenError(message) from error
        except BaseException as error:
            self._abandon(str(error))
            raise

    def _unwritten(self, error: OSError) -> str:
        room = stays = less = ""
        if is_full(error):
            place = next(path for path in (self._target, *self._target.absolute().parents) if path.exists())
            room, stays = f"; {room_words(error, place)}", stays_words(self._target)
            less = f", {less_words(self._bytes)}"
        return (
            f"the golden of {self._case!r} cannot be written to {self._target}: {error.strerror or error} "
            f"(after {self.sites} observations, {self.bytes_written} bytes{room}); "
            f"the golden that was there is untouched{stays}; make room, or choose another place with --parity-ref{less}"
        )

    def _check_open(self) -> None:
        if self._over:
            raise GoldenError(f"the recording of {self._case!r} cannot go on: {self._over}")

    def _abandon(self, reason: str) -> None:
        self._over = reason
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
        if self._staging is not None:
            self._staging.discard()


def _readable(value: torch.Tensor, site: Site) -> torch.Tensor:
    try:
        return value if is_plain(value) else dense(value)
    except (RuntimeError, TypeError) as error:
        raise GoldenError(f"{site} cannot be copied to the CPU to be recorded: {error}; leave its kind out") from error


def _check_target(target: Path) -> None:
    """A golden may be replaced, and nothing else."""
    if not os.path.lexists(target) or (target / MANIFEST).is_file():
        return
    if not target.is_dir() or any(target.iterdir()):
        raise GoldenError(f"{target} exists and is no golden (it has no {MANIFEST}); move it away, or rename the case")
