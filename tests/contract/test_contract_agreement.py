"""Two structures compared: names, shapes, dtypes, what trains, what is tied, and the totals."""

from __future__ import annotations

import pytest
from torch import nn

from pytest_parity.contract.structure import (
    Structure,
    TensorInfo,
    compare_structures,
    count_difference,
    describe,
    unmatched_modules,
)
from pytest_parity.names import BoundNames, NameMap

SAME = BoundNames.identity()


def info(*shape, dtype="float32", trainable=True, aliases=()):
    return TensorInfo(shape, dtype, trainable, aliases)


def structure(buffers=(), **parameters):
    return Structure({key.replace("_", "."): value for key, value in parameters.items()}, dict(buffers), {})


def found(reference, candidate, names=SAME, **options):
    deltas = compare_structures(reference, candidate, names, **options)
    return [(delta.site, str(delta.verdict), delta.detail) for delta in deltas]


def test_equal_structures_differ_nowhere():
    reference = structure(a_w=info(2, 3), a_b=info(2))
    assert compare_structures(reference, reference, SAME) == ()


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict", "detail"),
    [
        (info(2, 3), info(3, 2), "shape", "(3, 2) here, (2, 3) in the reference"),
        (info(2, dtype="float64"), info(2), "dtype", "float32 here, float64 in the reference"),
        (info(2), info(2, trainable=False), "differs", "frozen here, trains in the reference"),
        (info(2, trainable=False), info(2), "differs", "trains here, frozen in the reference"),
        (
            info(2),
            info(3, trainable=False),
            "shape",
            "(3,) here, (2,) in the reference; frozen here, trains in the reference",
        ),
    ],
)
def test_a_parameter_that_is_another(theirs, ours, verdict, detail):
    assert found(structure(a_w=theirs), structure(a_w=ours)) == [("weight/a.w", verdict, detail)]


def test_another_dtype_may_be_allowed():
    assert found(structure(a=info(2)), structure(a=info(2, dtype="bfloat16")), allow_dtype=True) == []


def test_missing_and_extra_with_the_extra_last_and_without_an_order():
    deltas = compare_structures(
        structure(a=info(2), b=info(2), d=info(1)), structure(c=info(4), a=info(2), d=info(2)), SAME
    )
    assert [(delta.site, str(delta.verdict), delta.order, delta.detail) for delta in deltas] == [
        ("weight/b", "missing", 1, "float32 (2,) in the reference"),
        ("weight/d", "shape", 2, "(2,) here, (1,) in the reference"),
        ("weight/c", "extra", -1, "float32 (4,) here"),
    ]


def test_a_buffer_that_should_be_a_parameter():
    reference, candidate = structure(a=info(2, trainable=False)), structure({"a": info(2, trainable=False)})
    assert found(reference, candidate) == [("weight/a", "differs", "a buffer here, a parameter in the reference")]
    assert found(candidate, reference) == [("weight/a", "differs", "a parameter here, a buffer in the reference")]


def test_names_go_through_the_map_and_the_candidates_is_kept():
    reference, candidate = structure(enc_w=info(2)), structure(e_w=info(3))
    names = NameMap.build({"e": "enc"}).bind(candidate.all_names, reference.all_names)
    (delta,) = compare_structures(reference, candidate, names)
    assert (delta.site, delta.candidate) == ("weight/enc.w", "weight/e.w")


def tie(reference, candidate):
    names = NameMap.identity().bind(
        candidate.all_names,
        reference.all_names,
        candidate_aliases=candidate.tensor_aliases,
        reference_aliases=reference.tensor_aliases,
    )
    return found(reference, candidate, names)


def test_the_same_tie_under_another_first_name_is_no_difference():
    reference, candidate = structure(a=info(2, aliases=("b",))), structure(b=info(2, aliases=("a",)))
    assert tie(reference, candidate) == []


def test_a_tie_on_one_side_only_is_a_difference():
    tied, apart = structure(a=info(2, aliases=("b",))), structure(a=info(2), b=info(2))
    assert tie(tied, apart) == [("weight/b", "extra", "tied to a in the reference, a tensor of its own here")]
    assert tie(apart, tied) == [("weight/b", "differs", "tied to a here, a tensor of its own in the reference")]


def test_modules_without_a_counterpart():
    reference = Structure({}, {}, {"(model)": "M", "a": "A", "drop": "Dropout", "gone": "G"})
    candidate = Structure({}, {}, {"(model)": "M", "x": "A", "d1": "Dropout"})
    names = NameMap.build({"x": "a", "d1#0": "drop#1"}).bind(candidate.all_names, reference.all_names)
    assert unmatched_modules(reference, candidate, names) == ("gone",)
    assert unmatched_modules(reference, reference, SAME) == ()


def test_counts_in_a_line():
    model = nn.Linear(1000, 100)
    model.bias.requires_grad_(False)
    assert describe(model).describe_counts() == "100,100 parameters, 100,000 train"


def test_no_difference_has_no_lines():
    assert count_difference(describe(nn.Linear(2, 2)), describe(nn.Linear(2, 2)), SAME) == ()


def layers(*widths):
    return describe(nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, width)) for width in widths)))


def test_the_difference_is_placed_in_the_innermost_modules():
    assert count_difference(layers(8, 8, 8), layers(8, 4, 8), SAME) == (
        "432 parameters, 432 train in the reference; 396 parameters, 396 train here",
        "1.1: 72 parameters in the reference, 36 here (-36)",
    )


def test_a_module_on_one_side_stands_for_what_is_below_it():
    assert count_difference(layers(8), layers(8, 8), SAME)[1:] == ("1: 0 parameters in the reference, 144 here (+144)",)


def test_many_places_are_cut_short():
    lines = count_difference(layers(*[8] * 12), layers(*[4] * 12), SAME)
    assert len(lines) == 10
    assert lines[-1] == "... and 4 more modules"
