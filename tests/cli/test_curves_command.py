"""``parity curves``: pictures, page and table of training curves, whether experiments differ, and a verdict with --against."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_command import Command

from pytest_parity.curves.curve import Curve, Series
from pytest_parity.curves.files import write_curve
from pytest_parity.curves.reading import read_curve
from pytest_parity.curves.writing import MetricsWriter

PICTURES = ["loss_per_epoch.png", "loss_per_step.png", "loss_smoothed.png"]
EVERYTHING = sorted([*PICTURES, "comparison.png", "curves.html"])


def curve(name: str, *, model_type: str = "MDLM", level: float = 2.0, seed: int = 0, unit: str = "nats/token") -> Curve:
    steps = np.arange(1, 301)
    losses = level + 8 * np.exp(-steps / 40) + np.random.default_rng(seed).normal(0, 0.05, len(steps))
    return Curve(
        name,
        model_type,
        "2024-12-22T12:00:00",
        "2024-12-22T16:30:00",
        steps=steps,
        step_losses=losses.round(4),
        epochs=np.arange(1, 4),
        epoch_losses=np.array([part.mean().round(4) for part in np.array_split(losses, 3)]),
        unit=unit,
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkpoints(place: Path) -> Path:
    """One run of each of two models, with a unit."""
    write_curve(curve("mdlm_wikitext"), "checkpoints")
    write_curve(curve("ar_wikitext", model_type="AR", level=1.5, seed=1), "checkpoints")
    return place / "checkpoints"


@pytest.fixture
def seeds(place: Path) -> Path:
    """Three runs of each of two models."""
    for seed in range(3):
        write_curve(curve(f"mdlm_s{seed}", level=2 + 0.02 * seed, seed=seed), "checkpoints")
        write_curve(curve(f"ar_s{seed}", model_type="AR", level=1.5 + 0.02 * seed, seed=9 + seed), "checkpoints")
    return place / "checkpoints"


def names(directory: str | Path) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


# pictures


def test_one_file_gives_three_pictures_and_a_page(checkpoints: Path, parity_command: Command):
    done = parity_command("curves", "checkpoints/mdlm_wikitext_metrics.json")
    assert (done.status, done.err) == (0, "")
    assert names("plots") == sorted([*PICTURES, "curves.html"])
    assert done.out.splitlines() == [
        "run            model  steps  epochs  first   last  smoothed       lowest  last epoch   time",
        "mdlm_wikitext  MDLM     300       3  9.809  2.046     2.013  1.86 at 285       2.013  4.5 h",
        "wrote plots/loss_per_step.png, plots/loss_per_epoch.png, plots/loss_smoothed.png, plots/curves.html",
    ]


def test_the_comparison_of_the_customers_document(checkpoints: Path, parity_command: Command):
    files = ["checkpoints/mdlm_wikitext_metrics.json", "checkpoints/ar_wikitext_metrics.json"]
    words = ["--names", "MDLM", "AR", "--title", " - WikiText-103-v1", "--output_dir", "comparison_plots"]
    done = parity_command("curves", *files, *words)
    assert done.status == 0
    assert names("comparison_plots") == EVERYTHING
    page = Path("comparison_plots/curves.html").read_text(encoding="utf-8")
    assert "<title>Training curves - WikiText-103-v1</title>" in page
    assert "MDLM and AR: undecided, final level, steps 271 to 300: MDLM 1.994 (1 run), AR 1.506 (1 run); " in done.out


def test_a_directory_is_looked_through(checkpoints: Path, parity_command: Command):
    write_curve(curve("deep"), checkpoints / "below" / "it")
    assert parity_command("curves", "checkpoints", "--output-dir", "out/new").status == 0
    assert names("out/new") == EVERYTHING
    table = parity_command("curves", "checkpoints", "--summary").out.splitlines()
    assert [line.split()[0] for line in table[1:4]] == ["ar_wikitext", "mdlm_wikitext", "deep"]


def test_the_page_may_be_elsewhere(checkpoints: Path, parity_command: Command):
    done = parity_command("curves", "checkpoints", "--html", "all.html")
    assert done.status == 0
    assert "curves.html" not in names("plots")
    assert Path("all.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_page_holds_what_the_table_and_the_sentences_say(seeds: Path, parity_command: Command):
    parity_command("curves", "checkpoints", "--summary", "--html", "all.html")
    page = Path("all.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="document">')[1].split("</script>")[0])
    assert [(one["name"], one["runs"], one["unit"]) for one in data["experiments"]] == [
        ("ar", 3, "nats/token"),
        ("mdlm", 3, "nats/token"),
    ]
    [panel] = data["losses"]
    roles = [(row["experiment"], row["role"]) for row in panel["steps"]]
    assert roles == [(name, role) for name in ("ar", "mdlm") for role in ("mean", "band", "run", "run", "run")]
    assert data["differences"][0].startswith("ar and mdlm: differ, final level")
    assert not Path("plots").exists()


def test_further_series_are_on_the_page(checkpoints: Path, parity_command: Command):
    series = {"learning_rate": Series(np.arange(1, 301), np.linspace(1e-3, 1e-4, 300))}
    write_curve(replace(curve("with_rate"), series=series), "rates")
    done = parity_command("curves", "rates", "checkpoints", "--html", "all.html", "--summary")
    data = json.loads(Path("all.html").read_text(encoding="utf-8").split('id="document">')[1].split("</script>")[0])
    assert [panel["metric"] for panel in data["series"]] == ["learning_rate"]
    assert [row["experiment"] for row in data["series"][0]["steps"]] == ["with_rate"]
    assert " 0.0001 " in done.out


# what is said


def test_seeds_are_tested_and_one_run_each_is_undecided(seeds: Path, parity_command: Command):
    lines = parity_command("curves", "checkpoints", "--summary").out.splitlines()
    assert [line.split()[0] for line in lines[:7]] == [
        "run",
        "ar_s0",
        "ar_s1",
        "ar_s2",
        "mdlm_s0",
        "mdlm_s1",
        "mdlm_s2",
    ]
    assert lines[7].startswith(
        "ar and mdlm: differ, final level, steps 271 to 300: ar is lower by 0.499 nats/token (0.448 to 0.551: 95"
    )
    assert lines[8].startswith("ar and mdlm: differ, epoch 3: ar is lower by 0.")
    assert len(lines) == 9
    alone = parity_command(
        "curves", *(f"checkpoints/{name}_s0_metrics.json" for name in ("mdlm", "ar")), "--summary"
    ).out
    assert "train 1 more of mdlm_s0 and 1 more of ar_s0" in alone


def test_losses_without_a_unit_are_not_compared_and_declaring_one_helps(place: Path, parity_command: Command):
    write_curve(curve("mdlm", unit=""), "runs")
    write_curve(curve("ar", model_type="AR", unit=""), "runs")
    words = ("curves", "runs", "--summary")
    assert "ar and mdlm: not comparable: " in parity_command(*words).out
    assert "not comparable" not in parity_command(*words, "--unit", "nats/token").out


def test_what_is_odd_about_a_run_is_said(place: Path, parity_command: Command):
    one = curve("odd")
    losses, kept = one.step_losses.copy(), np.r_[0:100, 150:250, 240:300]
    losses[[20, 21, 299]] = np.nan
    write_curve(replace(one, steps=one.steps[kept], step_losses=losses[kept], end_time=None), "runs")
    write_curve(Curve("nothing"), "runs")
    lines = parity_command("curves", "runs", "--summary").out.splitlines()
    assert lines[4:9] == [
        "odd: 3 steps are not finite, the first at step 21",
        "odd: it ends with a loss that is not finite, at step 300",
        "odd: 50 steps missing, in 1 gap",
        "odd: 10 steps logged again, as a resume does",
        "odd: no end_time: it is still training, or was killed; it has come to step 300",
    ]
    assert lines[1].split()[:2] == ["nothing", "-"]
    assert lines[3] == "nothing: nothing was logged: neither a step nor an epoch"


def test_the_same_run_under_two_names_counts_once(place: Path, parity_command: Command):
    for name in ("a_s1", "a_s2", "b_s1"):
        write_curve(curve(name, level=1.0 if name == "b_s1" else 2.0), "runs")
    lines = parity_command("curves", "runs", "--summary").out.splitlines()
    assert "runs/a_s1_metrics.json and runs/a_s2_metrics.json are the same run, bit for bit: it counts once" in lines
    assert any("a 2.0" in line and "(1 run), b_s1 1.0" in line for line in lines)


def test_a_file_that_grows_is_read_as_far_as_it_is(place: Path, parity_command: Command):
    writer = MetricsWriter("live", "runs", model_type="MDLM")
    for step in range(1, 51):
        writer.log_step(step, 3.0 - step / 100)
    writer.flush()
    done = parity_command("curves", "runs")
    assert done.status == 0
    assert "live: no end_time: it is still training, or was killed; it has come to step 50" in done.out
    writer.close()


def test_names_of_any_kind_are_drawn_and_cannot_command_the_terminal(place: Path, parity_command: Command):
    write_curve(curve("plain"), "runs")
    done = parity_command("curves", "runs", "--names", "\x1b[31m$\\frac{ <b>", "--title", "$_{")
    assert done.status == 0
    assert "\x1b" not in done.out
    assert "?[31m$\\frac{ <b>" in done.out


def test_colours_only_where_they_are_wanted(seeds: Path, parity_command: Command):
    assert "\x1b[1mrun" in parity_command("curves", "checkpoints", "--summary", "--color", "always").out
    assert "\x1b" not in parity_command("curves", "checkpoints", "--summary").out


# json


def test_json_has_all_of_it(seeds: Path, parity_command: Command):
    done = parity_command("curves", "checkpoints", "--json", "--color", "always")
    found = json.loads(done.out)
    assert list(found) == ["passed", "experiments", "differences", "judged", "files", "notes"]
    assert [(one["name"], len(one["runs"])) for one in found["experiments"]] == [("ar", 3), ("mdlm", 3)]
    run = found["experiments"][1]["runs"][0]
    assert (run["experiment_name"], run["steps"], run["epochs"], run["unit"]) == ("mdlm_s0", 300, 3, "nats/token")
    assert (run["seconds"], run["nonfinite"], run["first_nonfinite"]) == (16200.0, 0, -1)
    level = found["differences"][0]
    assert (level["statistic"], level["outcome"], level["lower"], level["runs"]) == (
        "final level",
        "differ",
        "ar",
        [3, 3],
    )
    assert 0.4 < level["low"] < level["difference"] < level["high"] < 0.6
    assert (found["passed"], found["judged"]) == (True, [])
    assert sorted(Path(path).name for path in found["files"]) == EVERYTHING


# --against


def test_against_recorded_runs_each_curve_is_judged(seeds: Path, parity_command: Command):
    for seed in range(5):
        write_curve(curve(f"mdlm_s{seed}", seed=20 + seed), "recorded")
    write_curve(curve("mdlm_new", seed=77), "new")
    good = parity_command("curves", "new", "--against", "recorded", "--summary")
    assert good.status == 0
    assert good.out.splitlines()[-1].startswith(
        "passed: mdlm_new: 300 steps within the band of 5 recorded runs, nearest: "
    )
    write_curve(curve("mdlm_bad", level=2.1, seed=78), "new")
    bad = parity_command("curves", "new", "--against", "recorded", "--summary")
    assert bad.status == 1
    assert [line.split(":")[0] for line in bad.out.splitlines() if line.startswith(("passed", "FAILED"))] == [
        "FAILED",
        "passed",
    ]
    plain = parity_command("curves", "new", "--against", "recorded", "--summary", "--json")
    assert (plain.status, json.loads(plain.out)["passed"]) == (1, False)
    assert [(one["name"], one["passed"]) for one in json.loads(plain.out)["judged"]] == [
        ("mdlm_bad", False),
        ("mdlm_new", True),
    ]


def test_several_recorded_experiments_are_chosen_by_name(seeds: Path, parity_command: Command):
    for name, model_type, level in (("mdlm", "MDLM", 2.02), ("ar", "AR", 1.52)):
        write_curve(curve(f"{name}_s9", model_type=model_type, level=level, seed=50), "new")
    crossed = parity_command("curves", "new", "--names", "mdlm", "ar", "--against", "checkpoints", "--summary")
    assert crossed.status == 1
    done = parity_command("curves", "new", "--names", "ar", "mdlm", "--against", "checkpoints", "--summary")
    assert done.status == 0, done.out
    done = parity_command("curves", "new", "--against", "checkpoints", "--summary")
    assert done.err == (
        "parity curves: --against has 2 experiments (ar, mdlm), and none is called ar_s9: give one's files alone, or "
        "judge one experiment at a time\n"
    )


def test_a_curve_is_not_judged_by_itself(seeds: Path, parity_command: Command):
    done = parity_command(
        "curves", "checkpoints/ar_s0_metrics.json", "--against", "checkpoints/../checkpoints", "--summary"
    )
    assert done.status == 2
    one = parity_command(
        "curves", "checkpoints/ar_s0_metrics.json", "--against", "checkpoints/ar_s0_metrics.json", "--summary"
    )
    assert one.err == (
        "parity curves: --against: checkpoints/ar_s0_metrics.json would be judged by itself, and agrees with that; "
        "give recorded runs\n"
    )


# logs of other libraries


@pytest.fixture
def logged(place: Path) -> Path:
    """What Lightning's CSV logger leaves."""
    directory = place / "lightning_logs" / "version_0"
    directory.mkdir(parents=True)
    rows = [f"{step},{step // 50},{4 - step / 100},{5 - step / 100}" for step in range(100)]
    (directory / "metrics.csv").write_text("step,epoch,train_loss,other_loss\n" + "\n".join(rows) + "\n")
    return directory


