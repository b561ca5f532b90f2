"""The page of `parity curves`: experiments beside one another, in axes for each unit, by step and by epoch."""

from __future__ import annotations

from typing import Any

import pytest
from chromium import Open
from curves_document import curves, judged
from test_curve_section import drag, shown
from test_html_access import CONTRASTS, ENOUGH, NAMELESS

from pytest_parity.report.html import curves_page

ONE = ("nats/token", "nats/token")


@pytest.fixture
def opened(show: Open) -> Any:
    """Opens the page of a document."""
    return lambda document, **settings: show(document, made=curves_page, **settings)


def feet(page: Any) -> list[str]:
    return [text for text in page.locator(".curve-foot").all_inner_texts() if text]


def section(page: Any, title: str) -> Any:
    return page.locator("main > section").filter(has=page.get_by_role("heading", name=title, exact=True))


def test_it_is_titled_as_asked(opened: Any):
    page = opened(curves())
    assert page.title() == "Training curves - WikiText-103-v1"
    assert page.locator("h1").inner_text() == "Training curves - WikiText-103-v1"
    assert page.locator(".tally").inner_text() == "2 experiments, 4 runs"


def test_the_summary_has_a_row_for_each_experiment(opened: Any):
    rows = section(opened(curves()), "Summary").locator("tr").all_inner_texts()
    heads, first, second = (row.replace("\u200b", "").split("\t") for row in rows)
    assert dict(zip(heads, first, strict=True))["lowest"] == "1.8100 at 393"
    assert dict(zip(heads, first, strict=True))["spread"] == "0.020000"
    assert dict(zip(heads, second, strict=True)) == {
        "experiment": "ar_wikitext", "model": "AR", "loss in": "nats/token", "runs": "1", "steps": "400", "epochs": "5", "first": "6.0100", "last": "2.0400",
        "last, smoothed": "2.0300", "lowest": "1.8100 at 393", "last epoch": "2.0500", "spread": "\u2013", "not finite": "0", "hours": "4.5",
    }  # fmt: skip


def test_losses_in_other_units_have_axes_of_their_own(opened: Any):
    page = opened(curves())
    assert section(page, "Loss").locator("h3").all_inner_texts() == ["Loss, nats/token, bound", "Loss, nats/token"]
    assert "each has axes of its own" in section(page, "Loss").inner_text()
    assert section(page, "Loss").locator(".curve-chart").count() == 2


def test_losses_in_one_unit_share_their_axes(opened: Any):
    page = opened(curves(units=ONE))
    loss = section(page, "Loss")
    assert loss.locator(".curve-chart").count() == 1
    labels = [text.split("\n")[0] for text in loss.locator(".curve-legend button").all_inner_texts()]
    assert labels == ["mdlm_wikitext", "ar_wikitext"]
    tones = loss.locator(".curve-chart .line").evaluate_all(
        "(lines) => lines.map((line) => getComputedStyle(line).stroke)"
    )
    assert len(set(tones)) == 2


def test_several_runs_are_a_mean_and_a_band_and_each_of_them_on_request(opened: Any):
    page = opened(curves(units=ONE))
    loss = section(page, "Loss")
    assert [loss.locator(f".curve-chart .{kind}").count() for kind in ("band", "mean", "run", "member")] == [1, 1, 1, 0]
    mean, low, high = (
        line
        for line in curves(units=ONE)["losses"][0]["steps"][3:5]
        for line in ([line["values"]] if not line["high"] else [line["values"], line["high"]])
    )
    told = loss.locator(".curve-value").first.inner_text()
    assert told == f"{shown(mean[-1])} ({shown(low[-1])} to {shown(high[-1])})"
    loss.get_by_role("button", name="Each run").click()
    assert loss.locator(".curve-chart .member").count() == 3
    loss.locator(".curve-legend button").first.click()
    assert loss.locator(".curve-chart .member").count() == 0


def test_of_single_runs_there_is_no_such_button(opened: Any):
    document = curves()
    for panel in document["losses"]:
        panel["steps"] = [line for line in panel["steps"] if line["label"].endswith(("seed 0", "ar_wikitext"))]
        panel["epochs"] = [line for line in panel["epochs"] if line["label"].endswith(("seed 0", "ar_wikitext"))]
    assert opened(document).get_by_role("button", name="Each run").count() == 0


def test_all_charts_of_steps_are_zoomed_together(opened: Any):
    page = opened(curves(units=ONE))
    drag(page, 101, 201, among=0)
    assert feet(page) == ["steps 101 to 201 of 1 to 400"] * 3  # the loss, the learning rate, the gradient norm
    page.get_by_role("application", name="Gradient norm by step").focus()
    page.keyboard.press("Escape")
    assert feet(page) == []


