"""Training curves in the HTML report: zoom, cursor, legend and findings, by mouse and by keyboard."""

from __future__ import annotations

import math
from typing import Any

import pytest
from chromium import Open
from curves_document import falling, finding, judged
from report_document import blank, failed, run
from report_schema import problems
from test_html_access import CONTRASTS, ENOUGH, NAMELESS

LEFT, RIGHT = 60, 14
"""Pixels beside the plot."""
STEPS = 400
HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>"


def case(*curves: dict[str, Any]) -> dict[str, Any]:
    """A case whose curves alone are wrong."""
    told = {"outcome": "failed", "headline": "lm/tiny: loss ends too high", "expected": 0, "compared": 0, "counts": {}}
    return blank("lm/tiny") | told | {"curves": list(curves or [judged()])}


@pytest.fixture
def page(show: Open) -> Any:
    return show(run(case()))


def chart(page: Any) -> Any:
    return page.get_by_role("application")


def value(page: Any, label: str = "here") -> str:
    """What the legend says of a line."""
    return str(page.locator(".curve-legend button", has_text=label).locator(".curve-value").inner_text())


def at(page: Any) -> str:
    return str(page.locator(".curve-at").inner_text())


def foot(page: Any) -> str:
    return str(page.locator(".curve-foot").inner_text())


def across(page: Any, step: int, *, steps: int = STEPS, among: int = -1) -> tuple[float, float]:
    """Where a step is on the screen, in one ``among`` several charts."""
    found = chart(page) if among < 0 else chart(page).nth(among)
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    share = (step - 1) / (steps - 1)
    return box["x"] + LEFT + share * (box["width"] - LEFT - RIGHT), box["y"] + box["height"] / 2


def drag(page: Any, first: int, last: int, *, steps: int = STEPS, among: int = -1) -> None:
    page.mouse.move(*across(page, first, steps=steps, among=among))
    page.mouse.down()
    page.mouse.move(*across(page, last, steps=steps, among=among), steps=3)
    page.mouse.up()


def shown(number: float) -> str:
    """As the page writes it."""
    return f"{number:#.5g}"


def test_the_document_made_up_here_is_one():
    assert problems(run(case(judged(), judged(findings=[])))) == []


def test_where_curves_alone_are_wrong_they_are_what_one_sees(page: Any):
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Curve"
    assert page.locator(".finding").inner_text().startswith("level: 0.21 above the seeds' mean")


def test_where_sites_are_wrong_too_they_come_first(show: Open):
    page = show(run(failed() | {"curves": [judged(), judged(findings=[])]}))
    assert page.locator("[role=tab]").all_inner_texts() == ["Modules", "Curves 2", "Sites 402", "Run"]
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Modules"
    page.keyboard.press("2")
    assert page.get_by_role("region", name="Curve loss").first.is_visible()


def test_where_every_site_agrees_the_curve_that_fails_comes_first(show: Open):
    told = failed() | {"curves": [judged()]}
    told["sites"] = [site | {"verdict": "equal"} for site in told["sites"]]
    page = show(run(told))
    assert page.locator("[role=tab]").all_inner_texts() == ["Curve", "Modules", "Sites 402", "Run"]
    assert page.locator(".finding").is_visible()


def test_without_curves_there_is_no_tab_of_them(show: Open):
    assert "Curve" not in " ".join(show(run(failed())).locator("[role=tab]").all_inner_texts())


def test_what_the_first_finding_says_is_not_said_twice(show: Open):
    page = show(run(case(judged(), judged() | {"headline": "loss ends too high, and so on"})))
    assert page.locator(".curve-says").all_inner_texts() == ["loss ends too high, and so on"]


def test_steps_that_are_missing_at_the_end_are_in_view(show: Open):
    curve = judged(findings=[finding("missing", 401, 500)])
    page = show(run(case(curve)))
    assert page.locator(".curve-chart text[text-anchor=middle]").all_text_contents()[-1] == "500"
    box = page.locator(".curve-chart .found").bounding_box()
    assert box["x"] == pytest.approx(across(page, 401, steps=500)[0], abs=2)
    page.locator(".finding").click()
    assert foot(page) == "steps 362 to 500 of 1 to 500"


