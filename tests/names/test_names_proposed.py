"""A proposed name map: what is proved, what is a guess, what is refused, and that the file reads back as the map."""

from __future__ import annotations

import pytest
import torch
from attention import Model
from torch import nn

from pytest_parity.errors import NameMapError
from pytest_parity.names import NameMap, concat, transposed
from pytest_parity.names.file import read_names
from pytest_parity.names.propose import propose
from pytest_parity.names.written import rules_of, to_toml


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def proved(candidate, reference) -> dict[str, object]:
    found = propose(candidate, reference)
    assert not found.guesses
    return {match.candidate: match.target for match in found.proved}


def attention_pair() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The same numbers, fused and split."""
    split = {name: value.detach() for name, value in Model(fused=False).named_parameters()}
    fused = {name: value for name, value in split.items() if ".out." in name}
    for layer in range(2):
        for kind in ("weight", "bias"):
            fused[f"layers.{layer}.qkv.{kind}"] = torch.cat([split[f"layers.{layer}.{one}.{kind}"] for one in "qkv"])
    return fused, split


def test_equal_content_is_a_proof_whatever_the_order():
    reference = {"enc.a": tensor(3, 4), "enc.b": tensor(3, 4, seed=1)}
    assert proved({"x": reference["enc.b"], "y": reference["enc.a"]}, reference) == {"x": "enc.b", "y": "enc.a"}


def test_one_bit_more_is_another_content_and_a_guess():
    reference = {"a": tensor(3, 4)}
    candidate = {"x": torch.nextafter(reference["a"], torch.tensor(9.0))}
    (guess,) = propose(candidate, reference).guesses
    assert (guess.candidate, guess.target, guess.why) == ("x", "a", "shape and order")


def test_another_dtype_or_shape_is_no_guess_either():
    found = propose({"x": tensor(3), "y": tensor(4).double()}, {"a": tensor(4), "b": tensor(2)})
    assert (found.matches, found.candidate, found.reference) == ((), ("x", "y"), ("a", "b"))


def test_a_transposed_weight_is_found():
    assert proved({"x.w": tensor(3, 4).T}, {"a.w": tensor(3, 4)}) == {"x.w": transposed("a.w")}


@pytest.mark.parametrize("turned", [False, True], ids=["fused here", "split here"])
def test_fused_tensors_are_found_and_their_zero_biases_by_their_neighbours(turned: bool):
    fused, split = attention_pair()
    for side in (fused, split):
        for name, value in side.items():
            if name.endswith("bias"):
                side[name] = torch.zeros_like(value)
    candidate, reference = (split, fused) if turned else (fused, split)
    found = propose(candidate, reference)
    assert found.complete
    rules = rules_of(found.proved)
    assert len(rules) == (3 if turned else 1)
    assert turned or rules == {"layers.{i}.qkv": concat(*(f"layers.{{i}}.{one}" for one in "qkv"))}


def test_fused_as_transposed_columns():
    parts = {f"a.{name}": tensor(3, 5, seed=place) for place, name in enumerate("qkv")}
    whole = torch.cat([part.T for part in parts.values()], dim=1)
    assert proved({"c.attn": whole}, parts) == {"c.attn": concat(*map(transposed, parts), dim=1)}


def test_stacked_experts_and_unequal_parts():
    parts = {f"e.{i}": tensor(3, 5, seed=i) for i in range(3)}
    (match,) = propose({"up": torch.stack([*parts.values()])}, parts).proved
    assert match.leaves == tuple(parts)
    lengths = {"q": tensor(4, 2), "kv": tensor(2, 2, seed=1)}
    found = propose(lengths, {"w": torch.cat([*lengths.values()])})
    assert found.complete
    assert [str(match.target) for match in found.proved] == [
        "sliced('w', start=0, stop=4, dim=0)",
        "sliced('w', start=4, stop=6, dim=0)",
    ]


# ties


def test_two_zero_biases_are_told_apart_by_the_weights_beside_them():
    reference = {
        "a.weight": tensor(2, 2),
        "a.bias": torch.zeros(2),
        "b.weight": tensor(2, 2, seed=1),
        "b.bias": torch.zeros(2),
    }
    candidate = {
        "y.beta": torch.zeros(2),
        "y.w": reference["b.weight"],
        "x.beta": torch.zeros(2),
        "x.w": reference["a.weight"],
    }
    assert proved(candidate, reference) == {
        "y.beta": "b.bias",
        "y.w": "b.weight",
        "x.beta": "a.bias",
        "x.w": "a.weight",
    }


def test_two_norms_of_one_block_are_a_tie_and_refused():
    def block(name: str, one: str, other: str) -> dict[str, torch.Tensor]:
        return {f"{name}.w": tensor(2, 2), f"{name}.{one}.g": torch.ones(2), f"{name}.{other}.g": torch.ones(2)}

    found = propose(block("x", "first", "second"), block("a", "ln1", "ln2"))
    assert [match.candidate for match in found.matches] == ["x.w"]
    (tie,) = found.ties
    assert (tie.candidate, tie.reference) == (("x.first.g", "x.second.g"), ("a.ln1.g", "a.ln2.g"))
    assert tie.what == "all 1.0, float32 (2,)"


def test_names_within_modules_that_are_certain_make_a_tie_a_guess():
    """Two norms that hold the same may have changed places between the implementations, whatever they are called."""

    def block(name: str) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{i}.{key}": value
            for i in range(2)
            for key, value in {
                "w": tensor(2, 2, seed=i),
                "u": tensor(3, seed=i),
                "n1.g": torch.ones(2),
                "n2.g": torch.ones(2),
            }.items()
        }

    found = propose(block("x"), block("a.b"))
    assert {match.candidate: match.target for match in found.matches} == dict(
        zip(block("x"), block("a.b"), strict=True)
    )
    assert {match.candidate for match in found.guesses} == {
        f"x.{i}.{norm}.g" for i in range(2) for norm in ("n1", "n2")
    }
    assert {match.why for match in found.guesses} == {"equal content and name"}


def test_one_value_alone_proves_nothing_where_other_weights_differ():
    candidate = {"fc.w": tensor(2, 3), "fc.b": torch.zeros(3), "g": torch.ones(())}
    reference = {"a.w": tensor(2, 3, seed=1), "b.gain": torch.zeros(3), "s": torch.ones(())}
    found = propose(candidate, reference)
    assert not found.proved
    assert {(match.candidate, match.target, match.why) for match in found.guesses} == {
        ("fc.w", "a.w", "shape and order"),
        ("fc.b", "b.gain", "equal content"),
        ("g", "s", "equal content"),
    }


def test_one_value_alone_is_proved_where_nothing_else_is_left():
    candidate = {"fc.w": tensor(2, 3), "norm.g": torch.ones(3), "norm.b": torch.zeros(3)}
    reference = {"lin.w": candidate["fc.w"], "ln.g": torch.ones(3), "ln.b": torch.zeros(3)}
    assert proved(candidate, reference) == {"fc.w": "lin.w", "norm.g": "ln.g", "norm.b": "ln.b"}


def test_parts_of_one_value_each_prove_no_join():
    mask = torch.tensor([0.0, 0.0, 1.0, 1.0])
    found = propose({"mask": mask}, {"ln.bias": torch.zeros(2), "ln.weight": torch.ones(2)})
    assert (found.matches, found.candidate) == ((), ("mask",))


def test_the_last_norm_is_proved_beside_blocks_whose_norms_are_tied():
    def model(blocks: str, norms: tuple[str, str], last: str) -> dict[str, torch.Tensor]:
        made = {f"{blocks}.{i}.{key}": tensor(2, 3, seed=ord(key) + i) for i in range(2) for key in "uw"}
        made |= {f"{blocks}.{i}.{norm}.g": torch.ones(2) for i in range(2) for norm in norms}
        return made | {f"{last}.g": torch.ones(2)}

    found = propose(model("x", ("p", "q"), "norm"), model("a", ("r", "s"), "ln_f"))
    assert ("norm.g", "ln_f.g") in {(match.candidate, match.target) for match in found.proved}
    assert [len(tie.candidate) for tie in found.ties] == [2, 2]


def test_what_a_certain_module_lacks_is_not_proved_from_outside_of_it():
    candidate = {"x.lin.w": tensor(2, 2), "x.scale": torch.zeros(2)}
    reference = {"a.lin.w": tensor(2, 2), "a.lin.b": torch.zeros(2)}
    found = propose(candidate, reference)
    assert [match.candidate for match in found.proved] == ["x.lin.w"]
    assert [(match.candidate, match.why) for match in found.guesses] == [("x.scale", "equal content")]


def test_a_matrix_that_is_its_own_transpose_is_not_taken_for_transposed():
    made = {"fc.w": tensor(2, 3), "fc.lora": torch.zeros(3, 3)}
    found = propose(made, {"lin.w": made["fc.w"], "lin.b": made["fc.lora"]})
    assert [match.target for match in found.proved] == ["lin.w", "lin.b"]
    found = propose({"a": made["fc.w"].T, "b.z": torch.zeros(3, 3)}, {"a": made["fc.w"], "b.z": torch.zeros(3, 3)})
    assert [match.target for match in found.proved] == [transposed("a"), "b.z"]


def test_one_value_is_not_proved_beside_another_of_its_shape_that_differs():
    candidate = {"x.w": tensor(2, 2), "x.b": torch.zeros(2), "x.g": tensor(2)}
    reference = {"a.w": tensor(2, 2), "a.bias": tensor(2, seed=1), "a.gain": torch.zeros(2)}
    assert [match.candidate for match in propose(candidate, reference).proved] == ["x.w"]


def test_a_neighbour_of_another_depth_proves_nothing():
    """One certain tensor below a block says nothing of what is beside it."""
    candidate = {"x.lin.w": tensor(2, 2), "x.norm.b": torch.zeros(2), "x.tail.b": torch.zeros(2)}
    reference = {"a.lin.w": tensor(2, 2), "a.lin.b": torch.zeros(2), "a.other.b": torch.zeros(2)}
    found = propose(candidate, reference)
    assert [match.candidate for match in found.matches] == ["x.lin.w"]
    assert len(found.ties) == 1


def test_a_tie_is_as_small_as_what_is_certain_around_it_allows():
    def block(name: str, *norms: str) -> dict[str, torch.Tensor]:
        made = {f"{name}.{i}.{key}": tensor(2, 3, seed=ord(key) + i) for i in range(2) for key in "uw"}
        return made | {f"{name}.{i}.{norm}.g": torch.ones(2) for i in range(2) for norm in norms}

    found = propose(block("x", "p", "q"), block("a", "r", "s"))
    assert [(tie.candidate, tie.reference) for tie in found.ties] == [
        ((f"x.{i}.p.g", f"x.{i}.q.g"), (f"a.{i}.r.g", f"a.{i}.s.g")) for i in range(2)
    ]


# guesses


def test_without_the_references_weights_all_is_a_guess_by_name_shape_and_order():
    found = propose(dict(Model(fused=False, seed=3).named_parameters()), dict(Model(fused=False).named_parameters()))
    assert not found.proved
    assert {match.why for match in found.guesses} == {"name and shape"}
    renamed = {f"m.{name}": value for name, value in Model(fused=False, seed=3).named_parameters()}
    found = propose(renamed, dict(Model(fused=False).named_parameters()))
    assert {match.why for match in found.guesses} == {"shape and order"}
    assert all(match.candidate == f"m.{match.target}" for match in found.guesses)


def test_shapes_that_occur_more_often_on_one_side_are_not_guessed():
    found = propose({"x": tensor(3), "y": tensor(3, seed=1)}, {"a": tensor(3, seed=2)})
    assert (found.matches, found.candidate, found.reference) == ((), ("x", "y"), ("a",))


# rules and the file


def test_rules_are_few_and_give_every_pair():
    pairs = {
        f"blocks.{i}.{c}.{k}": f"enc.layers.{i}.{r}.{k}"
        for i in range(12)
        for c, r in (("q", "att.q"), ("ff", "mlp"))
        for k in ("weight", "bias")
    }
    reference = {name: tensor(3, seed=i) for i, name in enumerate(pairs.values())}
    found = propose({name: reference[target] for name, target in pairs.items()}, reference)
    rules = rules_of(found.proved)
    assert rules == {
        "blocks": "enc.layers",
        "blocks.{i}.q": "enc.layers.{i}.att.q",
        "blocks.{i}.ff": "enc.layers.{i}.mlp",
    }
    assert all(NameMap.build(rules).translate(name) == target for name, target in pairs.items())


def test_a_rule_takes_nothing_along_that_is_not_settled():
    """All of ``x`` is ``a``, but for a tensor that by this would land on another one's."""
    reference = {"a.w": tensor(2, 3), "a.b": tensor(4, seed=1), "a.c": tensor(5, seed=2)}
    candidate = {"x.w": reference["a.w"], "x.b": reference["a.b"], "x.d": reference["a.c"], "x.c": tensor(5, seed=3)}
    found = propose(candidate, reference)
    assert found.candidate == ("x.c",)
    rules = rules_of(found.proved, found.unsettled())
    assert rules == {"x.w": "a.w", "x.b": "a.b", "x.d": "a.c"}


