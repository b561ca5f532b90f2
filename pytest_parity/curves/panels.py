"""One panel of a picture: lines and bands on an axis, bars side by side, a legend, and marks for what no line shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.scale import Scale, scale, tamed
from pytest_parity.curves.strands import Strands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLORS", "clean", "draw_by_epoch", "draw_by_step", "draw_side_by_side", "draw_smoothed"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart with every kind of colour blindness (Okabe and Ito, 2008; without the yellow, which white paper swallows)."""
_DASHES = ("-", "--", ":", "-.")
"""Of the experiments behind the last colour."""
_GREY = "#555555"
_MARKS = 400
"""More marks than this at the edge of a panel would be one line."""
_LONGEST = 72
"""Characters of a label."""
_BARS = 10
"""Epochs, and experiments, that fit a panel as bars."""
_LEGEND_WIDTH, _HANDLE = 130, 13
"""Characters that fit above a panel, and those that a line's sample takes."""
_SAMPLE = 1.8
_FAINT = 0.18
_MILLION = 1_000_000


def draw_by_step(axes: Axes, several: Sequence[Strands], places: Sequence[int]) -> None:
    """Each experiment's lines and band by step, as noisy as they are; ``places`` tell the experiments' colours."""
    _lines(axes, several, places, width=0.8)
    axes.set_xlabel("step")


def draw_smoothed(axes: Axes, several: Sequence[Strands], places: Sequence[int]) -> None:
    """The same of what is smooth."""
    _lines(axes, several, places, width=1.5)
    axes.set_xlabel("step")


def draw_by_epoch(axes: Axes, several: Sequence[Strands], places: Sequence[int]) -> None:
    """The same by epoch, with a mark at each."""
    _lines(axes, several, places, width=1.5, marker="o")
    axes.set_xlabel("epoch")


def draw_side_by_side(axes: Axes, several: Sequence[Strands], places: Sequence[int]) -> None:
    """The epochs' losses as bars beside one another; as lines where there are too many, or where bars from 0 show nothing."""
    epochs = np.unique(np.concatenate([steps for one in several for steps, _ in one.lines] or [np.empty(0, np.int64)]))
    chosen = scale([values for one in several for _, values in one.lines])
    alone = all(len(one.lines) == 1 for one in several)
    if (
        not (0 < len(epochs) <= _BARS >= len(several) and alone)
        or chosen is None
        or chosen.log
        or chosen.high > _MILLION
        or any((values > chosen.high).any() for one in several for _, values in one.lines)
    ):
        draw_by_epoch(axes, several, places)
        return
    width = 0.8 / len(several)
    handles = []
    for number, one in enumerate(several):
        offset = (number - (len(several) - 1) / 2) * width
        handles.append(_bars(axes, one, epochs, (offset, width), _color(places[number])))
    axes.set_xticks(range(len(epochs)), [f"{epoch}" for epoch in epochs])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("epoch")
    axes.margins(y=0.12)
    _legend(axes, handles, [one.label for one in several])


def clean(text: str, longest: int = 120) -> str:
    """A text as a picture can show it: one line, nothing that is no character, the middle of a long one left out."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text.encode(errors="replace").decode())
    if len(shown) <= longest:
        return shown
    return f"{shown[: longest // 2]}...{shown[-(longest // 2) :]}"


def _lines(axes: Axes, several: Sequence[Strands], places: Sequence[int], *, width: float, marker: str = "") -> None:
    handles, labels = [], []
    drawn = [values for one in several for _, values in one.lines]
    chosen = scale([*drawn, *(edge for one in several if one.band for edge in one.band[1:])])
    _set_scale(axes, chosen)
    for place, one in zip(places, several, strict=True):
        color, dashes = _color(place), _dashes(place)
        if one.band is not None:
            steps, low, high = one.band
            axes.fill_between(
                steps, tamed(low), tamed(high), color=color, alpha=_FAINT, linewidth=0, label=f"band of {one.name}"
            )
        for number, (steps, values) in enumerate(one.lines):
            thin = number > 0 and one.band is not None
            [line] = axes.plot(
                steps, tamed(values), color=color, linestyle=dashes, linewidth=0.6 if thin else width, marker=marker
            )
            lone = _lone(values)
            if lone.any() and not marker:
                axes.plot(steps[lone], values[lone], color=color, linestyle="", marker=".")
            if number == 0:
                handles.append(line)
                labels.append(one.label)
    if chosen is None:
        _say(axes, "no loss is finite" if drawn else f"no {'epoch' if marker else 'step'} was logged")
        axes.set_yticks([])
    else:
        _add(handles, labels, _outside(axes, several, chosen))
    _add(handles, labels, _not_finite(axes, several))
    if len(handles) > 1 or (handles and len(several) == 1):
        _legend(axes, handles, labels)
    _counted(axes, several, epochs=bool(marker))


def _set_scale(axes: Axes, chosen: Scale | None) -> None:
    """Before anything is drawn: no axis is fitted to what is off it."""
    axes.set_autoscaley_on(False)
    if chosen is not None:
        axes.set_yscale("log" if chosen.log else "linear")
        axes.set_ylim(*chosen.limits())


def _add(handles: list[Any], labels: list[str], found: Sequence[tuple[Any, str]]) -> None:
    for handle, label in found:
        handles.append(handle)
        labels.append(label)


def _lone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The points that no line reaches."""
    there = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    alone: NDArray[np.bool_] = there[1:-1] & ~there[:-2] & ~there[2:]
    return alone


