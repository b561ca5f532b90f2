"""The text of a batch that is not the golden's: what differs from which step on, and what to look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pytest_parity.report.data_causes import look_at, other_samples
from pytest_parity.report.words import amount, listed, number, pair
from pytest_parity.result import Content, DataDifference, DataFault, Leaf, LeafDifference, Pad, Padding, Plain

__all__ = ["data_agreement", "data_lines", "data_sentence", "data_text"]

_SHOWN = 8
_CLOSE = 0.05
"""Factors nearer to 1 than this are shown with more digits."""
_UNIT = ("units", "unit")
_REPLAY = "under Lightning --batches recorded, in a loop by hand pytest_parity.check"


def data_text(case: str, difference: DataDifference, *, replay: str = _REPLAY) -> str:
    """The sentence behind the case's name, and the lines below it, indented."""
    return "\n  ".join([f"{case}: {data_sentence(difference)}", *data_lines(difference, replay=replay)])


def data_sentence(difference: DataDifference) -> str:
    """``the data differs from step 3 on: batch 3 here is the golden's batch 5 (order)``."""
    fault = "" if difference.fault is DataFault.UNKNOWN else f" ({difference.fault})"
    return f"the data differs from step {difference.step} on: {_how(difference)}{fault}"


def data_lines(difference: DataDifference, *, replay: str = _REPLAY) -> list[str]:
    """Details, and what to look at next; ``replay`` is the option under which the golden's own batches are used."""
    lines = ["every tensor differs in every row: these look like other samples"] if other_samples(difference) else []
    for place, leaf in enumerate(difference.leaves[:_SHOWN]):
        if place:
            lines.append(f"also {_leaf_how(leaf)} ({leaf.fault})")
        lines += _leaf_details(leaf)
    if more := len(difference.leaves) - _SHOWN:
        lines += [f"and {amount(more, 'tensor')} more that differ"] if more > 0 else []
    if difference.leaves:
        agreeing = difference.compared - sum(bool(leaf.here and leaf.golden) for leaf in difference.leaves)
        lines.append(f"tensors that agree bit for bit: {agreeing:,} of {difference.compared:,}")
    if difference.unmoved:
        lines.append(
            f"not in that order: {listed(difference.unmoved, _SHOWN)}, whose rows stand as in the golden: they no longer "
            "belong to the rows beside them"
        )
    lines.append(f"look at {look_at(difference)}")
    if replay and difference.fault is not DataFault.UNKNOWN and not _beyond(difference):
        lines.append(f"to compare the model all the same, on the golden's own batches: {replay}")
    return lines


def data_agreement(batches: int, tensors: int) -> str:
    """What is said of ``batches`` that do not differ, which hold ``tensors`` together."""
    if not batches:
        return "no batch was compared with the golden's"
    if not tensors:
        return (
            f"the data was not compared: {_batches(batches)} {'holds' if batches == 1 else 'hold'} no tensor; "
            "make tensors of what the model reads in the loader's collate_fn"
        )
    verb = "agrees" if batches == 1 else "agree"
    return f"the data of {_batches(batches)} {verb} with the golden's bit for bit ({amount(tensors, 'tensor')})"


def _beyond(difference: DataDifference) -> bool:
    """Whether it is a batch after the golden's last one."""
    return difference.fault is DataFault.EXTRA and not difference.leaves


def _how(difference: DataDifference) -> str:
    step, batches = difference.step, difference.batches
    if difference.batch is not None:
        return f"batch {step} here is the golden's batch {difference.batch}"
    if difference.rows:
        moved = [row for row, place in enumerate(difference.rows) if row != place]
        there = [difference.rows[row] for row in moved]
        return (
            f"the rows of batch {step} stand in another order: rows {_places(moved)} here are rows {_places(there)} "
            "of the golden's"
        )
    if difference.leaves:
        return _leaf_how(difference.leaves[0])
    if difference.fault is DataFault.MISSING:
        drew = f", and the reference drew {batches:,}" if batches else ", and the golden has more"
        return f"the loader ends after {_batches(step)} here{drew}"
    if difference.fault is DataFault.EXTRA:
        return f"the reference drew {_batches(batches)}, and the loader here goes on"
    return f"batch {step} here is none of the {_batches(batches)} that the reference drew, bit for bit"


def _batches(count: int) -> str:
    return f"{count:,} {'batch' if count == 1 else 'batches'}"


def _places(rows: Sequence[int]) -> str:
    return listed([str(row) for row in rows], _SHOWN)


def _leaf_how(leaf: LeafDifference) -> str:
    return _HOW[leaf.fault](leaf)


def _name(leaf: LeafDifference) -> str:
    own = leaf.here or leaf.golden
    assert own is not None
    name = f"tensor {own.path}" if own.path[:1].isdigit() else own.path or "the tensor"
    if leaf.here is None or leaf.golden is None or leaf.golden.path in {"", leaf.here.path}:
        return name
    return f"{name} (the golden's {leaf.golden.path})"


def _sides(leaf: LeafDifference) -> tuple[Leaf, Leaf]:
    assert leaf.here is not None
    assert leaf.golden is not None
    return leaf.here, leaf.golden


def _missing(leaf: LeafDifference) -> str:
    assert leaf.golden is not None
    return (
        f"the golden's batch has {_name(leaf)} {_described(leaf.golden)}, and the batch here has nothing in its place"
    )


