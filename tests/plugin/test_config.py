from __future__ import annotations

import importlib.util
from enum import Enum
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pytest_parity.errors import UsageError
from pytest_parity.plugin.config import overridden, plain_config, read_config, read_override

from .project import Run, manifest

YAML = "model:\n  width: 4\n  p: 0.5\n  scale: ${model.width}\n"
TEST = """
    import torch

    def test_value(parity, parity_config):
        parity.assert_close("x", torch.full((parity_config.model.width,), float(parity_config.model.scale)))
"""


@pytest.fixture
def configured(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nparity_config = conf.yaml")
    (pytester.path / "conf.yaml").write_text(YAML)
    pytester.makepyfile(test_one=TEST)
    return pytester


def test_the_file_of_the_ini_option_goes_into_the_golden(run: Run, configured: pytest.Pytester):
    run("--parity-record")
    settings = manifest(configured.path / "golden/test_one/test_value")["settings"]
    assert settings["config"] == {"model": {"width": 4, "p": 0.5, "scale": "${model.width}"}}
    assert run().ret == 0


def test_an_override_reaches_the_test_and_is_listed_beside_the_failure(run: Run, configured: pytest.Pytester):
    configured.runpytest("--parity-record")
    result = run("--parity-set", "model.scale=5", "--parity-set", "model.p=null")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "not as in the golden's run, the likeliest explanation first:",
            "  model.p in the configuration: None here, 0.5 in the golden",
            "  model.scale in the configuration: 5 here, ${model.width} in the golden",
        ]
    )


def test_weights_that_do_not_fit_name_the_override(run: Run, pytester: pytest.Pytester):
    pytester.makeini("[pytest]\nparity_config = conf.yaml")
    (pytester.path / "conf.yaml").write_text(YAML)
    pytester.makepyfile(
        test_one="""
        import torch

        def test_model(parity, parity_config):
            model = parity.load(torch.nn.Linear(parity_config.model.width, 2))
            with parity.watch(model):
                model(parity.input("x", lambda: torch.ones(1, parity_config.model.width)))
        """
    )
    run("--parity-record")
    result = run("--parity-set", "model.width=5")
    result.stdout.fnmatch_lines(
        [
            "the weights of test_one/test_model do not fit*",
            "The configuration is not the golden's: model.width 5 (golden: 4)",
        ]
    )


def test_without_one_nothing_is_listed(configured: pytest.Pytester):
    configured.runpytest("--parity-record")
    result = configured.runpytest("--parity-set", "model.p=0.5", "--parity-strict")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*configuration*")


def test_another_configuration_is_drift_under_strict(configured: pytest.Pytester):
    configured.runpytest("--parity-record")
    result = configured.runpytest("--parity-set", "model.p=0.25", "--parity-strict")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["environment drift: test_one/test_value: model.p in the configuration 0.25 (golden: 0.5)*"]
    )


def test_each_directory_has_its_own(run: Run, pytester: pytest.Pytester):
    for name, source in (("one", "{'width': 1}"), ("two", "OmegaConf.create({'width': 2})")):
        directory = pytester.mkdir(name)
        (directory / "conftest.py").write_text(
            "import pytest\nfrom omegaconf import OmegaConf\n"
            f"@pytest.fixture\ndef parity_config_source(): return {source}\n"
        )
        (directory / f"test_{name}.py").write_text(
            "def test_value(parity, parity_config):\n    print('width', parity_config.width)\n    raise RuntimeError\n"
        )
    result = run()
    result.stdout.fnmatch_lines_random(["width 1", "width 2"])
    result = run("--parity-set", "width=3")
    assert result.stdout.str().count("width 3") == 2


def test_a_test_without_one_has_none(pytester: pytest.Pytester, one_test: object):
    pytester.makepyfile(
        test_none="def test_none(parity, parity_config): assert parity_config is None; raise RuntimeError"
    )
    pytester.runpytest("test_none.py").stdout.fnmatch_lines(["*RuntimeError*"])
    pytester.runpytest("--parity-record", "test_one.py")
    assert "config" not in manifest(pytester.path / "golden/test_one/test_value")["settings"]


def test_an_override_without_a_configuration(one_test: object, pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-set", "model.width=3")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*--parity-set model.width: this test has no configuration to set that in; give it one*"]
    )


def test_an_override_that_a_fixture_of_the_projects_keeps_out(configured: pytest.Pytester):
    configured.makeconftest(
        "import pytest\n@pytest.fixture\ndef parity_config(): return {'model': {'width': 1, 'scale': 2}}"
    )
    configured.makepyfile(test_one="def test_value(parity): parity.assert_close('x', 1.0)")
    configured.runpytest("--parity-record")
    settings = manifest(configured.path / "golden/test_one/test_value")["settings"]
    assert settings["config"] == {"model": {"width": 1, "scale": 2}}
    result = configured.runpytest("--parity-set", "model.width=3")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*--parity-set model.width: the project's fixture parity_config*parity_config_source instead*"]
    )


