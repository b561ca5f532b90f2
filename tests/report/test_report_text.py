"""The whole text of a failure: table, coverage, remarks, environment."""

from __future__ import annotations

from dataclasses import replace

from pytest_parity.report import failure_text
from pytest_parity.result import Comparison, Delta, Diagnosis, Fault, Metrics, Tolerance, Verdict

METRICS = Metrics(64, 60, 0.01234, 0.5, 0.002, 0.1, 0.99, 3.0, (1, 12), 0.512345, 0.5, 1.3e-6, 0, 0)
CONV = Delta(
    "activation/encoder.layers.1.conv#0/out",
    0,
    7,
    Verdict.DIFFERS,
    64,
    Tolerance(1.3e-6, 1e-5),
    METRICS,
    candidate="activation/encoder.blocks.1.conv#0/out",
)
NORM = replace(CONV, site="input/encoder.layers.1.norm_out#0/in.0", order=8, metrics=replace(METRICS, max_rel=2e-5))
GONE = Delta("gradient/encoder.layers.1.conv.bias", 0, 20, Verdict.MISSING, detail="(8,) float32")
DIAGNOSIS = Diagnosis(
    Fault.MODULE,
    CONV.site,
    0,
    "encoder.blocks.1.conv",
    "encoder.layers.1.conv",
    others=2,
    hints=("its inputs were not recorded",),
)
FAILED = Comparison(
    case="nest/tiny",
    expected=1236,
    compared=1235,
    counts={"equal": 1200, "close": 32, "differs": 2, "missing": 1, "vacuous": 1},
    kinds={},
    deltas=(CONV, NORM, GONE, Delta("activation/mask#0/out", 0, 2, Verdict.VACUOUS)),
    steps=(0,),
    elements=12_345,
    diagnosis=DIAGNOSIS,
    environment={"torch": ("2.12.0", "2.13.0"), "threads": ("1", "2")},
    notes=("modules of the candidate without a counterpart: probe",),
)


def test_the_whole():
    assert (
        failure_text(FAILED, width=140)
        == """\
nest/tiny step 0: encoder.blocks.1.conv is the first module whose output differs while its inputs agree \
(reference: encoder.layers.1.conv)
  its inputs were not recorded

site                                    verdict  max abs  max rel  allowed  worst: here, reference
activation/encoder.layers.1.conv#0/out  differs   0.0123      0.5  1.3e-06  [1, 12] 0.512, 0.5
input/encoder.layers.1.norm_out#0/in.0  differs   0.0123    2e-05  1.3e-06  [1, 12] 0.512, 0.5
gradient/encoder.layers.1.conv.bias     missing  (8,) float32

1,235 of 1,236 sites compared in step 0 (12,345 elements): 1,200 equal, 32 close, 2 differs, 1 missing, 1 vacuous
vacuous, zeros would have passed there: activation/mask#0/out
modules of the candidate without a counterpart: probe
the environment is not the golden's:
  torch: 2.13.0 here, 2.12.0 in the golden
  threads: 2 here, 1 in the golden"""
    )


def table_of(comparison: Comparison, **options) -> list[str]:
    return failure_text(comparison, **options).split("\n\n")[1].splitlines()


def test_long_names_lose_their_middle_to_fit():
    lines = table_of(FAILED, width=96)
    assert lines[1] == "activation/...er.layers.1.conv#0/out  differs   0.0123      0.5  1.3e-06  [1, 12] 0.512, 0.5"
    assert max(map(len, lines)) <= 96


def test_a_name_keeps_some_columns_on_the_narrowest_terminal():
    assert table_of(FAILED, width=10)[1].startswith("activat...s.1.conv#0/out  differs")


def test_short_names_leave_the_table_narrow():
    short = replace(FAILED, deltas=(replace(CONV, site="loss/loss"),), diagnosis=None)
    assert table_of(short)[1] == "loss/loss  differs   0.0123      0.5  1.3e-06  [1, 12] 0.512, 0.5"


