"""Which runs are seeds of one experiment, and what --names calls them."""

from __future__ import annotations

import pytest

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.groups import Run, declared, experiment_stem, grouped, meaning
from pytest_parity.errors import UsageError


def run(name: str, model_type: str = "MDLM", unit: str = "", place: str = "") -> Run:
    return Run(place or f"{name}_metrics.json", Curve(name, model_type, unit=unit))


def shown(runs: list[Run], *names: str) -> list[tuple[str, int]]:
    return [(one.name, len(one.runs)) for one in grouped(runs, names)]


@pytest.mark.parametrize(
    "name",
    [
        "mdlm_s3",
        "mdlm_seed3",
        "mdlm-seed=3",
        "mdlm_seed_12",
        "mdlm.Seed-4",
        "mdlm_20241222_120000",
        "mdlm_2024-12-22T12:00:00",
        "mdlm_20241222",
        "mdlm_s3_20241222_120000",
        "mdlm_20241222_120000_seed3",
        "mdlm",
    ],
)
def test_a_seed_or_a_time_stamp_at_the_end_is_no_part_of_the_experiment(name: str):
    assert experiment_stem(name) == "mdlm"


@pytest.mark.parametrize(
    "name", ["mdlm_wikitext_768d_12l", "mdlm_v2", "s3", "_s3", "20241222_120000", "mdlms3", "mdlm_s3_large", "mdlm_123"]
)
def test_other_endings_are(name: str):
    assert experiment_stem(name) == name


def test_seeds_are_one_experiment_and_other_models_are_others():
    runs = [run("ar_s1", "AR"), run("mdlm_s1"), run("mdlm_s2"), run("ar_s2", "AR"), run("mdlm_s3")]
    assert shown(runs) == [("ar", 2), ("mdlm", 3)]


def test_one_run_keeps_its_whole_name():
    assert shown([run("mdlm_20241222_120000")]) == [("mdlm_20241222_120000", 1)]


@pytest.mark.parametrize("other", [run("mdlm_s2", "AR"), run("mdlm_s2", unit="nats/token")])
def test_another_model_or_unit_is_another_experiment(other: Run):
    assert shown([run("mdlm_s1"), other]) == [("mdlm_s1", 1), ("mdlm_s2", 1)]


def test_equal_names_of_what_is_not_equal_are_told_apart():
    runs = [run("x", "AR"), run("x", "MDLM", "nats/token"), run("x", "")]
    assert shown(runs) == [("x (AR)", 1), ("x (MDLM, nats/token)", 1), ("x (no model type)", 1)]


def test_files_without_a_name_are_not_one_experiment():
    runs = [run("", place="a.json"), run("", place="b.json")]
    assert shown(runs) == [("a.json", 1), ("b.json", 1)]


def test_names_may_be_one_a_file():
    runs = [run("a_s1"), run("a_s2"), run("b_s1")]
    assert shown(runs, "x", "y", "z") == [("x", 1), ("y", 1), ("z", 1)]
    assert shown(runs, "x", "y", "x") == [("x", 2), ("y", 1)]


def test_names_may_be_one_an_experiment():
    runs = [run("a_s1"), run("a_s2"), run("b_s1")]
    assert shown(runs, "A", "B") == [("A", 2), ("B", 1)]
    assert shown(runs, "A", "A") == [("A", 3)]


def test_any_other_number_of_names_lists_what_was_found():
    with pytest.raises(UsageError) as caught:
        grouped([run("a_s1"), run("a_s2"), run("b", "AR")], ["A", "B", "C", "D"])
    assert str(caught.value) == (
        "--names has 4 ('A', 'B', 'C', 'D'), and there should be 3, one a file, or 2, one an experiment. Found:\n"
        "  a: a_s1_metrics.json, a_s2_metrics.json\n"
        "  b: b_metrics.json"
    )
    with pytest.raises(UsageError, match=r"--names has 2 \('A', 'B'\), and there should be 1, one a file\. Found:"):
        grouped([run("a")], ["A", "B"])


def test_one_name_does_not_join_losses_of_different_meaning():
    runs = [run("a", "AR"), run("b", "MDLM", "nats/token")]
    with pytest.raises(UsageError) as caught:
        grouped(runs, ["x", "x"])
    assert str(caught.value) == (
        "--names calls a_metrics.json and b_metrics.json 'x' both, and their losses are not the same: of model type 'AR' "
        "without a unit, and in 'nats/token'. Give them two names, or, where they do mean the same, declare that with --unit"
    )
    assert shown([declared(one, "nats") for one in runs], "x", "x") == [("x", 2)]


def test_a_unit_is_what_losses_mean_and_without_one_the_model_type():
    assert meaning(run("a", "AR", "nats").curve) == meaning(run("b", "MDLM", "nats").curve)
    assert meaning(run("a", "AR").curve) != meaning(run("b", "MDLM").curve)
    assert meaning(run("a", "AR").curve) == meaning(run("b", "AR").curve)
    assert meaning(run("a", "AR", "nats").curve) != meaning(run("b", "AR").curve)
    assert meaning(declared(run("a", "AR", "bits"), "nats").curve) == ("unit", "nats")
    assert meaning(declared(run("a", "AR", "bits"), None).curve) == ("unit", "bits")