def test_the_cursor_is_at_the_same_step_in_all_of_them(opened: Any):
    document = curves(units=ONE)
    page = opened(document)
    page.get_by_role("application", name="Learning rate").focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    assert section(page, "Loss").locator(".curve-at").inner_text() == "step 21"
    norms = document["series"][1]["steps"][0]["values"]
    assert section(page, "Further series").locator(".curve-value").last.inner_text() == shown(norms[20])


def test_by_epoch_the_steps_give_way_to_epochs(opened: Any):
    page = opened(curves(units=ONE))
    loss = section(page, "Loss")
    loss.get_by_role("button", name="By epoch").click()
    assert loss.locator(".curve-at").inner_text() == "epoch 5"
    assert loss.locator(".curve-chart .dots.mean").get_attribute("d").count("M") == 5
    assert section(page, "Further series").locator(".curve-at").first.inner_text() == "step 400"


def test_what_was_averaged_before_it_was_thinned_is_shown_as_it_is(opened: Any):
    document = curves()
    first = document["losses"][0]
    first["smoothed"] = [line | {"values": [3.5] * 400, "high": [3.6] * len(line["high"])} for line in first["steps"]]
    page = opened(document)
    page.get_by_role("button", name="Smoothed").click()
    assert feet(page) == ["the mean of the last 100 logged steps", "the mean of the last 40 drawn points"]
    assert section(page, "Loss").locator(".curve-value").first.inner_text() == "3.5000 (3.5000 to 3.6000)"


def test_epochs_stand_side_by_side_in_charts_and_in_numbers(opened: Any):
    document = curves(units=ONE)
    page = opened(document)
    beside = section(page, "By epoch, side by side")
    assert beside.locator("h3 code").all_text_contents() == ["mdlm_wikitext", "ar_wikitext"]
    ticks = [
        chart.locator("text[text-anchor=end]").all_text_contents() for chart in beside.locator(".curve-chart").all()
    ]
    assert ticks[0] == ticks[1]  # of one unit, at one height
    alone = document["losses"][0]["epochs"][-1]["values"]
    rows = [row.split("\t") for row in beside.locator(":scope > .wide tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row[2] for row in rows] == [shown(value) for value in alone]
    assert " to " in rows[0][1]


def test_whether_they_differ_is_a_sentence(opened: Any):
    assert "undecided, ar_wikitext has one run" in section(opened(curves()), "Do they differ?").inner_text()


def test_what_was_judged_has_its_findings(opened: Any):
    page = opened(curves(judged=[judged(), judged(findings=[])], against="golden/lm/tiny"))
    against = section(page, "Against golden/lm/tiny")
    assert against.get_by_role("region", name="Curve loss").count() == 2
    against.locator(".finding").click()
    assert feet(page) == ["steps 346 to 400 of 1 to 400"]  # the others stay as they are


def test_without_epochs_series_and_verdicts_there_are_no_empty_sections(opened: Any):
    document = curves(differences=[], series=[])
    for panel in document["losses"]:
        panel["epochs"] = []
    assert opened(document).locator("main > section > h2").all_inner_texts() == ["Summary", "Loss"]


def test_two_curves_of_four_thousand_points_answer(opened: Any):
    page = opened(curves(4000, units=ONE))
    chart = page.get_by_role("application").first
    chart.focus()
    page.keyboard.press("Home")
    for _ in range(30):
        page.keyboard.press("PageDown")
    assert section(page, "Loss").locator(".curve-at").inner_text() == "step 4,000"
    page.get_by_role("button", name="Smoothed").click()
    drag(page, 1001, 2001, among=0, steps=4000)
    assert feet(page)[0].startswith("steps 1,0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_text_stands_out_enough(opened: Any, scheme: str):
    page = opened(curves(judged=[judged()], notes=["a note"]), color_scheme=scheme)
    assert page.evaluate(NAMELESS) == []
    assert [text for contrast, text in page.evaluate(CONTRASTS) if contrast < ENOUGH] == []
    assert [page.locator(one).count() for one in ("main", "header", "h1")] == [1, 1, 1]


def test_the_button_makes_it_dark_and_the_first_tab_skips_to_the_result(opened: Any):
    page = opened(curves(), color_scheme="light")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_role("button", name="Dark").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_a_phone_needs_no_scrolling_sideways(opened: Any):
    page = opened(curves(judged=[judged()]), viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_for_those_without_scripts_there_is_text():
    page = curves_page(curves(judged=[judged()]))
    plain = page.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "mdlm_wikitext" in plain
    assert "0.21 above" in plain