def _extra(leaf: LeafDifference) -> str:
    assert leaf.here is not None
    return f"the batch here has {_name(leaf)} {_described(leaf.here)}, and the golden's has nothing in its place"


def _dtype(leaf: LeafDifference) -> str:
    here, golden = _sides(leaf)
    return f"{_name(leaf)} has another dtype, {here.dtype} here, {golden.dtype} in the golden, and equal values"


def _shape(leaf: LeafDifference) -> str:
    here, golden = _sides(leaf)
    return f"{_name(leaf)} has another shape, {here.shape} here, {golden.shape} in the golden" + _arranged(leaf)


def _arranged(leaf: LeafDifference) -> str:
    here, golden = _sides(leaf)
    if leaf.arrangement in {"reshaped", "transposed"}:
        return f": the same values, {leaf.arrangement}"
    if leaf.dim is None:
        return ""
    ours, theirs = here.shape[leaf.dim], golden.shape[leaf.dim]
    what = f"{amount(ours, 'row')} for {theirs}" if leaf.dim == 0 else f"{ours} for {theirs} in dimension {leaf.dim}"
    if not leaf.arrangement:
        return f": {what}"
    unit, count = "row" if leaf.dim == 0 else "position", min(ours, theirs)
    which = "first" if leaf.arrangement == "beginning" else "last"
    one = f"the {which} {unit} of the longer is" if count == 1 else f"the {which} {count:,} {unit}s of the longer are"
    return f": {what}, and {one} the shorter"


def _padding(leaf: LeafDifference) -> str:
    here, golden = _sides(leaf)
    padding = leaf.padding
    assert padding is not None
    return f"{_name(leaf)} is {_padded(padding, here, golden)}, and the same inside of it"


def _padded(padding: Padding, here: Leaf, golden: Leaf) -> str:
    """What is different of size, side and value alone."""
    sizes = [f"to {leaf.shape[padding.dim]}" for leaf in (here, golden)]
    sides = [f"on the {pad.side}" for pad in (padding.here, padding.golden)]
    values = [_padded_with(pad, several=sizes[0] == sizes[1]) for pad in (padding.here, padding.golden)]
    told = [parts for parts in (sizes, sides, values) if parts[0] != parts[1]]
    ours, theirs = (" ".join(filter(None, words)) for words in zip(*told, strict=True))
    return f"padded {ours} here, {theirs} in the golden"


def _padded_with(pad: Pad, *, several: bool) -> str:
    if pad.value is None:
        return "with several values" if several else ""
    return f"with {_value(pad.value)}"


def _content(leaf: LeafDifference) -> str:
    here, golden = _sides(leaf)
    content = leaf.content
    assert content is not None
    dtypes = f" ({here.dtype} here, {golden.dtype} in the golden)" if here.dtype != golden.dtype else ""
    differs = f"{_name(leaf)}{dtypes} differs in {content.mismatched:,} of {amount(content.elements, 'element')}"
    return differs + _size(content) + _character(leaf, content)


def _size(content: Content) -> str:
    if content.max_abs == 0:
        return ", in bits alone" if not content.nonfinite else ", which are not finite"
    besides = f" and {content.nonfinite:,} that are not finite" if content.nonfinite else ""
    return f", by at most {number(content.max_abs)}{besides}"


def _character(leaf: LeafDifference, content: Content) -> str:
    if leaf.swapped:
        return f": it is the golden's {leaf.swapped}"
    if content.gain is not None:
        return f": all of it is {_factor(content.gain)} times the golden's"
    if content.ulps is not None:
        return f": rounding, {number(content.ulps)} {_UNIT[content.ulps == 1]} in the last place of its largest value"
    if content.shift is not None:
        more = "more" if content.shift > 0 else "less"
        return f": each of these is {abs(content.shift):,} {more} than the golden's"
    return ""


def _factor(gain: float) -> str:
    return pair(gain, 1.0)[0] if abs(gain - 1) < _CLOSE else f"{gain:.6g}"


_HOW: dict[DataFault, Callable[[LeafDifference], str]] = {
    DataFault.MISSING: _missing,
    DataFault.EXTRA: _extra,
    DataFault.DTYPE: _dtype,
    DataFault.SHAPE: _shape,
    DataFault.PADDING: _padding,
    DataFault.CONTENT: _content,
}


def _leaf_details(leaf: LeafDifference) -> list[str]:
    lines = []
    content = leaf.content
    if content is not None:
        if content.rows > 1:
            verb = "differs" if content.rows_mismatched == 1 else "differ"
            lines.append(f"{content.rows_mismatched:,} of {amount(content.rows, 'row')} {verb}")
        where = f" [{', '.join(map(str, content.index))}]" if content.index else ""
        ours, theirs = _two(content.here, content.golden)
        lines.append(f"the first is {_name(leaf)}{where}: {ours} here, {theirs} in the golden")
    return lines


def _two(here: Plain, golden: Plain) -> tuple[str, str]:
    """Two values with digits enough to tell them apart."""
    if isinstance(here, float) and isinstance(golden, float) and math.isfinite(here) and math.isfinite(golden):
        return pair(here, golden)
    return _value(here), _value(golden)


def _value(value: Plain) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _described(leaf: Leaf) -> str:
    return f"{leaf.shape} {leaf.dtype}"