def test_a_band_that_is_far_wider_than_the_lines_leaves_them_room(show: Open):
    curve = judged(findings=[])
    curve["lines"][2]["high"] = [value + 100 for value in curve["lines"][2]["high"]]
    ticks = show(run(case(curve))).locator(".curve-chart text[text-anchor=end]").all_text_contents()
    assert max(map(float, ticks)) == 8


def test_the_legend_tells_the_values_at_the_end(page: Any):
    last = judged()["lines"][0]["values"][-1]
    assert at(page) == "step 400"
    assert value(page) == shown(last)


def test_the_cursor_tells_every_line_at_the_step_under_the_pointer(page: Any):
    lines = {line["role"]: line for line in judged()["lines"]}
    page.mouse.move(*across(page, 137))
    assert at(page) == "step 137"
    assert value(page) == shown(lines["candidate"]["values"][136])
    assert value(page, "mean of 5 seeds") == shown(lines["mean"]["values"][136])
    assert value(page, "band") == f"{shown(lines['band']['values'][136])} to {shown(lines['band']['high'][136])}"
    assert page.locator(".curve-chart .cursor circle").count() == 2
    page.mouse.move(5, 5)
    assert at(page) == "step 400"


def test_the_cursor_goes_by_arrow_keys_and_is_read_out(page: Any):
    values = judged()["lines"][0]["values"]
    chart(page).focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert at(page) == "step 3"
    assert value(page) == shown(values[2])
    assert (
        page.locator(".curve-panel [role=status]")
        .inner_text()
        .startswith(f"step 3: here {shown(values[2])}, mean of 5 seeds ")
    )
    page.keyboard.press("PageDown")
    assert at(page) == "step 23"
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert at(page) == "step 400"


def test_arrow_up_and_down_go_to_what_is_wrong(show: Open):
    page = show(run(case(judged(findings=[finding(step=200, last=300), finding("spike", 50, 50)]))))
    chart(page).focus()
    page.keyboard.press("ArrowDown")
    assert at(page) == "step 50"
    page.keyboard.press("ArrowDown")
    assert at(page) == "step 200"
    page.keyboard.press("ArrowUp")
    assert at(page) == "step 50"


def test_dragging_zooms_and_a_double_click_shows_all(page: Any):
    assert foot(page) == ""
    drag(page, 101, 201)
    assert foot(page) == "steps 101 to 201 of 1 to 400"
    chart(page).dblclick()
    assert foot(page) == ""


def test_a_click_does_not_zoom(page: Any):
    page.mouse.click(*across(page, 200))
    assert foot(page) == ""


def test_a_zoom_never_ends_up_between_two_points(page: Any):
    for _ in range(12):
        box = chart(page).bounding_box()
        page.mouse.move(box["x"] + 300, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 306, box["y"] + 100, steps=2)
        page.mouse.up()
    first, last = foot(page).split()[1:4:2]
    assert int(last) == int(first) + 1


def test_the_value_axis_fits_what_is_zoomed_to(page: Any):
    def ticks() -> list[float]:
        return [float(text) for text in page.locator(".curve-chart text[text-anchor=end]").all_text_contents()]

    assert max(ticks()) == 6
    drag(page, 350, 400)
    assert max(ticks()) < 3