def test_a_log_of_another_library_is_drawn_and_kept_as_a_metrics_file(logged: Path, parity_command: Command):
    done = parity_command("curves", logged, "--convert", "checkpoints", "--summary")
    assert done.status == 0, done.err
    [path] = Path("checkpoints").iterdir()
    assert done.out.splitlines()[-1] == f"wrote {path}"
    assert read_curve(path).step_losses[-1] == pytest.approx(4 - 0.99)
    again = parity_command("curves", logged, "--convert", "checkpoints", "--summary")
    assert again.status == 2
    assert f"{path} is there already; give another directory" in again.err
    chosen = parity_command("curves", logged, "--metric", "other_loss", "--summary", "--json")
    assert json.loads(chosen.out)["experiments"][0]["runs"][0]["last"] == pytest.approx(5 - 0.99)


@pytest.mark.parametrize("words", [["--metric", "loss"], ["--convert", "new"]])
def test_what_is_for_logs_needs_one(checkpoints: Path, parity_command: Command, words: list[str]):
    done = parity_command("curves", "checkpoints", "--summary", *words)
    assert done.status == 2
    assert done.err.startswith(f"parity curves: {words[0]}")
    assert not Path("new").exists()


# sinks


def test_curves_are_logged_to_a_sink(checkpoints: Path, parity_command: Command):
    done = parity_command("curves", "checkpoints", "--summary", "--sink", "tensorboard:logs")
    assert done.status == 0, done.err
    assert "tensorboard:logs" in done.err
    assert len(list(Path("logs").rglob("events.out.tfevents.*"))) >= 2


