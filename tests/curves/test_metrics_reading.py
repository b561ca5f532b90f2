"""read_curve: metrics files of any writer, and what is wrong with one."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_parity import CurveError
from pytest_parity.curves import Curve, MetricsWriter, Series, read_curve, write_curve, writing

SEED = """{
  "model_type": "MDLM",
  "experiment_name": "mdlm_wikitext_20241222_120000",
  "start_time": "2024-12-22T12:00:00",
  "end_time": "2024-12-22T16:30:00",
  "epochs": [1, 2, 3, 4, 5],
  "epoch_losses": [3.45, 2.89, 2.34, 2.01, 1.87],
  "steps": [1, 2, 3],
  "step_losses": [3.52, 3.48, 3.45]
}"""
PATH = Path("run_metrics.json")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str | bytes) -> Curve:
    PATH.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_curve(PATH)


def refused(text: str | bytes) -> str:
    with pytest.raises(CurveError) as caught:
        read(text)
    return str(caught.value)


def long(values: str) -> str:
    """The same array, so long that it is not the one that json parses: 600 numbers before it."""
    return f"[{'7, ' * 600}{values}]" if values else f"[{'7, ' * 599}7]"


def test_the_file_of_the_format_is_read():
    curve = read(SEED)
    assert (curve.model_type, curve.experiment_name) == ("MDLM", "mdlm_wikitext_20241222_120000")
    assert (curve.start_time, curve.end_time) == ("2024-12-22T12:00:00", "2024-12-22T16:30:00")
    assert curve.epochs.tolist() == [1, 2, 3, 4, 5]
    assert curve.epoch_losses.tolist() == [3.45, 2.89, 2.34, 2.01, 1.87]
    assert curve.steps.tolist() == [1, 2, 3]
    assert curve.step_losses.tolist() == [3.52, 3.48, 3.45]
    assert (curve.series, curve.unit, curve.epoch_steps.tolist()) == ({}, "", [])


@pytest.mark.parametrize("array", [lambda values: f"[{values}]", long])
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", math.nan),
        ("NaN", math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("1e999", math.inf),
        ("-1E+999", -math.inf),
        ("3", 3.0),
        ("-0.0", -0.0),
        ("1e-3", 0.001),
        ("0.1000000000000000055511151231257827021181583404541015625", 0.1),
        ("2.2250738585072011e-308", 2.2250738585072011e-308),
    ],
)
def test_a_loss_is_read_as_every_parser_reads_it(array: Any, written: str, value: float):
    losses = array(written)
    count = losses.count(",") + 1
    curve = read(f'{{"steps": {json.dumps(list(range(count)))}, "step_losses": {losses}}}')
    assert curve.step_losses.dtype == np.float64
    assert curve.step_losses[-1:].tobytes() == np.array([value]).tobytes() or math.isnan(curve.step_losses[-1])
    assert math.isnan(curve.step_losses[-1]) == math.isnan(value)
    assert curve.step_losses[:-1].tolist() == [7.0] * (count - 1)


@pytest.mark.parametrize("array", [lambda values: f"[{values}]", long])
@pytest.mark.parametrize("written", ["3", "3.0", "0.3e1"])
def test_steps_and_epochs_may_be_written_as_floats(array: Any, written: str):
    numbers = array(written)
    zeros = json.dumps([0] * (numbers.count(",") + 1))
    curve = read(f'{{"steps":{numbers},"step_losses":{zeros},"epochs":{numbers},"epoch_losses":{zeros}}}')
    for found in (curve.steps, curve.epochs):
        assert found.dtype == np.int64
        assert found[-1] == 3


@pytest.mark.parametrize("array", [lambda values: f"[{values}]", long])
@pytest.mark.parametrize(
    ("written", "shown"), [("1.5", "1.5"), ("null", "nan"), ("1e999", "inf"), ("9007199254740994", "9007")]
)
def test_a_step_that_is_not_whole_is_an_error(array: Any, written: str, shown: str):
    steps = array(written)
    count = steps.count(",") + 1
    said = refused(f'{{"steps": {steps}, "step_losses": {json.dumps([0] * count)}}}')
    assert said.startswith(f"run_metrics.json: steps[{count - 1}] is {shown}")


@pytest.mark.parametrize("space", ["", " ", "\n", "\t", "\r\n  "])
def test_white_space_is_anywhere(space: str):
    tokens = ["{", '"steps"', ":", "[", *",".join(map(str, range(300))), "]", ",", '"step_losses"', ":", "["]
    tokens = ["{", '"steps"', ":", "["]
    numbers = [token for number in range(300) for token in (str(number), ",")][:-1]
    tokens += [*numbers, "]", ",", '"step_losses"', ":", "[", *numbers, "]", "}"]
    curve = read(space.join(tokens))
    assert curve.steps.tolist() == curve.step_losses.tolist() == list(range(300))


def test_fields_come_in_any_order_and_others_are_passed_over():
    content = {
        "note": 'a "quoted" [1, 2 in a \\ string',
        "step_losses": [0.5] * 300,
        "config": {"steps": [9] * 300, "deep": [[1, 2], {"steps": [1]}]},
        "steps": list(range(300)),
        "tags": ["[" + "1, " * 300 + "1]"],
        "empty": [],
    }
    curve = read(json.dumps(content))
    assert curve.steps.tolist() == list(range(300))
    assert curve.step_losses.tolist() == [0.5] * 300


def test_a_file_is_utf8_with_or_without_a_mark():
    text = json.dumps({"experiment_name": "größe", "steps": [1], "step_losses": [2]}, ensure_ascii=False)
    assert read(text).experiment_name == read(b"\xef\xbb\xbf" + text.encode()).experiment_name == "größe"


@pytest.mark.parametrize("name", ["steps", "epochs"])
def test_one_pair_is_enough(name: str):
    curve = read(json.dumps({name: [1, 2], f"{name[:-1]}_losses": [3, 4]}))
    assert getattr(curve, name).tolist() == [1, 2]
    assert (curve.experiment_name, curve.model_type, curve.start_time, curve.end_time) == ("run", "", "", None)


def test_an_experiment_without_a_name_has_its_files():
    Path("mine.json").write_text('{"steps": [], "step_losses": []}')
    assert read_curve("mine.json").experiment_name == "mine"


def test_series_are_read():
    series = {
        "loss": {"unit": "bits"},
        "epoch_end": {"unit": "", "steps": [2], "values": [1]},
        "learning_rate": {"steps": [1, 2], "values": [0.1, None]},
        "throughput": {"unit": "samples/s", "steps": [], "values": [], "more": 1},
    }
    curve = read(
        json.dumps({"epochs": [1], "epoch_losses": [2], "steps": [1, 2], "step_losses": [3, 4], "series": series})
    )
    assert (curve.unit, curve.epoch_steps.tolist(), list(curve.series)) == (
        "bits",
        [2],
        ["learning_rate", "throughput"],
    )
    np.testing.assert_array_equal(curve.series["learning_rate"].values, [0.1, math.nan])
    assert curve.series["throughput"].unit == "samples/s"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": [1, 2], "step_losses": [1]}, "steps and step_losses are of one length, and here are 2 and 1"),
        ({"epochs": [1], "epoch_losses": []}, "epochs and epoch_losses are of one length, and here are 1 and 0"),
        ({"steps": [1]}, "it has no step_losses; steps and step_losses belong together"),
        ({"epoch_losses": [1]}, "it has no epochs; epochs and epoch_losses belong together"),
        (
            {"loss": [1], "lr": [2]},
            "it has neither steps and step_losses nor epochs and epoch_losses, which a metrics file has; it has 'loss', 'lr'",
        ),
        (
            {},
            "it has neither steps and step_losses nor epochs and epoch_losses, which a metrics file has; it has nothing",
        ),
        ({"steps": 3, "step_losses": [1]}, "steps is 3, not a list of numbers"),
        ({"steps": None, "step_losses": None}, "steps is None, not a list of numbers"),
        ({"steps": {"a": 1}, "step_losses": [1]}, "steps is a table, not a list of numbers"),
        ({"steps": [1], "step_losses": ["3.5"]}, "step_losses[0] is '3.5', which is no number"),
        ({"steps": [1, True], "step_losses": [1, 2]}, "steps[1] is True, which is no number"),
        ({"steps": [1], "step_losses": [[1]]}, "step_losses[0] is [1], which is no number"),
        ({"steps": [1] * 300, "step_losses": [1] * 299 + ["x"]}, "step_losses[299] is 'x', which is no number"),
        (
            {"steps": [1], "step_losses": [10**400]},
            "step_losses has an int too large to convert to float",
        ),
        ({"steps": [], "step_losses": [], "model_type": 3}, "model_type is 3, not a string"),
        ({"steps": [], "step_losses": [], "end_time": [1] * 300}, "end_time is a list of 300, not a string"),
        ({"steps": [], "step_losses": [], "series": [1]}, "series is a list of 1, not a table of series by name"),
        (
            {"steps": [], "step_losses": [], "series": {"lr": [1]}},
            "series.lr is a list of 1, not a table of unit, steps and values",
        ),
        ({"steps": [], "step_losses": [], "series": {"lr": {"unit": 1}}}, "series.lr.unit is 1, not a string"),
        (
            {"steps": [], "step_losses": [], "series": {"lr": {"steps": [1]}}},
            "it has no series.lr.values; series.lr.steps and series.lr.values belong together",
        ),
        (
            {"steps": [], "step_losses": [], "series": {"lr": {"steps": [1], "values": []}}},
            "series.lr.steps and series.lr.values are of one length, and here are 1 and 0",
        ),
        (
            {"epochs": [1], "epoch_losses": [1], "series": {"epoch_end": {"steps": [1, 2], "values": [1, 2]}}},
            "series.epoch_end tells the ends of 2 epochs, and epochs has 1",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_files_name(fields: dict[str, Any], said: str):
    assert refused(json.dumps(fields)) == f"run_metrics.json: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "run_metrics.json is cut off: Expecting value at byte 0 of 0; what wrote it was killed meanwhile"),
        (SEED[:-3], "run_metrics.json is cut off: Expecting ',' delimiter at byte 291 of 291"),
        ("step,loss\n1,0.5\n", "run_metrics.json is no JSON: Expecting value at byte 0 of 16; is it a metrics file?"),
        ('{"steps": [1, 2,], "step_losses": [1, 2]}', "run_metrics.json is no JSON: "),
        (
            "{'steps': [1]}",
            "run_metrics.json is no JSON: Expecting property name enclosed in double quotes at byte 1 of 14",
        ),
        ("[1, 2]", "run_metrics.json is no metrics file: it has no fields, but a list of 2"),
        ("3", "run_metrics.json is no metrics file: it has no fields, but 3"),
        (b'{"model_type": "\xff"}', "run_metrics.json is no JSON: byte 16 is no UTF-8"),
        ("[" * 100_000 + "}", "run_metrics.json is no JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(text: str | bytes, said: str):
    assert refused(text).startswith(said)


@pytest.mark.parametrize(
    "bad", ["1 2", "1,,2", "1,", ",1", "x", "nan", "nul", "1.2.3", "--1", "0x10", "e", "1e", "1;2", "-", "-,1", " , "]
)
@pytest.mark.parametrize("other", ["", "0.5, ", "null, ", "-1, "])
def test_a_long_array_that_is_none_is_no_json(bad: str, other: str):
    text = f'{{"experiment_name": "é", "steps": {long(other + bad)}, "step_losses": []}}'
    assert refused(text).startswith("run_metrics.json is no JSON: ")
    with pytest.raises(ValueError):
        json.loads(text)


def test_the_place_counts_what_was_read_apart():
    text = f'{{"experiment_name": "é", "steps": {long("1")}, "step_losses": {long("1")}, oops}}'
    assert f"at byte {text.encode().index(b'oops')} of {len(text.encode())};" in refused(text)


def test_a_long_file_that_is_cut_off_anywhere_says_so():
    text = json.dumps({"steps": list(range(1000)), "step_losses": [0.25] * 1000})
    for end in (1, 5, 12, 500, 4000, len(text) // 2, len(text) - 3, len(text) - 1):
        assert refused(text[:end]).startswith("run_metrics.json is cut off: ")


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(
        CurveError, match=r"^there is no missing_metrics.json; a metrics file is called NAME_metrics.json$"
    ):
        read_curve("missing_metrics.json")
    with pytest.raises(CurveError, match=r"is a directory; name one of its \*_metrics.json$"):
        read_curve(Path.cwd())


def test_what_is_written_is_what_is_read():
    curve = Curve(
        "run",
        "AR",
        "2024-12-22T12:00:00",
        None,
        np.array([1, 2, 2, 70_000]),
        np.array([0.1, math.nan, -math.inf, 1e-300]),
        np.array([1]),
        np.array([2.5]),
        np.array([2]),
        {"learning_rate": Series(np.array([1]), np.array([0.1]), "1")},
        "nats/token",
    )
    path = write_curve(curve, ".")
    again = read_curve(path)
    for name in ("experiment_name", "model_type", "start_time", "end_time", "unit"):
        assert getattr(again, name) == getattr(curve, name)
    for name in ("steps", "step_losses", "epochs", "epoch_losses", "epoch_steps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(curve, name))
    assert again.series["learning_rate"].unit == "1"
    before = path.read_bytes()
    write_curve(again, ".", overwrite=True)
    assert path.read_bytes() == before


def test_more_than_one_piece_is_one_array(monkeypatch: pytest.MonkeyPatch):
    from pytest_parity.curves import numbers

    monkeypatch.setattr(numbers, "_CHUNK", 7)
    monkeypatch.setattr(numbers, "_PIECE", 600)
    losses = np.random.default_rng(0).normal(size=1000)
    losses[::97] = math.nan
    path = write_curve(Curve("run", steps=np.arange(1000), step_losses=losses), ".")
    curve = read_curve(path)
    np.testing.assert_array_equal(curve.steps, np.arange(1000))
    np.testing.assert_array_equal(curve.step_losses, losses)
    for end in ("1,", ""):
        assert refused(f'{{"steps": [{"1," * 900}{end}], "step_losses": []}}').startswith("run_metrics.json is no JSON")


# the journal


def grown(monkeypatch: pytest.MonkeyPatch) -> MetricsWriter:
    """A run that goes on: 200 steps in its file, 3 in the journal."""
    monkeypatch.setattr(writing, "_SMALL", 0)
    metrics = MetricsWriter("run", flush_seconds=3600)
    for step in range(1, 201):
        metrics.log_step(step, 1 / step)
    metrics.flush()
    metrics._write_whole()
    for step in range(201, 204):
        metrics.log_step(step, 1 / step)
        metrics.flush()
    return metrics


JOURNAL = Path("run_metrics.json.journal")


def test_a_journal_is_read_with_its_file(monkeypatch: pytest.MonkeyPatch):
    with grown(monkeypatch):
        assert read_curve(PATH).steps.tolist() == list(range(1, 204))


def test_a_line_that_is_cut_off_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    with grown(monkeypatch):
        whole = JOURNAL.read_bytes()
        for end in range(len(whole)):
            JOURNAL.write_bytes(whole[:end])
            lines = whole[:end].count(b"\n")
            assert read_curve(PATH).steps.tolist() == list(range(1, 201 + lines))


def test_lines_that_the_file_has_already_are_passed_over(monkeypatch: pytest.MonkeyPatch):
    with grown(monkeypatch) as metrics:
        lines = JOURNAL.read_bytes()
        metrics._write_whole()
        JOURNAL.write_bytes(lines + lines)
        assert read_curve(PATH).steps.tolist() == list(range(1, 204))


def test_lines_of_another_run_are_passed_over(monkeypatch: pytest.MonkeyPatch):
    with grown(monkeypatch) as metrics:
        lines = JOURNAL.read_text().replace(metrics.curve.start_time, "2024-12-22T12:00:00")
        JOURNAL.write_text(lines)
        assert read_curve(PATH).steps.tolist() == list(range(1, 201))


def test_of_two_runs_lines_those_of_the_files_are_read(monkeypatch: pytest.MonkeyPatch):
    with grown(monkeypatch):
        JOURNAL.write_text('{"run":"2024-12-22T12:00:00","added":{"steps":[200,[9],[9.0]]}}\n' + JOURNAL.read_text())
        assert read_curve(PATH).steps.tolist() == list(range(1, 204))


@pytest.mark.parametrize("damage", ["a line missing", "no JSON", "no line", "no place", "no table"])
def test_a_journal_that_does_not_fit_is_an_error(damage: str, monkeypatch: pytest.MonkeyPatch):
    with grown(monkeypatch) as metrics:
        first, rest = JOURNAL.read_text().split("\n", 1)
        run = metrics.curve.start_time
        damaged = {
            "a line missing": rest,
            "no JSON": first[:-9] + "\n" + rest,
            "no line": f"[]\n{rest}",
            "no place": json.dumps({"run": run, "added": {"steps": [None, [], []]}}) + "\n",
            "no table": json.dumps({"run": run, "added": [1]}) + "\n",
        }
        JOURNAL.write_text(damaged[damage])
        said = "run_metrics.json: its journal run_metrics.json.journal does not fit: .*; remove the journal to read the file"
        with pytest.raises(CurveError, match=said):
            read_curve(PATH)


def test_importing_curves_imports_no_numpy():
    source = "import sys, pytest_parity.curves; print('numpy' in sys.modules); pytest_parity.curves.Curve; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]
