"""Every rearrangement against torch's own operation, there and back; and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_parity.errors import NameMapError
from pytest_parity.names import (
    Expression,
    NameMap,
    concat,
    part_of,
    permuted,
    reshaped,
    rotary,
    sliced,
    stack,
    transposed,
    unstacked,
)
from pytest_parity.names.expression import from_plain
from pytest_parity.names.moves import in_reference, to_candidate, to_reference

sizes = st.integers(1, 4)


def tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (made * 100).to(dtype)


def bound(rules, candidate, reference):
    return NameMap.build(rules).bind(
        candidate,
        reference,
        candidate_shapes={name: tuple(value.shape) for name, value in candidate.items()},
        reference_shapes={name: tuple(value.shape) for name, value in reference.items()},
    )


def check(rules, candidate, reference) -> None:
    """Tensors of one side are those of the other, and the rules say how, in both directions, bit for bit."""
    names = bound(rules, candidate, reference)
    own = {names.path(name): value for name, value in candidate.items()}
    there = dict(in_reference(names, own))
    assert there.keys() == reference.keys()
    assert all(torch.equal(there[name], reference[name]) for name in reference)
    for name, layout in names.layouts.items():
        assert torch.equal(to_candidate(layout, name, reference.__getitem__), own[name])


@given(st.lists(sizes, min_size=1, max_size=4), sizes, st.integers(-2, 1))
def test_concatenated_here_or_there(lengths, width, dim):
    parts = {f"p{i}": tensor(*((n, width) if dim in {0, -2} else (width, n)), seed=i) for i, n in enumerate(lengths)}
    whole = {"w": torch.cat(list(parts.values()), dim=dim)}
    check({"w": concat(*parts, dim=dim)}, whole, parts)
    edges = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    pieces = {f"p{i}": sliced("w", start=edges[i], stop=edges[i + 1], dim=dim) for i in range(len(lengths))}
    check(pieces, parts, whole)


@given(st.integers(1, 4), st.lists(sizes, max_size=3), st.data())
def test_stacked_here_or_there(count, shape, data):
    dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    parts = {f"p{i}": tensor(*shape, seed=i) for i in range(count)}
    whole = {"w": torch.stack(list(parts.values()), dim=dim)}
    check({"w": stack(*parts, dim=dim)}, whole, parts)
    check({f"p{i}": unstacked("w", index=i, dim=dim) for i in range(count)}, parts, whole)


@given(st.integers(1, 4), sizes, sizes, st.integers(-2, 1))
def test_equal_parts_of_one(count, length, width, dim):
    whole = {"w": tensor(*((count * length, width) if dim in {0, -2} else (width, count * length)))}
    parts = dict(zip((f"p{i}" for i in range(count)), whole["w"].chunk(count, dim=dim), strict=True))
    check({f"p{i}": part_of("w", index=i, of=count, dim=dim) for i in range(count)}, parts, whole)


@given(st.lists(sizes, min_size=2, max_size=4), st.data())
def test_transposed_permuted_reshaped(shape, data):
    dims = range(-len(shape), len(shape))
    one, other = data.draw(st.sampled_from(dims)), data.draw(st.sampled_from(dims))
    order = data.draw(st.permutations(range(len(shape))))
    w = tensor(*shape)
    check({"w": transposed("w", dim0=one, dim1=other)}, {"w": w.transpose(one, other)}, {"w": w})
    check({"w": permuted("w", dims=order)}, {"w": w.permute(order)}, {"w": w})
    check({"w": reshaped("w", shape=[-1])}, {"w": w.reshape(-1)}, {"w": w})
    turned = w.permute(order).reshape(1, -1)
    check({"w": reshaped(permuted("w", dims=order), shape=turned.shape)}, {"w": turned}, {"w": w})


@given(st.integers(1, 3), st.integers(1, 4), sizes, st.integers(0, 2))
def test_rotary_heads_change_their_pairs(heads, pairs, width, still):
    w = tensor(heads * (2 * pairs + still), width)
    head = w.view(heads, 2 * pairs + still, width)
    turned, rest = head[:, : 2 * pairs], head[:, 2 * pairs :]
    half = torch.cat([turned.view(heads, pairs, 2, width).transpose(1, 2).reshape(turned.shape), rest], dim=1)
    half, size = half.reshape(w.shape), 2 * pairs if still else None
    check({"w": rotary("w", heads=heads, layout="half", size=size)}, {"w": half}, {"w": w})
    check({"w": rotary("w", heads=heads, layout="interleaved", size=size)}, {"w": w}, {"w": half})
    check({"w": rotary("w", heads=heads, layout="half", size=size, dim=1)}, {"w": half.T}, {"w": w.T})


@st.composite
def composed(draw, depth: int = 3) -> tuple[Expression | str, torch.Tensor, dict[str, torch.Tensor]]:
    """An expression that uses all of its sources once, what torch makes of it, and the sources."""
    if depth == 0 or draw(st.booleans()):
        made = tensor(draw(sizes), draw(sizes), seed=draw(st.integers(0, 99)))
        return "r", made, {"r": made}
    source, made, sources = draw(composed(depth=depth - 1))
    turn = draw(st.sampled_from(["transposed", "reshaped", "concat", "stack"]))
    if turn == "transposed":
        return transposed(source), made.T, sources
    if turn == "reshaped":
        shape = (made.shape[1], made.shape[0])
        return reshaped(source, shape=shape), made.reshape(shape), sources
    name = f"r{depth}"
    other = tensor(*made.shape, seed=7)
    if turn == "concat":
        return concat(name, source), torch.cat([other, made]), {name: other, **sources}
    flat = torch.stack([other, made], dim=1).reshape(-1, 1)
    return reshaped(stack(name, source, dim=1), shape=[-1, 1]), flat, {name: other, **sources}


@given(composed())
def test_composed_operations_are_undone_together(made):
    expression, whole, sources = made
    if isinstance(expression, Expression):
        check({"w": expression}, {"w": whole}, sources)
        assert from_plain(json.loads(json.dumps(expression.to_plain())), "") == expression


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.complex64])
def test_any_dtype_and_a_negative_zero_come_back_as_they_were(dtype):
    parts = {"q": tensor(2, 4, dtype=dtype), "k": tensor(2, 4, seed=1, dtype=dtype)}
    parts["q"][0, 0] = -0.0
    check(
        {"w": rotary(concat("q", "k"), heads=1, layout="half")},
        {"w": torch.cat([*parts.values()])[[0, 2, 1, 3]]},
        parts,
    )
    names = bound({"w": concat("q", "k")}, {"w": torch.cat([*parts.values()])}, parts)
    (layout,) = names.layouts.values()
    back = to_reference(layout, "q", lambda _: to_candidate(layout, names.path("w"), parts.__getitem__))
    assert back.view(-1).view(torch.uint8).equal(parts["q"].view(-1).view(torch.uint8))


def test_a_part_of_a_fused_tensor_is_a_view_of_it():
    whole = tensor(6, 4)
    names = bound({"w": concat("q", "k", "v")}, {"w": whole}, {name: tensor(2, 4) for name in "qkv"})
    parts = dict(in_reference(names, {names.path("w"): whole}))
    assert {part.untyped_storage().data_ptr() for part in parts.values()} == {whole.untyped_storage().data_ptr()}


def test_a_tensor_that_is_not_contiguous_and_a_sparse_one_are_taken_too():
    whole = tensor(4, 6).T
    names = bound({"w": concat("q", "k")}, {"w": whole}, {name: tensor(3, 4) for name in "qk"})
    for given_so in (whole, whole.to_sparse()):
        parts = dict(in_reference(names, {names.path("w"): given_so}))
        assert torch.equal(torch.cat([parts["q"], parts["k"]]), whole)


def test_what_is_none_or_not_all_there_is_said_so():
    names = bound(
        {"q": part_of("w", index=0, of=2), "k": part_of("w", index=1, of=2)},
        {"q": tensor(1, 2), "k": tensor(1, 2)},
        {"w": tensor(2, 2)},
    )
    q, k = names.path("q"), names.path("k")
    assert dict(in_reference(names, {q: tensor(1, 2), k: None})) == {"w": None}
    assert dict(in_reference(names, {q: tensor(1, 2)})) == {}


def test_names_of_modules_rearrange_each_of_their_tensors():
    parts = {
        f"h.0.{name}.{kind}": tensor(*((2, 3) if kind == "weight" else (2,)))
        for name in "qkv"
        for kind in ("weight", "bias")
    }
    whole = {
        f"l.0.qkv.{kind}": torch.cat([parts[f"h.0.{name}.{kind}"] for name in "qkv"]) for kind in ("weight", "bias")
    }
    check({"l.{i}.qkv": concat("h.{i}.q", "h.{i}.k", "h.{i}.v")}, whole, parts)


def test_an_expression_may_come_from_a_regular_expression_a_function_or_a_table():
    import re

    whole, parts = {"w0": tensor(4, 2)}, {"q0": tensor(2, 2), "k0": tensor(2, 2)}
    for rules in (
        {re.compile(r"w(\d)"): concat(r"q\1", r"k\1")},
        lambda path: concat("q0", "k0") if path == "w0" else path,
        {"w0": {"concat": ["q0", "k0"], "dim": 0}},
    ):
        assert bound(rules, whole, parts).back("k0") == "w0"


def test_where_names_lead():
    candidate = {"qkv.weight": tensor(6, 2), "p.weight": tensor(2, 3)}
    reference = {**{f"{name}.weight": tensor(2, 2) for name in "qkv"}, "proj.weight": tensor(3, 2)}
    rules = {"qkv": concat("q", "k", "v"), "p": transposed("proj")}
    names = NameMap.build(rules).bind(
        [*candidate, "qkv", "p", "q"],
        [*reference, "q", "k", "v", "proj"],
        candidate_shapes={name: tuple(value.shape) for name, value in candidate.items()},
        reference_shapes={name: tuple(value.shape) for name, value in reference.items()},
    )
    assert names.path("p") == "proj"  # all of a module's tensors, rearranged: its counterpart
    assert names.path("qkv") not in {"q", "k", "v", "proj"}
    assert names.tensors(names.path("qkv.weight")) == ("q.weight", "k.weight", "v.weight")
    assert names.back("k.weight") == "qkv.weight"
    assert names.back(names.path("p.weight")) == names.back("proj.weight") == "p.weight"


# what is refused


def refused(rules, candidate, reference) -> str:
    with pytest.raises(NameMapError) as caught:
        bound(rules, candidate, reference)
    return str(caught.value)


Q = {"q": tensor(2, 3), "k": tensor(2, 3)}


@pytest.mark.parametrize(
    ("rules", "candidate", "reference", "message"),
    [
        (
            {"w": concat("q", "k", dim=1)},
            {"w": tensor(4, 3)},
            Q,
            (
                "name rule 'w': concat('q', 'k', dim=1): it gives (2, 6), and the candidate's w has (4, 3) "
                "(of the reference's q (2, 3), k (2, 3))"
            ),
        ),
        (
            {"w": concat("q", "k")},
            {"w": tensor(5, 3)},
            {"q": tensor(2, 3), "k": tensor(3, 4)},
            "name rule 'w': concat('q', 'k', dim=0): concat(dim=0) does not fit (2, 3), (3, 4): all the input array",
        ),
        (
            {"w": transposed("q")},
            {"w": tensor(4)},
            {"q": tensor(4)},
            "name rule 'w': transposed('q', dim0=0, dim1=1): transposed(dim0=0, dim1=1) does not fit (4,): ",
        ),
        (
            {"q": part_of("w", index=0, of=3)},
            {"q": tensor(1, 3)},
            {"w": tensor(4, 3)},
            (
                "name rule 'q': part_of('w', index=0, of=3, dim=0): part_of(index=0, of=3, dim=0) does not fit (4, 3): "
                "4 is no multiple of 3"
            ),
        ),
        (
            {"q": part_of("w", index=2, of=2)},
            {"q": tensor(2, 3)},
            {"w": tensor(4, 3)},
            (
                "name rule 'q': part_of('w', index=2, of=2, dim=0): part_of(index=2, of=2, dim=0) does not fit (4, 3): "
                "index 2 is none of 0 to 1"
            ),
        ),
        (
            {"q": part_of("w", index=0, of=2)},
            {"q": tensor(2, 3)},
            {"w": tensor(4, 3)},
            (
                "name rule 'q': part_of('w', index=0, of=2, dim=0): they leave a gap: 6 of the 12 elements of w (4, 3), the "
                "first at [2, 0], would be in no tensor of the candidate's (there are rules for q)"
            ),
        ),
        (
            {"q": sliced("w", start=0, stop=2), "k": sliced("w", start=1, stop=3)},
            {"q": tensor(2, 3), "k": tensor(2, 3)},
            {"w": tensor(3, 3)},
            (
                "name rules 'q': sliced('w', start=0, stop=2, dim=0) and 'k': sliced('w', start=1, stop=3, dim=0): they "
                "overlap: 3 of the 9 elements of w (3, 3), the first at [1, 0], would be used twice"
            ),
        ),
        (
            {"w": concat("q", "q")},
            {"w": tensor(4, 3)},
            {"q": tensor(2, 3)},
            (
                "name rule 'w': concat('q', 'q', dim=0): they overlap: 6 of the 6 elements of q (2, 3), the first at [0, 0], "
                "would be used twice"
            ),
        ),
        (
            {"w": rotary("w", heads=3, layout="half")},
            {"w": tensor(4, 3)},
            {"w": tensor(4, 3)},
            (
                "name rule 'w': rotary('w', heads=3, layout='half', dim=0): rotary(heads=3, layout='half', dim=0) does not "
                "fit (4, 3): 4 is no multiple of 3 heads"
            ),
        ),
        (
            {"w": rotary("w", heads=1, layout="half")},
            {"w": tensor(3, 3)},
            {"w": tensor(3, 3)},
            (
                "name rule 'w': rotary('w', heads=1, layout='half', dim=0): rotary(heads=1, layout='half', dim=0) does not "
                "fit (3, 3): 3 rotated dimensions of a head of 3"
            ),
        ),
        (
            {"w": concat("q", "x")},
            {"w": tensor(4, 3)},
            Q,
            "name rule 'w': concat('q', 'x', dim=0): it leads to 'x', which the reference does not have",
        ),
        (
            {"w": concat("q", "k")},
            {"w": tensor(4, 3), "q": tensor(2, 3)},
            Q,
            (
                "'q' of the candidate lands on 'q' of the reference, of which the name rule 'w': concat('q', 'k', dim=0) "
                "makes w"
            ),
        ),
        (
            {"w.{i}": unstacked("s", index="{i}")},
            {"w.a": tensor(3)},
            {"s": tensor(1, 3)},
            (
                "name rule 'w.{i}': unstacked('s', index='{i}', dim=0): unstacked(index='a', dim=0) does not fit (1, 3): "
                "index 'a' is no number"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_rule_and_the_shapes(rules, candidate, reference, message):
    assert refused(rules, candidate, reference).startswith(message)


def test_a_module_with_half_its_sources_is_refused():
    candidate = {"qkv.weight": tensor(4, 3), "qkv.bias": tensor(4)}
    reference = {"q.weight": tensor(2, 3), "k.weight": tensor(2, 3), "q.bias": tensor(2)}
    assert refused({"qkv": concat("q", "k")}, candidate, reference) == (
        "name rule 'qkv': concat('q', 'k', dim=0): it is made of q.bias, k.bias, and 'k.bias' is no tensor of the "
        "reference"
    )


def test_a_rule_that_rearranges_no_tensor_is_refused():
    with pytest.raises(NameMapError, match=r"'act': transposed.*: it rearranges no tensor: 'act' is no parameter"):
        NameMap.build({"act": transposed("act")}).bind(["act"], ["act"])


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (
            "a#0",
            concat("b#0", "c#0"),
            "what is rearranged is parameters and buffers; a rule for one call leads to a call",
        ),
        ("a.{i}", concat("b.{j}"), "the value's {j} is no wildcard of the key (the key has {i})"),
        ("a", part_of("b", index="{i}", of=2), "the value's {i} is no wildcard of the key (the key has none)"),
        ("a", concat("b..c"), "'b..c' has an empty component"),
    ],
)
def test_a_rule_that_cannot_be_read_is_quoted(key, value, why):
    with pytest.raises(NameMapError) as caught:
        NameMap.build({key: value})
    assert str(caught.value) == f"name rule {key!r}: {value!r}: {why}"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (concat, "concat(): it joins nothing; give the reference's names"),
        (lambda: concat(3), "concat(3, ...): what it is made of is a name, or another of these"),
        (lambda: concat("a", dim="0"), "concat(dim='0'): dim is a whole number"),
        (lambda: part_of("a", index=1.0, of=2), "part_of(index=1.0): index is a whole number"),
        (lambda: permuted("a", dims=1), "permuted(dims=1): dims is a list of whole numbers"),
        (lambda: reshaped("a", shape=[True]), "reshaped(shape=True): shape is a whole number"),
        (
            lambda: rotary("a", heads=1, layout="pairs"),
            "rotary(layout='pairs'): the candidate's layout is 'half' or 'interleaved'",
        ),
    ],
)
def test_an_operation_is_checked_where_it_is_written(make, message):
    with pytest.raises(NameMapError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({}, "a table has one of the keys concat, stack, part_of, sliced, unstacked, transposed"),
        ({"concat": ["a"], "stack": ["b"]}, "a table has one of the keys concat"),
        ({"concat": "ab"}, "concat joins a list of names"),
        ({"part_of": "a", "index": 0}, "part_of() missing 1 required keyword-only argument: 'of'"),
        ({"transposed": "a", "dims": 1}, "transposed() got an unexpected keyword argument 'dims'"),
    ],
)
def test_a_table_that_cannot_be_read_is_quoted(table, why):
    with pytest.raises(NameMapError) as caught:
        NameMap.build({"w": table})
    assert str(caught.value).startswith(f"name rule 'w': {table!r}: {why}")


def test_importing_names_imports_no_torch():
    script = "import sys, pytest_parity.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