def _outside(axes: Axes, several: Sequence[Strands], chosen: Scale) -> list[tuple[Any, str]]:
    """Marks at the edge for what lies beyond it, and how far it goes."""
    points = [point for one in several for point in one.lines]
    points += [(one.band[0], edge) for one in several if one.band for edge in one.band[1:]]
    found = []
    for above in (True, False):
        there = [
            (steps[out], values[out])
            for steps, values in points
            for out in [np.isfinite(values) & ((values > chosen.high) if above else (values < chosen.low))]
            if out.any()
        ]
        if there:
            steps, values = (np.concatenate(parts) for parts in zip(*there, strict=True))
            farthest = values.max() if above else values.min()
            handle = _marks(axes, np.unique(steps), 1.0 if above else 0.0, "^" if above else "v")
            side = "above" if above else "below"
            found.append(
                (handle, f"off the scale, {side}: up to {farthest:.3g} at step {steps[values == farthest][0]:,}")
            )
    return found


def _not_finite(axes: Axes, several: Sequence[Strands]) -> list[tuple[Any, str]]:
    bad = np.unique(np.concatenate([one.bad for one in several]))
    if not len(bad):
        return []
    label = f"not finite: {len(bad):,}, the first at {bad[0]:,}" if len(bad) > 1 else f"not finite: at {bad[0]:,}"
    return [(_marks(axes, bad, 0.02, "x"), label)]


def _marks(axes: Axes, steps: NDArray[np.int64], height: float, marker: str) -> Any:
    """Marks at steps, at a height of the panel."""
    if len(steps) > _MARKS:
        steps = steps[np.linspace(0, len(steps) - 1, _MARKS).astype(np.int64)]
    [handle] = axes.plot(
        steps,
        np.full(len(steps), height),
        color=_GREY,
        linestyle="",
        marker=marker,
        markersize=4.5,
        clip_on=False,
        transform=axes.get_xaxis_transform(),
    )
    return handle


def _bars(axes: Axes, one: Strands, epochs: NDArray[np.int64], slot: tuple[float, float], color: str) -> Any:
    """One experiment's bars, with the values above them and whiskers from the lowest to the highest run."""
    (offset, width), [(steps, values)] = slot, one.lines
    places = np.searchsorted(epochs, steps) + offset
    there = np.isfinite(values)
    whiskers = None
    if one.band is not None:
        edges = np.stack([values - one.band[1], one.band[2] - values])
        whiskers = np.maximum(edges[:, there], 0)
    bars = axes.bar(places[there], values[there], width * 0.94, color=color, yerr=whiskers, ecolor=_GREY, capsize=2)
    if len(epochs) / width <= 2 * _BARS:
        axes.bar_label(bars, fmt="%.3g", fontsize=8.5, padding=1.5)
    for place in places[~there]:
        axes.text(
            place, 0.02, "not finite", color=color, rotation=90, ha="center", transform=axes.get_xaxis_transform()
        )
    return bars


def _legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend that shows every name as it is: no formula is read into it, none is hidden for its first letter."""
    widest = max(len(clean(label, _LONGEST)) for label in labels)
    spec = axes.get_subplotspec()
    room = _LEGEND_WIDTH // (spec.get_gridspec().ncols if spec else 1)
    columns = max(min(room // (widest + _HANDLE), len(handles)), 1)
    legend = axes.legend(
        handles, [f"{place}" for place in range(len(handles))], loc="lower left", bbox_to_anchor=(0, 1), ncols=columns
    )
    for line in legend.get_lines():
        line.set_linewidth(_SAMPLE)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(clean(label, _LONGEST))


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, color=_GREY, ha="center", va="center", transform=axes.transAxes)


def _counted(axes: Axes, several: Sequence[Strands], *, epochs: bool = False) -> None:
    """Whole numbers along the axis, as steps and epochs are."""
    from matplotlib.ticker import EngFormatter, MaxNLocator, StrMethodFormatter  # noqa: PLC0415  an extra

    there = [steps for one in several for steps in [*(steps for steps, _ in one.lines), one.bad] if len(steps)]
    if not there:
        axes.set_xticks([])
        return
    first, last = min(int(steps.min()) for steps in there), max(int(steps.max()) for steps in there)
    if (
        first == last
    ):  # room beside a single one, and no limit, which would be that of the panels it shares its axis with
        axes.update_datalim([(first - 1, 0), (first + 1, 0)], updatey=False)
        axes.autoscale_view(scaley=False)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    if not epochs:
        axes.xaxis.set_major_formatter(EngFormatter(sep="") if last > _MILLION else StrMethodFormatter("{x:,.0f}"))


def _color(place: int) -> str:
    return COLORS[place % len(COLORS)]


def _dashes(place: int) -> str:
    return _DASHES[place // len(COLORS) % len(_DASHES)]