def test_more_rows_than_the_limit_are_counted():
    many = replace(FAILED, deltas=tuple(replace(CONV, order=k) for k in range(1025)))
    lines = table_of(many, limit=3)
    assert len(lines) == 5
    assert lines[-1] == "... and 1,022 more"
    assert len(table_of(replace(FAILED, deltas=(CONV,) * 3), limit=3)) == 4


def test_where_several_steps_fail_each_row_says_its_own():
    lines = table_of(replace(FAILED, deltas=(CONV, replace(CONV, step=2))), width=140)
    assert lines[1].startswith("step 0: activation/encoder.layers.1.conv#0/out  differs")
    assert lines[2].startswith("step 2: activation/encoder.layers.1.conv#0/out  differs")


def test_two_values_that_are_nearly_the_same_are_told_apart():
    near = replace(METRICS, worst_actual=1.0000001, worst_expected=1.0, worst_index=())
    assert table_of(replace(FAILED, deltas=(replace(CONV, metrics=near),)))[1].endswith("1.0000001, 1")


def test_numbers_and_a_detail_stand_side_by_side():
    both = replace(CONV, detail="2 NaN here, none in the reference", verdict=Verdict.NONFINITE)
    line = table_of(replace(FAILED, deltas=(both,)), width=140)[1]
    assert line.endswith("nonfinite   0.0123      0.5  1.3e-06  [1, 12] 0.512, 0.5 (2 NaN here, none in the reference)")


def test_where_nothing_is_finite_no_distance_is_told():
    gone = replace(METRICS, nonfinite_actual=METRICS.elements, worst_actual=float("nan"), max_abs=0.0, max_rel=0.0)
    line = table_of(replace(FAILED, deltas=(replace(CONV, metrics=gone, verdict=Verdict.NONFINITE),)), width=140)[1]
    assert line.split("nonfinite")[1].split() == ["-", "-", "-", "[1,", "12]", "nan,", "0.5"]


def test_what_could_not_be_seen_is_listed():
    hidden = tuple(Delta(f"activation/m{k}#0/out", 0, k, Verdict.UNOBSERVABLE) for k in range(5))
    further = Delta("activation/act#3/out", 0, -1, Verdict.EXTRA, detail="(8,) float32")
    text = failure_text(replace(FAILED, deltas=(*hidden, further)))
    assert (
        "unobservable, inside a compiled region: activation/m0#0/out, activation/m1#0/out, activation/m2#0/out and 2 more"
    ) in text
    assert "only in the candidate: activation/act#3/out" in text


def test_a_structure_that_is_another_shows_its_totals():
    delta = Delta(
        "weight/quantizer.codebooks", 0, 3, Verdict.DTYPE, 128, detail="float32 here, float64 in the reference"
    )
    comparison = Comparison(
        case="nest/full",
        expected=699,
        compared=699,
        counts={"equal": 698, "dtype": 1},
        kinds={"weight": 699},
        deltas=(delta,),
        diagnosis=Diagnosis(Fault.STRUCTURE, delta.site, 0, "quantizer.codebooks", "quantizer.codebooks"),
        notes=("113,106,000 parameters, 112,964,608 train in the reference; 113,106,000 parameters, 1 train here",),
    )
    assert (
        failure_text(comparison)
        == """\
nest/full: quantizer.codebooks: it has another dtype: float32 here, float64 in the reference

site                        verdict  max abs  max rel  allowed  worst: here, reference
weight/quantizer.codebooks  dtype    float32 here, float64 in the reference

699 of 699 sites compared: 698 equal, 1 dtype
113,106,000 parameters, 112,964,608 train in the reference; 113,106,000 parameters, 1 train here"""
    )


def test_a_comparison_survives_its_way_through_plain_data():
    assert failure_text(Comparison.from_plain(FAILED.to_plain())) == failure_text(FAILED)