def test_a_name_that_is_taken_by_another_is_left_to_its_owner():
    found = propose({"a": tensor(3, seed=1), "x": tensor(3)}, {"a": tensor(3)})
    assert (rules_of(found.proved, found.unsettled()), found.candidate) == ({"x": "a"}, ("a",))


def test_the_file_reads_back_as_the_proved_part(tmp_path):
    fused, split = attention_pair()
    fused["head.w"], split["out.w"] = tensor(5, seed=8), tensor(5, seed=9)
    found = propose(fused, split)
    path = tmp_path / "names.toml"
    path.write_text(to_toml(found, ["about"]))
    assert path.read_text() == (
        "# about\n"
        "# 8 of the candidate's 9 tensors are proved; what is not is a comment below.\n"
        "\n"
        "[names]\n"
        '"layers.{i}.qkv" = { concat = ["layers.{i}.q", "layers.{i}.k", "layers.{i}.v"], dim = 0 }\n'
        "\n"
        "# GUESSES. Only names, shapes and order speak for these: confirm each, then remove its '#?'.\n"
        '#? "head" = "out"\n'
    )
    names = NameMap.build(str(path)).bind(
        fused,
        split,
        candidate_shapes={name: tuple(value.shape) for name, value in fused.items()},
        reference_shapes={name: tuple(value.shape) for name, value in split.items()},
    )
    assert names.back("layers.1.k.bias") == "layers.1.qkv.bias"
    path.write_text(path.read_text().replace("#? ", ""))
    assert NameMap.build(path).translate("head.w") == "out.w"


