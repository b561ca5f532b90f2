"""What the pictures show, read from what is drawn in them."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.groups import Run, grouped
from pytest_parity.curves.plots import COMPARISON, draw, titled, write_plots
from pytest_parity.curves.strands import Portrait, portrait
from pytest_parity.errors import UsageError

STEP, SMOOTHED, EPOCH = "loss_per_step.png", "loss_smoothed.png", "loss_per_epoch.png"


def curve(
    name: str = "mdlm", *, model_type: str = "MDLM", level: float = 2.0, seed: int = 0, steps: int = 500, unit: str = ""
) -> Curve:
    numbers = np.arange(1, steps + 1)
    losses = level + 8 * np.exp(-numbers / 40) + np.random.default_rng(seed).normal(0, 0.1, steps)
    return Curve(
        name,
        model_type,
        steps=numbers,
        step_losses=losses,
        epochs=np.arange(1, 4),
        epoch_losses=np.array([part.mean() for part in np.array_split(losses, 3)]),
        unit=unit,
    )


def portraits(*curves: Curve, names: tuple[str, ...] = ()) -> list[Portrait]:
    runs = [Run(f"{place}.json", one) for place, one in enumerate(curves)]
    return [portrait(one) for one in grouped(runs, names)]


def figures(*curves: Curve, title: str = "", names: tuple[str, ...] = ()) -> dict[str, Figure]:
    return dict(draw(portraits(*curves, names=names), title=title))


def panels(name: str, *curves: Curve) -> list[Axes]:
    return next(figure for found, figure in draw(portraits(*curves)) if found == name).axes


def only(name: str, *curves: Curve) -> Axes:
    [axes] = panels(name, *curves)
    return axes


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """Lines through points; marks are none."""
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def marks(axes: Axes, marker: str) -> list[float]:
    return [step for line in axes.lines if line.get_marker() == marker for step in line.get_xdata()]


def damaged(**changes: float) -> Curve:
    """``at_200=1e9``: another loss at a step."""
    losses = (one := curve()).step_losses.copy()
    for place, value in changes.items():
        losses[int(place.removeprefix("at_")) - 1] = value
    return replace(one, step_losses=losses)


def test_one_run_has_three_pictures_and_several_experiments_a_fourth():
    assert list(figures(curve())) == [STEP, EPOCH, SMOOTHED]
    assert list(figures(curve("mdlm_s1"), curve("mdlm_s2", seed=1))) == [STEP, EPOCH, SMOOTHED]
    assert list(figures(curve("a"), curve("b"))) == [STEP, EPOCH, SMOOTHED, COMPARISON]


def test_every_step_is_drawn_and_the_axes_say_what_they_are():
    one = curve(unit="nats/token")
    axes = only(STEP, one)
    assert drawn(axes) == [(one.steps.tolist(), one.step_losses.tolist())]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss [nats/token]")
    assert legend(axes) == ["mdlm"]
    assert axes.get_yscale() == "linear"


def test_the_smoothed_loss_is_the_mean_of_a_hundred():
    one = curve()
    [(steps, values)] = drawn(only(SMOOTHED, one))
    assert steps == one.steps.tolist()
    assert values[-1] == pytest.approx(one.step_losses[-100:].mean())
    assert figures(one)[SMOOTHED].get_suptitle() == "Loss, moving average of 100 logged steps"


def test_epochs_are_marked_and_counted_in_whole_numbers():
    one = curve()
    axes = only(EPOCH, one)
    assert drawn(axes) == [([1, 2, 3], one.epoch_losses.tolist())]
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_a_long_run_is_thinned_and_its_spike_stays():
    losses = (one := curve(steps=50_000)).step_losses.copy()
    losses[33_332] = 9.5
    [(steps, values)] = drawn(only(STEP, replace(one, step_losses=losses)))
    assert len(steps) <= 2002
    assert values[steps.index(33_333)] == 9.5


def test_a_spike_that_would_flatten_the_rest_is_told_at_the_edge():
    axes = only(STEP, damaged(at_200=1e9, at_300=-400.0))
    low, high = axes.get_ylim()
    assert 0 < low < 2
    assert 10 < high < 11
    assert (marks(axes, "^"), marks(axes, "v")) == ([200], [300])
    assert legend(axes)[1:] == [
        "off the scale, above: up to 1e+09 at step 200",
        "off the scale, below: up to -400 at step 300",
    ]
    assert max(drawn(axes)[0][1]) == 1e9


def test_a_spike_of_the_size_of_the_start_is_on_the_scale():
    axes = only(STEP, damaged(at_200=14.0))
    assert axes.get_ylim()[1] > 14
    assert legend(axes) == ["mdlm"]


def test_a_run_that_diverges_to_the_end_of_float64_is_drawn(tmp_path: Path):
    steps = np.arange(1, 351)
    for name, sign in (("up", np.ones(350)), ("both", (-1.0) ** steps)):
        one = replace(curve(name), steps=steps, step_losses=sign * np.exp(steps * 2.0))
        assert len(write_plots(portraits(one, replace(one, experiment_name="x", model_type="")), tmp_path)) == 4


def test_losses_over_decades_have_a_logarithmic_axis():
    numbers = np.arange(500)
    assert only(STEP, replace(curve(), step_losses=100 * 0.98**numbers)).get_yscale() == "log"
    assert only(STEP, replace(curve(), step_losses=100 * 0.98**numbers - 5)).get_yscale() == "linear"


def test_what_is_not_finite_breaks_the_line_and_is_marked():
    axes = only(STEP, damaged(at_100=np.nan, at_101=np.inf, at_300=-np.inf))
    assert marks(axes, "x") == [100, 101, 300]
    assert legend(axes) == ["mdlm", "not finite: 3, the first at 100"]
    [(steps, values)] = drawn(axes)
    assert not np.isfinite(values[steps.index(100)])


def test_a_lone_step_between_two_that_are_not_finite_is_seen():
    assert marks(only(STEP, damaged(at_99=np.nan, at_101=np.nan)), ".") == [100]


def test_missing_steps_break_the_line():
    one = curve()
    kept = (one.steps < 200) | (one.steps > 300)
    [(steps, values)] = drawn(only(STEP, replace(one, steps=one.steps[kept], step_losses=one.step_losses[kept])))
    assert np.isnan(values[steps.index(301) - 1])
    assert np.isfinite(values[steps.index(199)])


def test_steps_that_are_logged_again_begin_a_line_anew():
    one, kept = curve(), np.r_[0:300, 250:500]
    [(steps, values)] = drawn(only(STEP, replace(one, steps=one.steps[kept], step_losses=one.step_losses[kept])))
    assert np.isnan(values[300])
    assert steps[301] == 251


def test_seeds_are_a_mean_and_a_band_and_the_legend_says_which():
    seeds = [curve(f"mdlm_s{seed}", seed=seed) for seed in range(3)]
    axes = only(STEP, *seeds)
    [(steps, mean)] = drawn(axes)
    losses = np.stack([one.step_losses for one in seeds])
    np.testing.assert_allclose(mean, losses.mean(axis=0))
    band = axes.collections[0].get_paths()[0].vertices
    at_100 = sorted(band[band[:, 0] == 100, 1])
    assert (at_100[0], at_100[-1]) == pytest.approx((losses[:, 99].min(), losses[:, 99].max()))
    assert legend(axes) == ["mdlm (mean of 3 runs, min to max)"]
    assert steps[-1] == 500


def test_where_a_seed_is_not_finite_there_is_no_mean_of_the_others():
    fine, broken = curve("mdlm_s0"), curve("mdlm_s1", seed=1)
    broken.step_losses[99] = np.nan
    (one,) = portraits(fine, broken)
    [(steps, mean)] = one.steps.lines
    assert steps[np.isnan(mean)].tolist() == [100]
    assert one.steps.band is not None
    assert np.isfinite(one.steps.band[1]).all()
    assert one.steps.bad.tolist() == [100]


def test_a_run_that_goes_on_longer_than_the_others_is_drawn_to_its_end():
    first, *ends = drawn(only(STEP, curve("a_s1", steps=500), curve("a_s2", seed=1, steps=400)))
    assert first[0][-1] == 400
    assert [(steps[0], steps[-1]) for steps, _ in ends] == [(400, 500)]


def test_seeds_that_were_logged_at_other_steps_are_lines_of_one_colour():
    one = curve("a_s1", seed=1)
    every = replace(one, experiment_name="a_s2", steps=one.steps[::7], step_losses=one.step_losses[::7])
    axes = only(STEP, one, every)
    assert len({line.get_color() for line in axes.lines}) == 1
    assert len(drawn(axes)) == 2
    assert legend(axes) == ["a (2 runs, logged at other steps)"]


def test_losses_of_different_meaning_are_on_axes_of_their_own():
    mdlm, ar = curve("mdlm"), curve("ar", model_type="AR", level=6)
    for name in (STEP, SMOOTHED, EPOCH, COMPARISON):
        axes = panels(name, mdlm, ar)
        assert [one.get_ylabel() for one in axes] == ["MDLM loss", "AR loss"]
        assert [legend(one) for one in axes] == [["mdlm"], ["ar"]]
    [above, below] = panels(STEP, mdlm, ar)
    assert above.lines[0].get_color() != below.lines[0].get_color()
    assert above.get_ylim() != below.get_ylim()


def test_losses_of_one_declared_unit_share_them():
    nats = {"unit": "nats/token"}
    axes = only(STEP, curve("mdlm", **nats), curve("ar", model_type="AR", **nats))
    assert legend(axes) == ["mdlm", "ar"]
    assert len(panels(STEP, curve("mdlm", **nats), curve("ar", model_type="AR"))) == 2


def test_experiments_stand_side_by_side_by_epoch():
    nats = {"unit": "nats"}
    one, other = curve("mdlm", **nats), curve("ar", model_type="AR", seed=1, **nats)
    axes = only(COMPARISON, one, other)
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers if hasattr(bars, "patches")]
    assert heights == [one.epoch_losses.tolist(), other.epoch_losses.tolist()]
    assert legend(axes) == ["mdlm", "ar"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]


def test_an_epoch_that_is_not_finite_has_no_bar_and_says_so():
    one, other = curve("a"), curve("b", seed=1)
    axes = only(COMPARISON, replace(one, epoch_losses=np.array([3.0, np.nan, 2.0])), other)
    assert "not finite" in [text.get_text() for text in axes.texts]


def test_an_epoch_with_a_spike_in_it_does_not_flatten_the_bars_of_the_others():
    one, other = curve("a"), curve("b", seed=1)
    epochs = {"epochs": np.arange(1, 6), "epoch_losses": np.array([5.0, 3.0, 5e5, 2.0, 1.9])}
    axes = only(COMPARISON, replace(one, **epochs), replace(other, **epochs))
    assert axes.get_ylim()[1] < 6
    assert marks(axes, "^") == [3]


def test_many_epochs_are_lines():
    epochs = {"epochs": np.arange(40), "epoch_losses": np.linspace(5, 2, 40)}
    axes = only(COMPARISON, replace(curve("a"), **epochs), replace(curve("b"), **epochs))
    assert [len(steps) for steps, _ in drawn(axes)] == [40, 40]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Curve("empty"), {STEP: "no step was logged", EPOCH: "no epoch was logged", SMOOTHED: "no step was logged"}),
        (
            Curve("nan", steps=np.arange(9), step_losses=np.full(9, np.nan)),
            {STEP: "no loss is finite", EPOCH: "no epoch was logged", SMOOTHED: "no loss is finite"},
        ),
    ],
)
def test_where_there_is_nothing_to_see_it_says_why(one: Curve, said: dict[str, str], tmp_path: Path):
    found = {name: figure.axes[0].texts[0].get_text() for name, figure in figures(one).items()}
    assert found == said
    assert len(write_plots(portraits(one, Curve("other")), tmp_path)) == 4


def test_a_single_step_and_a_single_epoch_are_points():
    single = np.ones(1, np.int64)
    one = Curve("one", steps=single * 7, step_losses=single * 2.0, epochs=single, epoch_losses=single * 2.0)
    assert marks(only(STEP, one), ".") == [7]
    assert only(STEP, one).get_xlim() == pytest.approx((5.9, 8.1))
    assert marks(only(EPOCH, one), "o") == [1]


def test_a_single_step_does_not_cut_the_panels_beside_it():
    one = Curve("one", "AR", steps=np.ones(1, np.int64), step_losses=np.ones(1))
    for several in ((one, curve("mdlm")), (curve("mdlm"), one)):
        for axes in panels(STEP, *several):
            low, high = axes.get_xlim()
            assert low <= 0
            assert high >= curve("mdlm").steps[-1]


def test_the_title_is_put_behind_each_pictures_own():
    assert {
        figure.get_suptitle() for figure in figures(curve("a"), curve("b"), title=" - WikiText-103-v1").values()
    } == {
        "Loss per step - WikiText-103-v1",
        "Loss per epoch - WikiText-103-v1",
        "Loss, moving average of 100 logged steps - WikiText-103-v1",
        "Loss per epoch, side by side - WikiText-103-v1",
    }
    assert titled("Loss", "WikiText") == "Loss - WikiText"
    assert titled("Loss", " ") == "Loss"


ODD = [
    "_hidden",
    "$x^2$ and $",
    "\\frac{",
    "<b>&amp;",
    "\u65e5\u672c \U0001f600",
    "a\nb\x1b[31m",
    "half \ud800",
    "%d %s",
]


def test_names_are_shown_as_they_are_and_no_formula_is_read_into_them(tmp_path: Path):
    curves = [replace(curve(str(place), seed=place, steps=20), unit="$x$") for place in range(len(ODD))]
    written = write_plots(portraits(*curves, names=tuple(ODD)), tmp_path, title=" \n$\\bad{$ \U0001f600")
    assert [path.name for path in written] == [STEP, EPOCH, SMOOTHED, COMPARISON]
    axes = figures(*curves, names=tuple(ODD))[STEP].axes[0]
    assert legend(axes) == [*ODD[:5], "a b [31m", "half ?", "%d %s"]
    assert axes.get_ylabel() == "loss [$x$]"


def test_a_long_name_loses_its_middle():
    [shown] = legend(figures(curve("a" * 300 + "z"))[STEP].axes[0])
    assert len(shown) < 80
    assert shown.endswith("aaz")


def test_ten_experiments_can_be_told_apart():
    axes = only(STEP, *(curve(f"{letter}", seed=place) for place, letter in enumerate("abcdefghij")))
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 10


def test_pictures_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = write_plots(portraits(curve()), tmp_path / "new" / "plots")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    before = written[0].read_bytes()

    def killed(self: Figure, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", killed)
    with pytest.raises(KeyboardInterrupt):
        write_plots(portraits(curve(seed=1)), written[0].parent)
    assert written[0].read_bytes() == before
    assert sorted(written[0].parent.iterdir()) == sorted(written)


def test_an_old_comparison_goes_and_a_picture_of_somebody_else_stays(tmp_path: Path):
    write_plots(portraits(curve("a"), curve("b")), tmp_path)
    assert (tmp_path / COMPARISON).exists()
    write_plots(portraits(curve("a")), tmp_path)
    assert not (tmp_path / COMPARISON).exists()
    (tmp_path / COMPARISON).write_bytes(b"\x89PNG mine")
    write_plots(portraits(curve("a")), tmp_path)
    assert (tmp_path / COMPARISON).exists()


def test_the_users_own_settings_of_matplotlib_are_not_used_and_not_changed(tmp_path: Path):
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "black"}):
        write_plots(portraits(curve()), tmp_path)
        assert only(STEP, curve()).get_facecolor() == (1, 1, 1, 1)
        assert mpl.rcParams["text.usetex"]


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        UsageError, match=r"pictures need matplotlib, .*: pip install 'pytest-parity\[curves\]'; --summary does"
    ):
        next(draw(portraits(curve())))
