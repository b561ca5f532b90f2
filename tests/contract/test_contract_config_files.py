"""Configuration files: how they are read, and what differs between two."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_parity.contract.config import Change, compare_configs, flattened
from pytest_parity.contract.effects import EFFECTS, Effect, effect_of
from pytest_parity.contract.reading import ConfigFile, read_config_file
from pytest_parity.errors import UsageError

SAME_IN_ALL = {"model": {"width": 8, "lr": 0.001, "betas": [0.9, 0.98], "bias": True, "name": "a"}}


def read(path: Path, text: str) -> ConfigFile:
    path.write_text(text)
    return read_config_file(path)


def changes(reference: dict, candidate: dict, **options) -> dict[str, Change]:
    found = compare_configs(ConfigFile("a", reference), ConfigFile("b", candidate), **options)
    return {row.key: row.change for row in found.differences}


def test_yaml_json_and_toml_hold_the_same(tmp_path: Path):
    pytest.importorskip("omegaconf")
    yaml = "model: {width: 8, lr: 1e-3, betas: [0.9, 0.98], bias: true, name: a}\n"
    toml = '[model]\nwidth = 8\nlr = 1e-3\nbetas = [0.9, 0.98]\nbias = true\nname = "a"\n'
    files = [("a.yml", yaml), ("a.json", json.dumps(SAME_IN_ALL)), ("a.toml", toml)]
    for name, text in files:
        assert read(tmp_path / name, text).values == SAME_IN_ALL, name


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.ini", "", "is no configuration: a name that ends in .yaml, .yml, .json or .toml is needed"),
        ("a.json", "{", "is not JSON: "),
        ("a.json", '{"a": 1, "a": 2}', "has the key 'a' twice in one object"),
        ("a.json", "[1]", "holds a list at its top, and a table of keys is needed"),
        ("a.json", "null", "holds nothing at its top"),
        ("a.toml", "a = ", "is not TOML: "),
        ("a.yaml", "a: [1", "is not YAML: "),
        ("a.yaml", "a: 1\na: 2", "is not YAML: found duplicate key a (line 2, column 1)"),
        ("a.yaml", "- 1\n", "holds a list at its top"),
        ("a.yaml", "words\n", "holds a str at its top"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, name: str, text: str, why: str):
    pytest.importorskip("omegaconf")
    with pytest.raises(UsageError) as caught:
        read(tmp_path / name, text)
    assert f"{tmp_path / name} " in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match=r"gone\.json cannot be read: No such file"):
        read_config_file(tmp_path / "gone.json")


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "a: 1"), ("a.json", '{"a": 1, "b": "${a}"}')])
def test_without_omegaconf_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str):
    monkeypatch.setattr("pytest_parity.contract.reading.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-parity\[config\]'"):
        read(tmp_path / name, text)


def test_json_and_toml_without_references_need_no_omegaconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "omegaconf", None)
    assert read(tmp_path / "a.json", '{"a": 1}').values == {"a": 1}
    assert read(tmp_path / "a.toml", "a = 2024-01-02").values == {"a": "2024-01-02"}


def test_references_are_resolved_in_every_format(tmp_path: Path):
    pytest.importorskip("omegaconf")
    yaml = read(tmp_path / "a.yaml", 'a: {b: 3, c: [1, 2]}\nd: ${a.b}\ne: ${a}\nf: x${d}\ng: ["${d}"]\n')
    assert yaml.values == {"a": {"b": 3, "c": [1, 2]}, "d": 3, "e": {"b": 3, "c": [1, 2]}, "f": "x3", "g": [3]}
    assert yaml.unresolved == {}
    assert read(tmp_path / "a.toml", 'a = 3\nb = "${a}"\n').values == {"a": 3, "b": 3}


def test_what_the_file_cannot_tell_stays_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("omegaconf")
    monkeypatch.setenv("WORD", "a-secret")
    found = read(
        tmp_path / "a.yaml",
        "must: ???\nmay: ${must}\nenv: ${oc.env:WORD}\nof_env: ${env}/x\nnow: ${now:%Y}\nhydra: ${hydra:runtime.cwd}\n"
        "nowhere: ${no.such}\nloop: {back: '${loop}'}\n",
    )
    assert found.values == {
        "must": "???",
        "may": "${must}",
        "env": "${oc.env:WORD}",
        "of_env": "${oc.env:WORD}/x",
        "now": "${now:%Y}",
        "hydra": "${hydra:runtime.cwd}",
        "nowhere": "${no.such}",
        "loop": {"back": "${loop}"},
    }
    assert list(found.unresolved) == ["must", "may", "env", "of_env", "now", "hydra", "nowhere", "loop.back"]
    assert found.unresolved["must"] == "it has to be given"
    assert found.unresolved["may"] == "it leads to what has to be given"
    assert found.unresolved["nowhere"] == "there is no such key"
    assert found.unresolved["env"] == "only the machine that it runs on can tell"


def test_what_hydra_would_compose_is_told(tmp_path: Path):
    found = read(tmp_path / "a.json", '{"defaults": ["base", "_self_"], "a": 1}')
    assert list(found.unresolved) == ["defaults"]
    assert "--cfg job" in found.unresolved["defaults"]
    assert read(tmp_path / "a.json", '{"defaults": {"a": 1}}').unresolved == {}


def test_tables_that_lead_to_each_other_end(tmp_path: Path):
    pytest.importorskip("omegaconf")
    found = read(tmp_path / "a.yaml", "a: {x: '${b}'}\nb: {y: '${a}'}\n")
    assert found.values == {"a": {"x": {"y": "${a}"}}, "b": {"y": {"x": "${b}"}}}
    assert set(found.unresolved.values()) == {"it leads back to itself"}


def test_every_sort_of_change():
    reference = {"lr": 0.1, "bias": True, "depth": 1, "drop": None, "gone": 2, "same": [1, 2], "betas": [0.9, 0.98]}
    candidate = {"lr": 0.2, "bias": "True", "depth": 1.0, "drop": "null", "new": 2, "same": [1, 2], "betas": [0.9, 1]}
    assert changes(reference, candidate) == {
        "lr": Change.CHANGED,
        "bias": Change.TYPE,
        "depth": Change.TYPE,
        "drop": Change.TYPE,
        "gone": Change.MISSING,
        "new": Change.EXTRA,
        "betas": Change.CHANGED,
    }


@pytest.mark.parametrize(
    ("one", "other", "change"),
    [
        (0, 0.1, Change.CHANGED),
        (True, 1, Change.TYPE),
        ([1, 2], [1.0, 2.0], Change.TYPE),
        ([1, 2], [1, 3], Change.CHANGED),
        ([0.9], [0.9, 0.98], Change.CHANGED),
        (None, [1], Change.TYPE),
        ({}, None, Change.TYPE),
        (float("nan"), float("nan"), Change.SAME),
        ("1e-3", 1e-3, Change.TYPE),
    ],
)
def test_a_value_against_another(one, other, change):
    found = compare_configs(ConfigFile("a", {"key": one}), ConfigFile("b", {"key": other}))
    assert [row.change for row in found.keys] == [change]
    assert found.passed == (change is Change.SAME)


def test_a_value_where_the_other_has_a_table_is_one_difference():
    found = compare_configs(
        ConfigFile("a", {"norm": None, "x": 1}), ConfigFile("b", {"norm": {"eps": 1, "p": 2}, "x": 1})
    )
    (row,) = found.differences
    assert (row.key, row.change, row.reference, row.candidate) == ("norm", Change.TYPE, None, {"eps": 1, "p": 2})
    other = compare_configs(ConfigFile("b", {"norm": {"eps": 1}}), ConfigFile("a", {"norm": 3}))
    assert [(row.key, row.reference, row.candidate) for row in other.differences] == [("norm", {"eps": 1}, 3)]


def test_what_changes_numbers_comes_first():
    reference = {"name": "a", "thing": 1, "lr": 0.1, "log_every_n_steps": 10, "seed": 1}
    found = compare_configs(ConfigFile("a", reference), ConfigFile("b", dict.fromkeys(reference, "x")))
    assert [(row.key, row.effect) for row in found.differences] == [
        ("lr", Effect.NUMBERS),
        ("seed", Effect.NUMBERS),
        ("thing", Effect.MAY),
        ("name", Effect.UNLIKELY),
        ("log_every_n_steps", Effect.UNLIKELY),
    ]


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("model.encoder.n_layers", Effect.NUMBERS),
        ("model.encoder.Dropout_Att", Effect.NUMBERS),
        ("optim.betas.1", Effect.NUMBERS),
        ("model.optim.name", Effect.NUMBERS),
        ("trainer.precision", Effect.NUMBERS),
        ("model.train_ds.num_workers", Effect.NUMBERS),
        ("model.conv_norm_type", Effect.NUMBERS),
        ("model.drop_path", Effect.NUMBERS),
        ("model.init_from_nemo_model", Effect.NUMBERS),
        ("data.pad_id", Effect.MAY),
        ("encoder.name", Effect.MAY),
        ("trainer.benchmark", Effect.MAY),
        ("never.heard.of", Effect.MAY),
        ("name", Effect.UNLIKELY),
        ("exp_manager.resume_if_exists", Effect.UNLIKELY),
        ("model.train_ds.manifest_filepath", Effect.UNLIKELY),
        ("trainer.enable_checkpointing", Effect.UNLIKELY),
        ("model.pin_memory", Effect.UNLIKELY),
    ],
)
def test_the_effect_of_a_key(key: str, effect: Effect):
    assert effect_of(key).effect is effect


def test_every_pattern_decides_about_something():
    """A pattern that an earlier one always shadows would be a line that does nothing."""
    shadowed = []
    for rule in EFFECTS:
        for pattern in rule.patterns:
            key = pattern.replace("*", "x").removeprefix(".")
            if effect_of(key) is not rule and effect_of(pattern.replace("*", "").strip("._")) is not rule:
                shadowed.append((pattern, effect_of(key).reason))
    assert shadowed == []


def test_only_and_ignore():
    reference = {"model": {"lr": 1, "enc": {"drop": 1}}, "data": {"path": "x"}}
    candidate = {"model": {"lr": 2, "enc": {"drop": 2}}, "data": {"path": "y"}}
    assert set(changes(reference, candidate, only=["model"])) == {"model.lr", "model.enc.drop"}
    assert set(changes(reference, candidate, only=["model.enc", "data"])) == {"model.enc.drop", "data.path"}
    assert set(changes(reference, candidate, ignore=["data", "*.drop"])) == {"model.lr"}
    found = compare_configs(ConfigFile("a", reference), ConfigFile("b", candidate), ignore=["data", "nothing"])
    assert found.ignored == {"data": 1, "nothing": 0}


def test_a_section_that_neither_has_is_an_error():
    a, b = ConfigFile("a.yaml", {"model": 1}), ConfigFile("b.yaml", {"trainer": 1})
    with pytest.raises(
        UsageError, match=r"--only modl selects no key of a\.yaml and none of b\.yaml; .* model, trainer"
    ):
        compare_configs(a, b, only=["modl"])
    assert [row.change for row in compare_configs(a, b, only=["trainer"]).keys] == [Change.EXTRA]


@pytest.mark.parametrize(("values", "ignore"), [({}, []), ({"a": 1}, ["*"])])
def test_nothing_compared_is_an_error(values: dict, ignore: list[str]):
    with pytest.raises(UsageError, match="there is no key to compare"):
        compare_configs(ConfigFile("a", values), ConfigFile("b", values), ignore=ignore)


def test_what_is_compared_as_written_is_told():
    a = ConfigFile("a", {"x": {"y": "???"}, "z": 1}, {"x.y": "it has to be given"})
    assert compare_configs(a, a).unresolved == {"x.y": "it has to be given"}
    assert compare_configs(a, a, ignore=["x"]).unresolved == {}


def test_a_list_of_plain_values_is_one_value_where_asked():
    config = {"betas": [0.9, 0.98], "layers": [{"width": 4}]}
    assert dict(flattened(config, whole_lists=True)) == {"betas": [0.9, 0.98], "layers.0.width": 4}


def test_every_reason_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "consistency.md").read_text(encoding="utf-8")
    assert [rule.reason for rule in EFFECTS if rule.reason not in text] == []


def test_a_dot_in_a_name_hides_no_key():
    """``{"a.b": 1, "a": {"b": 2}}`` has two values, and one dotted key for them."""
    with pytest.raises(UsageError, match=r"a has the key a\.b twice, nested and with a dot in its name"):
        changes({"a.b": 1, "a": {"b": 2}}, {"a": {"b": 2}})
    assert changes({"a.b": 1}, {"a": {"b": 1}}) == {}


def test_a_list_of_tables_is_no_table_with_numbers_for_keys():
    assert changes({"layers": [{"x": 1}]}, {"layers": {"0": {"x": 1}}}) == {"layers": Change.TYPE}
    assert changes({"a": {"layers": {"0": {"x": 1}}}}, {"a": {"layers": [{"x": 1}]}}) == {"a.layers": Change.TYPE}
