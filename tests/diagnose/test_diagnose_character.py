"""Drift or regression: what the errors of a step look like, and where they tell nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_parity.diagnose import characterise
from pytest_parity.names import BoundNames
from pytest_parity.result import Character, Delta, Diagnosis, Fault, Metrics, Noise, Tolerance, Verdict

EPS = 2.0**-23
EXACT = Tolerance(0.0, 0.0, "test")


def metrics(error: float, *, allowed: float = 0.0) -> Metrics:
    """Of a tensor whose norm is 1 and whose worst element is off by as much as its norm."""
    return Metrics(4, 4, error, error, error, error, 1.0, 1.0, (0,), 1.0 + error, 1.0, allowed, 0, 0)


def site(place: int) -> str:
    kind, path = ("input", f"m{place // 2}") if place % 2 == 0 else ("activation", f"m{place // 2}")
    return f"{kind}/{path}#0"


def deltas(errors: Sequence[float | None], *, allowed: float = 0.0) -> list[Delta]:
    """A chain of modules, an input and an output each; 0 is equal, ``None`` is close and unmeasured."""
    return [
        Delta(
            site(place),
            0,
            place,
            Verdict.EQUAL if error == 0 else Verdict.CLOSE if error is None else Verdict.DIFFERS,
            4,
            EXACT,
            metrics(error, allowed=allowed) if error else None,
        )
        for place, error in enumerate(errors)
    ]


def by_floor(ratios: Sequence[float], *, factor: float = 10.0) -> list[Delta]:
    return [
        Delta(
            site(place),
            0,
            place,
            Verdict.EQUAL if ratio == 0 else Verdict.CLOSE if ratio <= factor else Verdict.DIFFERS,
            4,
            Tolerance(0.0, 0.0, "test", factor),
            noise=Noise(ratio * 1e-6, 1e-6, 0.0, 1e-6, factor) if ratio else None,
        )
        for place, ratio in enumerate(ratios)
    ]


def look(
    observed: list[Delta],
    environment: Sequence[str] | None = (),
    *,
    fault: Fault = Fault.MODULE,
    dtype: str = "float32",
    explained: bool = False,
) -> Character | None:
    first = next(delta for delta in observed if delta.verdict.fails)
    diagnosis = Diagnosis(fault, first.site, 0, "m", "m")
    dtypes = {delta.site: dtype for delta in observed}
    return characterise(
        observed, diagnosis, names=BoundNames.identity(), dtypes=dtypes, environment=environment, explained=explained
    )


DRIFTED = [0, 0, 0, 3e-7, 3e-7, 5e-7, 5e-7, 2e-7, 2e-7, 4e-7]


def test_small_errors_everywhere_in_another_environment_are_drift():
    assert look(deltas(DRIFTED), ["threads"]) == Character(
        drift=True, moved=7, sites=10, before=2e-7, here=5e-7, floors=False
    )


@pytest.mark.parametrize(
    ("errors", "environment"),
    [
        pytest.param(DRIFTED, [], id="the environment is the same"),
        pytest.param(DRIFTED, ["python", "numpy"], id="nothing of it moves a bit"),
        pytest.param(DRIFTED, None, id="the golden does not tell its own"),
        pytest.param([0, 0, 0, 3e-7, 3e-7, 0, 0, 0, 0, 0], ["threads"], id="few sites moved"),
        pytest.param([0, 3e-7, 3e-7, 3e-7], ["threads"], id="two modules"),
        pytest.param([0, 0, 0, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5], ["threads"], id="too much for one operation"),
        pytest.param([0, 0, 0, 1e-6, 1e-6, 2e-4, 2e-4, 2e-4, 2e-4], ["threads"], id="too much behind it"),
        pytest.param([0, 0, 0, 3e-3, 3e-3, 4e-3, 4e-3, 4e-3], ["TF32 in convolutions"], id="too much for TF32"),
    ],
)
def test_else_they_tell_nothing(errors: list[float], environment: list[str] | None):
    assert look(deltas(errors), environment) is None


def test_a_coarser_precision_moves_further():
    errors = [0, 0, 0, 4e-4, 4e-4, 9e-4, 9e-4, 2e-3, 2e-3]
    found = look(deltas(errors), ["TF32 in matrix products"])
    assert found is not None
    assert found.drift
    assert look(deltas(errors), ["threads"]) is not None
    assert not look(deltas(errors), ["threads"]).drift


def test_a_setting_that_explains_the_failure_is_no_drift():
    assert look(deltas(DRIFTED), ["threads"], explained=True) is None


def test_another_shape_is_no_drift():
    observed = deltas(DRIFTED)
    observed[5] = Delta(site(5), 0, 5, Verdict.SHAPE, detail="shape")
    assert look(observed, ["threads"]) is None


def test_a_jump_is_a_regression():
    assert look(deltas([0, 0, 0, 1e-3, 1e-3, 1e-3])) == Character(
        drift=False, moved=3, sites=6, before=0.0, here=1e-3, floors=False, site="activation/m1#0"
    )


def test_the_site_has_the_candidates_name():
    observed = deltas([0, 0, 0, 1e-3])
    observed[3] = Delta(site(3), 0, 3, Verdict.DIFFERS, 4, EXACT, metrics(1e-3), candidate="activation/blocks.1#0")
    assert look(observed).site == "activation/blocks.1#0"


def test_rounding_in_the_same_environment_is_neither():
    assert look(deltas([0, 0, 0, 20 * EPS, 20 * EPS])) is None


def test_a_jump_has_to_be_larger_where_the_environment_is_another():
    observed = deltas([0, 0, 0, 500 * EPS, 500 * EPS])
    assert look(observed) is not None
    assert look(observed, ["threads"]) is None
    assert look(deltas([0, 0, 0, 2000 * EPS, 2000 * EPS]), ["threads"]) is not None


def test_a_jump_behind_drifted_sites_is_a_regression_there():
    found = look(deltas([0, 3e-7, 3e-7, 4e-7, 4e-7, 1e-2, 1e-2]), ["threads"])
    assert (found.drift, found.site, found.before, found.here) == (False, "activation/m2#0", 4e-7, 1e-2)


def test_what_moved_within_a_tolerance_may_have_moved_nearly_as_far():
    assert look(deltas([0, None, None, 1e-3, 1e-3], allowed=5e-4), ["threads"]) is None
    assert look(deltas([0, None, None, 1e-3, 1e-3], allowed=5e-5), ["threads"]) is not None


def test_the_first_site_of_all_has_nothing_before_it():
    assert look(deltas([1e-2, 1e-2, 1e-2])) is None


def test_multiples_of_the_floor_are_compared_with_each_other():
    found = look(by_floor([0, 0.8, 1.1, 0.9, 900.0, 850.0]), ["threads"])
    assert found == Character(drift=False, moved=5, sites=6, before=1.1, here=900.0, floors=True, site="input/m2#0")


def test_small_multiples_of_the_floor_everywhere_are_drift():
    found = look(by_floor([0, 5.0, 8.0, 12.0, 11.0, 7.0, 14.0]), ["threads"])
    assert found == Character(drift=True, moved=6, sites=7, before=5.0, here=14.0, floors=True)
    assert look(by_floor([0, 5.0, 8.0, 12.0, 11.0, 7.0, 14.0]), []) is None


def test_a_coarser_precision_is_many_floors():
    ratios = [0, 900.0, 1200.0, 2000.0, 1500.0, 3000.0]
    assert look(by_floor(ratios), ["float32 matmul precision"]).drift
    assert not look(by_floor(ratios), ["threads"]).drift


@pytest.mark.parametrize("fault", [Fault.UPDATE, Fault.WEIGHT, Fault.DATA, Fault.NOT_CALLED, Fault.STRUCTURE])
def test_faults_that_no_environment_looks_like(fault: Fault):
    assert look(deltas([0, 0, 0, 1e-3]), fault=fault) is None


def gradients(errors: Sequence[float], *, floors: bool = False) -> list[Delta]:
    made = by_floor(errors) if floors else deltas(errors)
    calls = [Delta(f"activation/p{place}#0", 0, 100 - place, Verdict.EQUAL, 4) for place in range(len(made))]
    renamed = [
        Delta(f"gradient/p{d.order}.weight", 0, 200 + d.order, d.verdict, 4, d.tolerance, d.metrics, noise=d.noise)
        for d in made
    ]
    return [*calls, *renamed]


def test_a_gradient_that_jumps_is_a_regression_where_the_environment_is_the_same():
    observed = gradients([0, 0, 1e-2, 1e-2])
    assert look(observed, fault=Fault.BACKWARD).site == "gradient/p2.weight"
    assert look(observed, ["threads"], fault=Fault.BACKWARD) is None


def test_or_where_its_floor_is_known():
    assert look(gradients([0.5, 0.9, 800.0], floors=True), ["threads"], fault=Fault.BACKWARD).here == 800.0


def test_integers_and_booleans_do_not_move_a_little():
    observed = deltas(DRIFTED)
    assert look(observed, ["threads"], dtype="int64") is None
