"""Whether two experiments differ: what their seeds can tell, and that they are asked, and not the steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.differ import differences, same_runs
from pytest_parity.curves.groups import Experiment, Run
from pytest_parity.curves.student import critical, tail
from pytest_parity.report.curve_differences import difference_lines
from pytest_parity.result.curve_difference import CurveDifference, Doubt, Outcome

STEPS = 200


def run(
    level: float, *, steps: int = STEPS, epochs: int = 0, unit: str = "nats", model_type: str = "", seed: int = 0
) -> Run:
    """A run whose last tenth is at ``level``, but for noise that does not move its mean, and whose last epoch is at it."""
    numbers = np.arange(1, steps + 1)
    noise = np.random.default_rng(seed).normal(0, 0.5, steps // 10)
    losses = np.full(steps, 5.0)
    losses[-len(noise) :] = level + noise - noise.mean()
    return Run(
        f"{level}.json",
        Curve(
            "x",
            model_type,
            steps=numbers,
            step_losses=losses,
            epochs=np.arange(1, epochs + 1),
            epoch_losses=np.full(epochs, level),
            unit=unit,
        ),
    )


def experiment(name: str, *levels: float, **options: object) -> Experiment:
    return Experiment(name, tuple(run(level, seed=place, **options) for place, level in enumerate(levels)))


def compared(*experiments: Experiment) -> CurveDifference:
    [found] = differences(experiments)
    return found


def test_two_experiments_that_are_far_apart_differ():
    found = compared(experiment("mdlm", 2.0, 2.1, 1.9), experiment("ar", 1.0, 1.1, 0.9))
    assert (found.outcome, found.lower, found.runs, found.span) == (Outcome.DIFFER, "ar", (3, 3), (181, 200))
    assert (found.means, found.difference) == (pytest.approx((2, 1)), pytest.approx(-1))
    # by hand: t = -1 / sqrt(0.01 / 3 + 0.01 / 3) = -12.247 with 4 degrees of freedom, whose 97.5 % is 2.776
    margin = 2.7764 * np.sqrt(0.02 / 3)
    assert (found.low, found.high) == pytest.approx((-1 - margin, -1 + margin), rel=1e-4)
    assert found.p == pytest.approx(0.000255, rel=0.01)


def test_unequal_spreads_and_counts_are_welchs():
    found = compared(experiment("a", 1.0, 2.0, 3.0), experiment("b", 2.5, 4.5))
    variance = 1 / 3 + 2 / 2
    dof = variance**2 / ((1 / 3) ** 2 / 2 + 1**2 / 1)
    assert found.outcome is Outcome.NOT_FOUND
    assert found.difference == pytest.approx(1.5)
    assert found.p == pytest.approx(tail(1.5 / variance**0.5, dof))
    assert found.high - found.difference == pytest.approx(critical(0.05, dof) * variance**0.5)


def test_experiments_that_are_as_far_apart_as_their_seeds_are_not_found_to_differ():
    found = compared(experiment("a", 2.0, 2.1, 1.9), experiment("b", 2.02, 2.12, 1.91))
    assert found.outcome is Outcome.NOT_FOUND
    assert found.low < 0 < found.high
    assert found.p > 0.5


def test_two_runs_each_are_enough_only_where_the_distance_is_large():
    assert compared(experiment("a", 2.0, 2.01), experiment("b", 1.0, 1.01)).outcome is Outcome.DIFFER
    assert compared(experiment("a", 2.0, 2.2), experiment("b", 1.6, 1.8)).outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize(
    ("first", "second", "needed"),
    [((2.0,), (1.0,), (1, 1)), ((2.0, 2.1), (1.0,), (0, 1)), ((2.0,), (1.0, 1.1, 1.2), (1, 0))],
)
def test_one_run_decides_nothing_however_long_it_is(first: tuple[float, ...], second: tuple[float, ...], needed):
    found = compared(experiment("a", *first, steps=5000), experiment("b", *second, steps=5000))
    assert (found.outcome, found.doubt, found.needed) == (Outcome.UNDECIDED, Doubt.RUNS, needed)
    assert np.isnan(found.p)
    assert found.difference < 0


def test_the_same_run_twice_is_one_run():
    twice = Experiment("a", (run(2.0), run(2.0)))
    found = compared(twice, experiment("b", 1.0, 1.1))
    assert (found.outcome, found.doubt, found.runs, found.needed) == (Outcome.UNDECIDED, Doubt.RUNS, (1, 2), (1, 0))
    assert [(one.place, other.place) for one, other in same_runs(twice)] == [("2.0.json", "2.0.json")]
    assert list(same_runs(experiment("b", 1.0, 1.1))) == []


def flat(name: str, level: float) -> Experiment:
    """Two runs that begin in different ways, and end at the very same loss."""
    curves = [
        Curve(name, steps=np.arange(100), step_losses=np.r_[np.full(80, start), np.full(20, level)])
        for start in (4.0, 5.0)
    ]
    return Experiment(name, tuple(Run(f"{name}{place}", one) for place, one in enumerate(curves)))


def test_runs_that_all_end_at_one_loss_say_nothing_of_another_seed():
    found = compared(flat("a", 2.0), flat("b", 1.0))
    assert (found.outcome, found.doubt) == (Outcome.UNDECIDED, Doubt.NO_SPREAD)
    assert "runs of one experiment are all at the same loss" in difference_lines([found])[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"unit": "nats"}, {"unit": "bits"}),
        ({"unit": "nats"}, {"unit": ""}),
        ({"unit": "", "model_type": "AR"}, {"unit": "", "model_type": "MDLM"}),
    ],
)
def test_losses_of_different_meaning_are_not_compared(first: dict[str, str], second: dict[str, str]):
    pair = experiment("a", 2.0, 2.1, epochs=3, **first), experiment("b", 1.0, 1.1, epochs=3, **second)
    found = compared(*pair)
    assert (found.outcome, found.doubt) == (Outcome.NOT_COMPARABLE, Doubt.MEANING)
    assert np.isnan(found.difference)


def test_losses_of_one_model_type_without_a_unit_are():
    options = {"unit": "", "model_type": "AR"}
    assert compared(experiment("a", 2.0, 2.1, **options), experiment("b", 1, 1.1, **options)).outcome is Outcome.DIFFER


def test_the_last_epoch_is_asked_too_where_all_have_epochs():
    first, second = experiment("a", 2.0, 2.1, 2.2, epochs=3), experiment("b", 1.0, 1.1, 1.2, epochs=5)
    level, epoch = differences([first, second])
    assert (level.statistic, epoch.statistic, epoch.span) == ("final level", "last epoch", (3, 3))
    assert (level.outcome, epoch.outcome) == (Outcome.DIFFER, Outcome.DIFFER)


def test_runs_are_compared_at_the_steps_that_all_have():
    """A run that was killed at half the way is not held against one that has come to its end."""
    long = Experiment("a", (run(2.0), run(2.1, seed=1)))
    short = Experiment("b", (run(3.0, steps=100), run(3.1, steps=100, seed=1)))
    found = compared(long, short)
    assert found.span == (91, 100)
    assert found.means == pytest.approx((5.0, 3.05))


def damaged(one: Experiment, *places: int) -> Experiment:
    losses = (first := one.runs[0]).curve.step_losses.copy()
    losses[list(places)] = np.nan
    return replace(one, runs=(Run(first.place, replace(first.curve, step_losses=losses)), *one.runs[1:]))


def test_a_run_that_ends_in_nan_leaves_it_undecided():
    first, second = experiment("a", 2.0, 2.1), experiment("b", 1.0, 1.1)
    for places in ([-1], [*range(-18, -8)]):
        found = compared(damaged(first, *places), second)
        assert (found.outcome, found.doubt) == (Outcome.UNDECIDED, Doubt.NOT_FINITE)
    assert compared(damaged(first, -5), second).doubt is Doubt.NONE
    assert compared(damaged(first, 20), second).outcome is Outcome.DIFFER


def test_without_a_common_step_there_is_nothing_to_compare():
    assert (
        compared(experiment("a", 2.0, 2.1), Experiment("b", (Run("b", Curve("b", unit="nats")),))).doubt
        is Doubt.NOTHING
    )


def test_several_pairs_share_the_chance_of_a_false_alarm():
    # of one pair this is found at p = 0.04; of three it is not
    several = [experiment("a", 2.0, 2.1, 2.2), experiment("b", 1.72, 1.82, 1.92), experiment("c", 1.9, 2.0, 2.1)]
    [alone] = differences(several[:2])
    together = differences(several)[0]
    assert (alone.outcome, together.outcome) == (Outcome.DIFFER, Outcome.NOT_FOUND)
    assert together.p == pytest.approx(3 * alone.p)
    assert (together.pairs, alone.pairs) == (3, 1)
    assert together.high - together.low > alone.high - alone.low


def test_seeds_of_one_training_are_seldom_found_to_differ():
    """Of experiments that are the same, one in twenty at most differs by chance; those of two runs fewer."""
    generator = np.random.default_rng(0)
    for runs in (2, 5):
        found = [
            compared(experiment("a", *generator.normal(2, 0.1, runs)), experiment("b", *generator.normal(2, 0.1, runs)))
            for _ in range(300)
        ]
        assert sum(one.outcome is Outcome.DIFFER for one in found) <= 24  # 15 are expected; more than 24 in 1 of 100


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (
            (experiment("mdlm", 2.0, 2.1, 1.9), experiment("ar", 1.0, 1.1, 0.9)),
            (
                "mdlm and ar: differ, final level, steps 181 to 200: ar is lower by 1 nats (0.773 to 1.23: 95% interval), p = 0.000255; "
                "mdlm 2 (3 runs), ar 1 (3 runs)"
            ),
        ),
        (
            (experiment("a", 2.0, 2.2), experiment("b", 1.6, 1.8)),
            (
                "a and b: no difference found, final level, steps 181 to 200: a 2.1 (2 runs), b 1.7 (2 runs); b minus a may still be -1.01 to "
                "+0.208 nats (95% interval), p = 0.106; 2 runs tell little of their spread, 5 of each are better"
            ),
        ),
        (
            (experiment("a", 2.0), experiment("b", 1.0, 1.1)),
            (
                "a and b: undecided, final level, steps 181 to 200: a 2 (1 run), b 1.05 (2 runs); it takes 2 runs of each at least to see "
                "what the seed alone does: train 1 more of a"
            ),
        ),
        (
            (damaged(experiment("a", 2.0, 2.1), -1), experiment("b", 1.0, 1.1)),
            (
                "a and b: undecided, final level, steps 181 to 200: a nan (2 runs), b 1.05 (2 runs); a run's loss is not finite there, and a "
                "mean without it would be of the lucky runs"
            ),
        ),
        (
            (experiment("a", 2.0, unit="", model_type="AR"), experiment("b", 1.0)),
            (
                "a and b: not comparable: the losses of a (model type 'AR', no unit) and b (unit 'nats') mean different things, so no axis has "
                "both; if they mean the same, declare it: --unit NAME"
            ),
        ),
    ],
)
def test_it_is_said_in_a_sentence(pair: tuple[Experiment, Experiment], sentence: str):
    assert difference_lines(differences(pair)) == [sentence]


def test_many_experiments_of_different_meaning_are_told_in_one_sentence():
    several = [experiment(name, 2.0, unit=unit) for name, unit in (("a", "nats"), ("b", "bits"), ("c", "nats"))]
    *others, last = difference_lines(differences(several))
    assert [line.split(":")[0] for line in others] == ["a and c"]
    assert last == (
        "not comparable: a, c (unit 'nats'); b (unit 'bits'): the losses of these 2 groups mean different things, so no axis has two of "
        "them; if they mean the same, declare it: --unit NAME"
    )


def test_many_experiments_of_one_run_each_are_told_in_one_sentence():
    several = [experiment(name, 2.0) for name in "abcdefgh"]
    (line,) = difference_lines(differences(several))
    assert line == (
        "undecided, 28 pairs: it takes 2 runs of each experiment at least to see what the seed alone does: train 1 more of a, 1 more of b, "
        "1 more of c, 1 more of d, 1 more of e and 3 more"
    )