def test_every_operation_survives_the_file(tmp_path):
    candidate = {"w": tensor(4, 3).T, "é.q": tensor(2, 2, seed=3)}
    reference = {"w": tensor(4, 3), "a": tensor(2, 2, seed=3)}
    path = tmp_path / "names.toml"
    path.write_text(to_toml(propose(candidate, reference), []), encoding="utf-8")
    assert read_names(path) == {"w": {"transposed": "w", "dim0": 0, "dim1": 1}, "é.q": "a"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file in "),
        ("a = [", "cannot be read: "),
        ("a = 1", 'has no table [names]; its lines look like "candidate.name" = "golden.name"'),
        ("names = 1", "has no table [names]"),
    ],
)
def test_a_file_that_is_no_name_map_is_refused(tmp_path, content, why):
    path = tmp_path / "names.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NameMapError) as caught:
        NameMap.build(str(path))
    assert str(caught.value).startswith(f"names={str(path)!r}")
    assert why in str(caught.value)


def test_a_large_model_takes_seconds():
    import time

    reference = {
        name: value.detach()
        for name, value in nn.TransformerEncoder(
            nn.TransformerEncoderLayer(32, 4), 24, enable_nested_tensor=False
        ).named_parameters()
    }
    reference = {
        name: value.clone().normal_(generator=torch.Generator().manual_seed(i))
        for i, (name, value) in enumerate(reference.items())
    }
    candidate = {}
    for name, value in reference.items():
        if ".in_proj_" in name:
            for part, one in zip("qkv", value.chunk(3), strict=True):
                candidate[name.replace("in_proj_", f"{part}.")] = one.clone()
        else:
            candidate[name] = value
    start = time.perf_counter()
    assert propose(candidate, reference).complete
    assert time.perf_counter() - start < 20  # about 1 s