# trouble


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no nowhere"),
        (
            ["checkpoints", "--names", "a", "b", "c"],
            "--names has 3 ('a', 'b', 'c'), and there should be 2, one a file. Found:\n",
        ),
        (["checkpoints", "--html", "page.txt"], "--html page.txt: the page is a .html file; give it this suffix"),
        (["checkpoints", "--html", "no/page.html"], "--html no/page.html: there is no directory "),
        (["checkpoints", "--unit", " "], "--unit is empty; name the unit of the losses, as in --unit nats/token"),
        (["checkpoints", "--output-dir", "file"], "--output-dir file: that is a file; name a directory"),
        (["file"], "file is no JSON: "),
        (["empty"], "there is no *_metrics.json in empty or below it"),
        (["checkpoints", "--against", "nowhere"], "there is no nowhere"),
    ],
)
def test_trouble_is_one_message_and_nothing_is_written(
    checkpoints: Path, parity_command: Command, words: list[str], message: str
):
    Path("file").write_text("mine")
    Path("empty").mkdir()
    done = parity_command("curves", *words)
    assert done.status == 2
    assert done.err.startswith(f"parity curves: {message}")
    assert not Path("plots").exists()
    assert Path("file").read_text() == "mine"


def test_a_page_of_somebody_else_is_not_written_over(checkpoints: Path, parity_command: Command):
    Path("plots").mkdir()
    Path("plots/curves.html").write_text("<p>mine")
    done = parity_command("curves", "checkpoints")
    assert names("plots") == ["curves.html"]
    assert done.status == 2
    assert "pytest-parity did not write it" in done.err
    assert Path("plots/curves.html").read_text() == "<p>mine"


def missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real = importlib.util.find_spec

    def without(name: str, *rest: object) -> object:
        return None if name == package else real(name, *rest)

    for module in ("pytest_parity.cli.curves", "pytest_parity.report.files", "pytest_parity.report.html.page"):
        monkeypatch.setattr(f"{module}.find_spec", without)


def test_without_matplotlib_there_is_the_table(
    checkpoints: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    missing(monkeypatch, "matplotlib")
    done = parity_command("curves", "checkpoints")
    assert (done.status, done.out) == (2, "")
    assert (
        done.err
        == "parity curves: pictures need matplotlib: pip install 'pytest-parity[curves]'; --summary does without\n"
    )
    assert parity_command("curves", "checkpoints", "--summary").status == 0


def test_without_jinja2_there_are_the_pictures(
    checkpoints: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    missing(monkeypatch, "jinja2")
    done = parity_command("curves", "checkpoints")
    assert done.status == 0
    assert "no curves.html: it needs jinja2: pip install 'pytest-parity[report]'" in done.out
    assert names("plots") == sorted([*PICTURES, "comparison.png"])
    asked = parity_command("curves", "checkpoints", "--html", "page.html")
    assert (asked.status, asked.out) == (2, "")


def test_the_table_alone_imports_neither_torch_nor_matplotlib_and_pictures_no_pyplot(checkpoints: Path):
    script = (
        "import sys; from pytest_parity.cli import main; main(['curves', 'checkpoints', '--summary']);"
        "print({'torch', 'matplotlib'} & set(sys.modules)); main(['curves', 'checkpoints']);"
        "print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines().count("set()") == 2
    assert done.stderr == ""