@pytest.mark.parametrize("text", ["model.width", "=3", "+=3"])
def test_an_override_that_is_none(pytester: pytest.Pytester, text: str):
    result = pytester.runpytest("--parity-set", text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--parity-set {text}: write key=value, as in --parity-set model.width=64"])


@pytest.mark.parametrize("args", [("--parity-set", "a=1"), ()])
def test_without_omegaconf(configured: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "pytest_parity.plugin.config.find_spec", lambda name: None if name == "omegaconf" else found(name)
    )
    result = configured.runpytest(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*is read with OmegaConf, which is not installed: pip install 'pytest-parity[[]config[]]'"]
    )


def test_a_file_that_is_not_there(configured: pytest.Pytester):
    (configured.path / "conf.yaml").unlink()
    result = configured.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the fixture parity_config_source: *conf.yaml cannot be read: No such file*"])


def override(config: object, *texts: str) -> dict:
    read = read_config(config, "test")
    return OmegaConf.to_container(overridden(read, [read_override(text) for text in texts]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=2", {"a": {"b": 2}, "l": [1, {"c": 0}], "n": None}),
        ("a={b: [1, x]}", {"a": {"b": [1, "x"]}, "l": [1, {"c": 0}], "n": None}),
        ("l.1.c=true", {"a": {"b": 1}, "l": [1, {"c": True}], "n": None}),
        ("n=text", {"a": {"b": 1}, "l": [1, {"c": 0}], "n": "text"}),
        ("a.b=x=y", {"a": {"b": "x=y"}, "l": [1, {"c": 0}], "n": None}),
        ("+a.c=3", {"a": {"b": 1, "c": 3}, "l": [1, {"c": 0}], "n": None}),
        ("+d.e=3", {"a": {"b": 1}, "l": [1, {"c": 0}], "n": None, "d": {"e": 3}}),
    ],
)
def test_values_are_written_as_omegaconf_writes_them(text: str, expected: dict):
    assert override({"a": {"b": 1}, "l": [1, {"c": 0}], "n": None}, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.bb=2",
            r"--parity-set a\.bb=2: the configuration has no 'a\.bb'; did you mean 'a\.b'\?; .* --parity-set \+a\.bb=2",
        ),
        ("l.7=2", r"the configuration has no 'l\.7'"),
        ("a.b.c=2", r"the configuration has no 'a\.b\.c'"),
        ("a=[1", r"--parity-set a=\[1: OmegaConf refuses it"),
    ],
)
def test_a_key_that_is_not_there_and_a_value_that_is_none(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        override({"a": {"b": 1}, "l": [1]}, text)


def test_a_structured_or_read_only_config_is_overridden_in_a_copy():
    config = OmegaConf.create({"a": 1})
    OmegaConf.set_readonly(config, value=True)
    OmegaConf.set_struct(config, value=True)
    assert override(config, "a=2", "+b=3") == {"a": 2, "b": 3}
    assert config == {"a": 1}


def test_interpolations_stay_what_they_are():
    config = OmegaConf.create({"a": 1, "b": "${a}"})
    assert OmegaConf.to_container(overridden(read_config(config, "test"), [read_override("a=2")]), resolve=True) == {
        "a": 2,
        "b": 2,
    }
    assert plain_config(read_config(config, "test"))["b"] == "${a}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "is 3, no table; give the path"),
        (OmegaConf.create([1]), "no table"),
        ({"a": object()}, "OmegaConf cannot hold it"),
    ],
)
def test_a_source_that_is_no_configuration(source: object, message: str):
    with pytest.raises(UsageError, match=f"test.*{message}"):
        read_config(source, "test")


def test_a_file_that_is_no_yaml(tmp_path: Path):
    (tmp_path / "conf.yaml").write_text("a: [")
    with pytest.raises(UsageError, match=r"conf\.yaml is not YAML"):
        read_config(tmp_path / "conf.yaml", "test")


class Mode(Enum):
    FAST = 1


def test_a_golden_keeps_no_directory_of_this_machine(tmp_path: Path):
    config = {"data": str(tmp_path / "a.json"), "paths": [tmp_path], "mode": Mode.FAST, 3: "${oc.env:HOME}/x"}
    assert plain_config(read_config(config, "test")) == {
        "data": ".../a.json",
        "paths": [f".../{tmp_path.name}"],
        "mode": "FAST",
        "3": "${oc.env:HOME}/x",
    }
