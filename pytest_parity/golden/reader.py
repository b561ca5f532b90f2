"""Golden: a golden on disk, read lazily, every byte verified before it counts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from pytest_parity.errors import GoldenError, GoldenNotFound, UsageError
from pytest_parity.golden.cases import MANIFEST, cases, check_case_name, nearest
from pytest_parity.golden.curves import KeptCurve, read_curves
from pytest_parity.golden.digest import Hasher, digest
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.exchange import recover
from pytest_parity.golden.manifest import AGAIN, read_manifest
from pytest_parity.golden.noise import NoiseFloors, read_floors
from pytest_parity.golden.source import Source
from pytest_parity.golden.table import read_table
from pytest_parity.site import Site

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Golden"]

_OPEN_FILES = 64
_CHUNK = 1 << 20
_RECORD = "record it with 'pytest --parity-record'"


class Golden:
    """A golden, open for reading: nothing is read of its tensors before they are asked for.

    ``path`` is the case's directory, ``case`` its name, ``manifest`` what ``golden.json`` holds, ``steps`` the steps
    that were kept, ascending. A context manager; it closes its files. Not for several threads at once.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.case: str = manifest["case"]
        self.steps: tuple[int, ...] = tuple(sorted(map(int, manifest["steps"])))
        self._sources: OrderedDict[str, Source] = OrderedDict()
        self._tables: OrderedDict[int, dict[Site, Entry]] = OrderedDict()
        self._sites: dict[str, Site] = {}

    @classmethod
    def open(cls, path: str | Path) -> Golden:
        """Open a case's directory.

        Raises ``GoldenNotFound`` if there is none, ``GoldenError`` if it is no golden, or one that cannot be read.
        """
        path = Path(path)
        _recover(path)
        if not path.exists():
            raise GoldenNotFound(f"there is no golden at {path}; {_RECORD}")
        if not (path / MANIFEST).exists():
            raise GoldenError(f"{path} is no golden: it has no {MANIFEST}; {_below(path)}")
        return cls(path, read_manifest(path))

    @classmethod
    def find(cls, root: Path, case: str, *, record: str = "") -> Golden:
        """Open a case below ``root``; raises as ``open``, and ``UsageError`` on a name that cannot be a case's.

        ``record`` is what someone types to record it, where that is not pytest's own option.
        """
        check_case_name(case)
        path = Path(root) / case
        _recover(path)
        if not (path / MANIFEST).exists():
            names = cases(Path(root))
            if not path.is_dir() or any(name.startswith(f"{case}/") for name in names):
                raise GoldenNotFound(
                    _not_found(Path(root), case, names, f"record it with {record}" if record else _RECORD)
                )
        return cls.open(path)

    def narrow(self, steps: Iterable[int]) -> None:
        """Have only these of its steps from here on; raises ``UsageError`` for one that was not kept."""
        chosen = sorted(set(steps))
        unknown = [step for step in chosen if step not in self.steps]
        if unknown or not chosen:
            asked = ", ".join(map(str, unknown)) or "none"
            raise UsageError(
                f"step {asked} was asked for, and the golden of {self.case} keeps {', '.join(map(str, self.steps))}; "
                "compare those, or record the others"
            )
        self.steps = tuple(chosen)

    def entries(self, step: int) -> tuple[Entry, ...]:
        """The step's observations in execution order; raises ``GoldenError`` if the step was not kept."""
        return tuple(self._table(step).values())

    def entry(self, step: int, site: Site) -> Entry | None:
        """The observation at a site of a step, or None."""
        return self._table(step).get(site)

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        """The tensor's elements, in order, as flat views of successive pieces in ``buffer``.

        ``buffer`` is uint8, 1-D, contiguous, on the CPU, at least 16 bytes long, and is overwritten by each piece. An
        empty tensor and ``None`` have no pieces. The digest is verified before the last piece is handed out: raises
        ``GoldenError`` if it is wrong.
        """
        if not entry.nbytes:
            return
        dtype = torch_dtype(entry)
        size = buffer.numel() // dtype.itemsize * dtype.itemsize
        view = buffer.numpy().data
        source = self._source(entry.file)
        hasher = Hasher()
        for start in range(0, entry.nbytes, size):
            count = min(size, entry.nbytes - start)
            piece = view[:count]
            source.read_into(piece, entry.offset + start)
            hasher.update(piece)
            if start + count == entry.nbytes:
                self._check(entry, hasher.hexdigest())
            yield buffer[:count].view(dtype)

    def tensor(self, entry: Entry) -> torch.Tensor:
        """The whole tensor, in memory of its own, on the CPU; raises ``GoldenError`` if it is damaged."""
        dtype = torch_dtype(entry)
        flat = torch.empty(entry.nbytes, dtype=torch.uint8, device="cpu")
        if entry.nbytes:
            view = flat.numpy().data
            self._source(entry.file).read_into(view, entry.offset)
            self._check(entry, digest(view))
        return flat.view(dtype).reshape(entry.shape)

    @cached_property
    def noise(self) -> NoiseFloors | None:
        """The noise floors, if any were recorded; raises ``GoldenError`` if their file is damaged."""
        return read_floors(self.path, self.manifest)

    @cached_property
    def curves(self) -> Mapping[str, KeptCurve]:
        """The training curves by name, if any were recorded; raises ``GoldenError`` if their file is damaged."""
        return read_curves(self.path, self.manifest)

    def verify(self) -> None:
        """Read everything; raises ``GoldenError`` on the first byte that is not what was recorded."""
        buffer = torch.empty(_CHUNK, dtype=torch.uint8, device="cpu")
        read_floors(self.path, self.manifest)
        read_curves(self.path, self.manifest)
        for name in self.manifest["files"]:
            self._source(name)
        for step in self.steps:
            for entry in self.entries(step):
                for _ in self.chunks(entry, buffer):
                    pass

    def close(self) -> None:
        """Close the files; those that are asked for later open again."""
        while self._sources:
            self._sources.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, entry: Entry, found: str) -> None:
        if found != entry.digest:
            raise GoldenError(
                f"{entry.site} of step {entry.step} is damaged: the digest of its {entry.nbytes} bytes at {entry.offset} "
                f"in {self.path / entry.file} is {found}, and {entry.digest} was recorded; {AGAIN}"
            )

    def _table(self, step: int) -> dict[Site, Entry]:
        table = self._tables.get(step)
        if table is None:
            if step not in self.steps:
                kept = ", ".join(map(str, self.steps)) or "none"
                raise GoldenError(f"{self.path} has no step {step}; it keeps {kept}")
            names = [name for name, record in self.manifest["files"].items() if record["step"] == step]
            table = read_table(step, names, self._source, self._sites)
            self._tables[step] = table
            while len(self._tables) > 2:  # noqa: PLR2004 - the step that is checked, and the one before
                self._tables.popitem(last=False)
        return table

    def _source(self, name: str) -> Source:
        source = self._sources.get(name)
        if source is not None:
            self._sources.move_to_end(name)
            return source
        record = self.manifest["files"].get(name)
        if record is None:
            raise GoldenError(f"an alias in {self.path} leads to {name!r}, which the manifest does not name; {AGAIN}")
        source = self._sources[name] = Source(self.path, name, record)
        if len(self._sources) > _OPEN_FILES:
            self._sources.popitem(last=False)[1].close()
        return source


def torch_dtype(entry: Entry) -> torch.dtype:
    """The entry's dtype; raises ``GoldenError`` for one that this version of torch has not, and for ``none``."""
    if entry.dtype == NONE:
        raise GoldenError(f"{entry.site} of step {entry.step} was None; there is no tensor to read")
    dtype = getattr(torch, entry.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise GoldenError(
            f"{entry.site} of step {entry.step} has dtype {entry.dtype}, which torch {torch.__version__} has not"
        )
    return dtype


def _recover(path: Path) -> None:
    try:
        recover(path)
    except OSError as error:
        raise GoldenError(
            f"a recording was interrupted while it replaced {path}, and that cannot be finished: {error.strerror}; "
            f"make {path.parent} writable, and run this again"
        ) from error


def _below(path: Path) -> str:
    names = cases(path) if path.is_dir() else ()
    return f"the cases below it are {', '.join(names)}" if names else _RECORD


def _not_found(root: Path, case: str, names: tuple[str, ...], record: str) -> str:
    if not names:
        return f"there is no case {case!r} in {root}, nor any other; {record}"
    listed = ", ".join(nearest(case, names)[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""  # noqa: PLR2004 - the ten listed
    return f"there is no case {case!r} in {root}; there are {listed}{more}; {record}"
