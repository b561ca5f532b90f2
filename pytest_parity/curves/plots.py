"""Pictures of training curves, drawn with matplotlib off screen: loss per step, smoothed, per epoch, and experiments side by side."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.curves.panels import clean, draw_by_epoch, draw_by_step, draw_side_by_side, draw_smoothed
from pytest_parity.curves.strands import WINDOW, Portrait, Strands
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COMPARISON", "draw", "titled", "write_plots"]

COMPARISON = "comparison.png"
_DPI = 110
_WIDTH, _HEIGHT, _FURTHER = 8.4, 4.4, 3.0
"""Inches: a picture's width, its height with one panel, and the height of each further one."""
_LINE = 80
"""Characters of a title."""
_SOFTWARE = "pytest-parity"
_BEGINNING = 4096

_STYLE: Mapping[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.labelsize": 11,
    "figure.titlesize": 13,
    "font.size": 10.5,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 10,
}

Taken = Callable[[Portrait], Strands]
Draws = Callable[["Axes", Sequence[Strands], Sequence[int]], None]


def draw(portraits: Sequence[Portrait], *, title: str = "") -> Iterator[tuple[str, Figure]]:
    """The pictures by the names of their files, one at a time; ``title`` is put behind each one's own.

    Losses of different meaning have a panel each. Raises ``UsageError`` without matplotlib.
    """
    kinds: list[tuple[str, str, Taken, Draws]] = [
        ("loss_per_step.png", "Loss per step", attrgetter("steps"), draw_by_step),
        ("loss_per_epoch.png", "Loss per epoch", attrgetter("epochs"), draw_by_epoch),
        ("loss_smoothed.png", f"Loss, moving average of {WINDOW} logged steps", attrgetter("smoothed"), draw_smoothed),
    ]
    if len(portraits) > 1:
        kinds.append((COMPARISON, "Loss per epoch, side by side", attrgetter("epochs"), draw_side_by_side))
    panels = _panels(portraits)
    for name, heading, taken, draws in kinds:
        with _our_style():
            figure = _figure(len(panels), titled(heading, title), beside=name == COMPARISON)
            for axes, (label, places) in zip(figure.axes, panels, strict=True):
                axes.set_ylabel(clean(label), parse_math=False)
                draws(axes, [taken(portraits[place]) for place in places], places)
                if name != COMPARISON:
                    axes.label_outer()
        yield name, figure


def write_plots(portraits: Sequence[Portrait], directory: Path, *, title: str = "") -> list[Path]:
    """Draw the pictures into a directory, each whole or not at all; returns their paths.

    A comparison that an earlier call has left there goes where nothing is compared now.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in draw(portraits, title=title):
        _save(figure, directory / name)
        written.append(directory / name)
    _remove_stale(directory / COMPARISON, written)
    return written


def _panels(portraits: Sequence[Portrait]) -> list[tuple[str, list[int]]]:
    """The places of those that share an axis, under the axis' label."""
    panels: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(portraits):
        panels.setdefault(one.meaning, []).append(place)
    return [(_axis_label(*meaning, alone=len(panels) == 1), places) for meaning, places in panels.items()]


def _axis_label(kind: str, value: str, *, alone: bool) -> str:
    if kind == "unit":
        return f"loss [{value}]"
    return "loss" if alone or not value else f"{value} loss"


def titled(heading: str, title: str) -> str:
    """A heading with the user's words behind it, which may bring their own dash."""
    if not title.strip():
        return heading
    return heading + (title if title[0] in " -:,|(" else f" - {title}")


def _figure(count: int, title: str, *, beside: bool) -> Figure:
    """An empty picture with so many panels, below or beside one another."""
    figure_class = _figure_class()
    rows, columns = (1, count) if beside else (count, 1)
    figure: Figure = figure_class(
        figsize=(max(_WIDTH, 4.2 * columns), _HEIGHT + (rows - 1) * _FURTHER), dpi=_DPI, layout="constrained"
    )
    figure.subplots(rows, columns, sharex=not beside, squeeze=False)
    figure.suptitle(textwrap.fill(clean(title), _LINE), parse_math=False)
    return figure


def _figure_class() -> type[Figure]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401, PLC0415  an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"pictures need matplotlib, and it cannot be imported ({error}): pip install 'pytest-parity[curves]'; "
            "--summary does without"
        ) from error
    return Figure


@contextmanager
def _our_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's configuration says: a picture is the same everywhere."""
    _figure_class()
    import matplotlib as mpl  # noqa: PLC0415

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in a script that the font has not
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _save(figure: Figure, path: Path) -> None:
    """Write a picture aside, then rename it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _our_style():
            figure.savefig(beside, format="png", metadata={"Software": _SOFTWARE})
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _remove_stale(path: Path, written: Sequence[Path]) -> None:
    """What we drew there before, and not now, would be taken for today's."""
    if path in written or not path.is_file():
        return
    with path.open("rb") as file:
        ours = _SOFTWARE.encode() in file.read(_BEGINNING)
    if ours:
        path.unlink()
