"""Table: a step's entries by site, in execution order, out of its files' headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from pytest_parity.golden.entry import Entry
from pytest_parity.golden.layout import check_shape
from pytest_parity.golden.source import Source, malformed
from pytest_parity.site import Site

__all__ = ["read_table"]


def read_table(
    step: int, names: Iterable[str], source: Callable[[str], Source], sites: dict[str, Site]
) -> dict[Site, Entry]:
    """The entries of the files ``names``, aliases resolved, sorted by order; ``sites`` is a cache of parsed sites.

    Raises ``GoldenError`` on an entry that makes no sense.
    """
    entries: list[Entry] = []
    for name in names:
        file = source(name)
        try:
            entries.extend(_entry(step, file, raw, source, sites) for raw in file.header.entries)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise malformed(file.path, error) from error
    entries.sort(key=attrgetter("order"))
    return {entry.site: entry for entry in entries}


def _entry(
    step: int, file: Source, raw: dict[str, Any], source: Callable[[str], Source], sites: dict[str, Site]
) -> Entry:
    text, digest, dtype, order = raw["site"], raw["digest"], raw["dtype"], raw["order"]
    shape = tuple(raw["shape"])
    site = sites.get(text) or sites.setdefault(text, Site.parse(text))
    if type(order) is not int or type(digest) is not str:
        raise TypeError(f"the order or the digest of {text} is malformed")
    if not digest:
        check_shape(dtype, shape, 0)
        return Entry(site, step, order, dtype, shape, digest, file.name, 0, 0)
    name, key = raw.get("alias") or (file.name, text)
    tensor = (file if name == file.name else source(name)).header.tensors[key]
    check_shape(dtype, shape, tensor.nbytes)
    return Entry(site, step, order, dtype, shape, digest, name, tensor.offset, tensor.nbytes)