def test_plus_and_minus_zoom_and_escape_shows_all(page: Any):
    chart(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("+")
    assert foot(page) == "steps 1 to 200 of 1 to 400"
    page.keyboard.press("+")
    assert foot(page) == "steps 1 to 100 of 1 to 400"
    page.keyboard.press("-")
    assert foot(page) == "steps 1 to 199 of 1 to 400"
    page.keyboard.press("Escape")
    assert foot(page) == ""


def test_the_button_shows_all_and_is_there_only_while_zoomed(page: Any):
    button = page.get_by_role("button", name="Show all")
    assert not button.is_visible()
    drag(page, 101, 201)
    button.click()
    assert foot(page) == ""
    assert not button.is_visible()
    assert page.evaluate("document.activeElement.getAttribute('role')") == "application"


def test_choosing_a_finding_zooms_to_its_steps(show: Open):
    page = show(run(case(judged(findings=[finding(step=201, last=300), finding("spike", 50, 50)]))))
    level, spike = page.get_by_role("list", name="What is wrong with loss").get_by_role("button").all()
    assert "steps 201 to 300 · 3.2 times what is allowed" in level.inner_text()
    level.click()
    assert foot(page) == "steps 162 to 339 of 1 to 400"
    assert (level.get_attribute("aria-pressed"), spike.get_attribute("aria-pressed")) == ("true", "false")
    spike.focus()
    page.keyboard.press("Enter")
    assert foot(page) == "steps 47 to 53 of 1 to 400"
    assert at(page) == "step 50"
    assert page.locator(".curve-chart .chosen").count() == 1
    page.keyboard.press("Enter")
    assert foot(page) == ""


def test_findings_are_marked_where_they_are(page: Any):
    box = page.locator(".curve-chart .found").bounding_box()
    assert box["x"] == pytest.approx(across(page, 361)[0], abs=2)
    assert box["x"] + box["width"] == pytest.approx(across(page, 400)[0], abs=2)


def test_the_legend_hides_a_line_and_shows_it_again(page: Any):
    button = page.locator(".curve-legend button", has_text="here")
    assert page.locator(".curve-chart .line.candidate").count() == 1
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator(".curve-chart .line.candidate").count() == 0
    assert value(page) == "hidden"
    page.keyboard.press("Enter")
    assert page.locator(".curve-chart .line.candidate").count() == 1


def test_with_every_line_hidden_the_chart_says_so(page: Any):
    for button in page.locator(".curve-legend button").all():
        button.click()
    assert "No line is shown." in chart(page).inner_text()


def test_the_scale_is_logarithmic_on_request(page: Any):
    button = page.get_by_role("button", name="Log scale")
    assert button.get_attribute("aria-pressed") == "false"
    before = page.locator(".line.mean").last.get_attribute("d")
    button.click()
    assert page.locator(".curve-chart text[text-anchor=end]").all_text_contents() == ["2", "3", "5"]
    assert page.locator(".line.mean").last.get_attribute("d") != before
    two, three, five = (float(tick.get_attribute("y1")) for tick in page.locator(".curve-chart .grid").all())
    assert (two - three) / (two - five) == pytest.approx(math.log(1.5) / math.log(2.5), abs=0.01)


def test_a_spike_of_a_billion_makes_it_logarithmic_by_itself(show: Open):
    values = falling(STEPS)
    values[200] = 1e9
    page = show(run(case(judged(values=values))))
    assert page.get_by_role("button", name="Log scale").get_attribute("aria-pressed") == "true"


def test_what_has_no_logarithm_is_said(show: Open):
    values = falling(STEPS)
    values[200] = -1.0
    page = show(run(case(judged(values=values))))
    page.get_by_role("button", name="Log scale").click()
    assert foot(page) == "1 value of 0 or less cannot be drawn on a logarithmic scale"


def test_smoothing_averages_and_says_over_what(page: Any):
    values = judged()["lines"][0]["values"]
    page.get_by_role("button", name="Smoothed").click()
    assert foot(page) == "the mean of the last 40 drawn points"
    page.mouse.move(*across(page, 300))
    assert value(page) == shown(sum(values[260:300]) / 40)


def test_of_a_long_curve_a_hundred_points_are_averaged(show: Open):
    page = show(run(case(judged(1500))))
    page.get_by_role("button", name="Smoothed").click()
    assert foot(page) == "the mean of the last 100 drawn points"


@pytest.mark.parametrize("view", ["Every step", "Smoothed"])
def test_steps_that_are_not_finite_are_marked(show: Open, view: str):
    values = falling(STEPS)
    values[99], values[199] = math.nan, math.inf
    page = show(run(case(judged(values=values))))
    page.get_by_role("button", name=view).click()
    assert (
        page.locator(".nonfinite.candidate")
        .evaluate_all("(paths) => paths.map((path) => path.getAttribute('d')).join('')")
        .count("M")
        == 2
    )
    assert "nan, ∞" in page.locator(".curve-chart text").all_text_contents()


def test_a_line_is_broken_where_it_is_not_finite_and_its_value_says_why(show: Open):
    values = falling(STEPS)
    values[99], values[199] = math.nan, math.inf
    page = show(run(case(judged(values=values))))
    assert page.locator(".line.candidate").last.get_attribute("d").count("M") == 3
    page.mouse.move(*across(page, 100))
    assert value(page) == "nan"
    page.mouse.move(*across(page, 200))
    assert value(page) == "∞"


def test_a_curve_without_anything_finite_is_no_blank(show: Open):
    curve = judged(values=[math.nan] * STEPS)
    curve["lines"] = curve["lines"][:1]
    assert "No value here can be drawn." in chart(show(run(case(curve)))).inner_text()


def test_where_steps_are_missing_a_line_is_broken_and_has_no_value(show: Open):
    curve = judged()
    line = curve["lines"][0]
    line["steps"] = [step for step in line["steps"] if not 100 < step < 200]
    line["values"] = line["values"][: len(line["steps"])]
    page = show(run(case(curve)))
    assert page.locator(".line.candidate").last.get_attribute("d").count("M") == 2
    page.mouse.move(*across(page, 150))
    assert value(page) == "\u2013"


def test_a_line_that_goes_back_is_drawn_and_looked_up(show: Open):
    curve = judged()
    line = curve["lines"][0]
    line["steps"] = [*range(1, 201), *range(151, 351)]
    page = show(run(case(curve)))
    page.mouse.move(*across(page, 350))
    assert value(page) == shown(line["values"][-1])


def test_the_same_stands_in_a_table(page: Any):
    page.locator(".curve-table summary").click()
    rows = page.locator(".curve-table tbody tr")
    rows.first.wait_for()
    assert rows.count() == 25
    assert rows.first.inner_text().split("\t")[:2] == ["1", shown(judged()["lines"][0]["values"][0])]
    assert rows.last.inner_text().split("\t")[0] == "400"
    drag(page, 101, 111)
    assert rows.first.inner_text().split("\t")[0] == "101"
    assert rows.count() == 11


def test_many_recorded_runs_are_one_entry_of_the_legend(show: Open):
    curve = judged()
    runs = [dict(curve["lines"][0], label=f"seed {seed}", role="reference") for seed in range(4)]
    curve["lines"] = [*runs, *curve["lines"]]
    page = show(run(case(curve)))
    labels = [text.split("\n")[0] for text in page.locator(".curve-legend button").all_inner_texts()]
    assert labels == ["4 recorded runs", "here", "mean of 5 seeds", "band"]
    page.locator(".curve-legend button").first.click()
    assert page.locator(".curve-chart .line.reference").count() == 0


def test_a_curve_that_was_never_asserted_has_nothing_to_draw(show: Open):
    curve = judged() | {"lines": [], "compared": 0}
    assert "Nothing of it was kept to draw." in show(run(case(curve))).locator("#panel-curves").inner_text()


def test_a_curve_of_one_step_is_a_dot(show: Open):
    page = show(run(case(judged(1, findings=[]))))
    assert page.locator(".dots.candidate").get_attribute("d").count("M") == 1
    assert at(page) == "step 1"


def test_names_and_sentences_are_text_whatever_they_hold(show: Open):
    curve = judged(findings=[finding(text=HOSTILE, detail=HOSTILE)]) | {
        "name": HOSTILE,
        "headline": HOSTILE,
        "unit": HOSTILE,
        "notes": [HOSTILE],
    }
    curve["lines"][0]["label"] = HOSTILE
    page = show(run(case(curve)))
    assert page.locator(".finding").inner_text().startswith(HOSTILE)
    assert page.evaluate("window.owned") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_text_stands_out_enough(show: Open, scheme: str):
    page = show(run(case()), color_scheme=scheme)
    page.locator(".finding").click()
    page.locator(".curve-legend button").first.click()
    page.locator(".curve-table summary").click()
    assert page.evaluate(NAMELESS) == []
    assert [text for contrast, text in page.evaluate(CONTRASTS) if contrast < ENOUGH] == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_a_chart_says_what_it_shows_and_how_it_is_used(page: Any):
    label = chart(page).get_attribute("aria-label")
    assert label.startswith(
        "loss, nats/token by step: here, mean of 5 seeds, band; steps 1 to 400. Arrow left and right move"
    )


def test_a_phone_needs_no_scrolling_sideways(show: Open):
    page = show(run(case()), viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert chart(page).bounding_box()["width"] > 340
    page.locator(".finding").click()
    assert foot(page).startswith("steps 346 to 400")


def test_on_paper_the_chart_and_the_findings_stay(show: Open):
    page = show(run(failed() | {"curves": [judged()]}))
    assert not page.locator(".curve-chart").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".curve-chart .line.candidate").get_attribute("d")
    assert page.locator(".curve-chart").is_visible()
    assert page.locator(".finding").is_visible()
    assert not page.get_by_role("button", name="Log scale").is_visible()
