"""examples/nest/consistency.md says what is so now, as far as that can be measured without NeMo."""

from __future__ import annotations

import re
from pathlib import Path

import full_model
import pytest
from nest_ssl import NEST_NAMES
from nest_ssl.targets import CONFIG

from pytest_parity import Golden
from pytest_parity.cli import main
from pytest_parity.contract.config import flattened
from pytest_parity.contract.reading import read_config_file
from pytest_parity.contract.structure import Structure, compare_structures, describe
from pytest_parity.names import NameMap
from pytest_parity.report.config import value_words

NEST = Path(__file__).parents[1]
REPORT = (NEST / "consistency.md").read_text(encoding="utf-8")


def section(report: str, title: str) -> str:
    """A section of second rank, up to the next one."""
    return re.split(r"^## ", report.partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_structures_are_what_the_report_says(
    goldens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The section is what the command writes today, byte for byte."""
    monkeypatch.chdir(tmp_path)
    names = ["--names", "nest_ssl.names:NEST_NAMES", "--root", str(goldens.absolute())]
    assert main(["consistency", "--structure", "nest/full", "full_model:build", *names, "-o", "now.md"]) == 0
    assert section(REPORT, "Structure") == section(Path("now.md").read_text(encoding="utf-8"), "Structure") != ""


def test_the_configuration_is_the_one_that_was_compared() -> None:
    """Each key that the report says is the same has that value still."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", section(REPORT, "Configuration"), re.MULTILINE)
    own = dict(flattened(read_config_file(CONFIG).values, whole_lists=True))
    assert len(rows) > 100
    assert [row for row in rows if not row[1] == row[2] == value_words(own[row[0]])] == []


def test_the_preface_is_in_it() -> None:
    """What a person wrote stands there as it is now."""
    assert (NEST / "consistency_preface.md").read_text(encoding="utf-8").strip() in REPORT


def test_the_numbers_of_the_preface_are_the_golden_s(goldens: Path) -> None:
    """112M and 120M are explained by counts that are so."""
    with Golden.find(goldens, "nest/full") as golden:
        theirs = Structure.from_plain(golden.manifest["structure"])
    ours = describe(full_model.build())
    names = NameMap.build(NEST_NAMES).bind(ours.all_names, theirs.all_names)
    assert compare_structures(theirs, ours, names) == ()
    layer = sum(info.elements for path, info in theirs.parameters.items() if path.startswith("encoder.layers.0."))
    frozen = theirs.count - theirs.trainable_count
    preface = (NEST / "consistency_preface.md").read_text(encoding="utf-8")
    for number in (theirs.count, theirs.trainable_count, frozen, 120_000_000 - theirs.count, layer):
        assert f"{number:,}" in preface
