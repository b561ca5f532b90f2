"""``python tests/browser/screenshot.py``: docs/images/report-nest.png, the HTML report of nest_ssl with a fault put in.

The main job's own test runs, against the goldens of this repository, with one block's convolution before its attention.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from chromium import executable, flags

ROOT = Path(__file__).parents[2]
TEST = "examples/nest/parity_candidate/test_nest_ssl.py::test_pretraining"
FAULT = "PARITY_SCREENSHOT_FAULT"
VIEW = {"width": 1280, "height": 1080}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """As a plugin of pytest this puts the fault into what the test trains."""
    from faults import FAULTS

    module = item.getparent(pytest.Module).obj
    module.pretrain = partial(module.pretrain, fault=FAULTS[os.environ[FAULT]])


def failing_report(fault: str, report: Path) -> None:
    """Run the test, which must fail, and have it write its report."""
    where = ["--parity-ref", "golden", "--parity-out", str(report.parent / "out"), "--parity-report", str(report)]
    command = [sys.executable, "-m", "pytest", TEST, "-q", "-p", "no:cacheprovider", "-p", Path(__file__).stem, *where]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {FAULT: fault, "PYTHONPATH": path}, check=False)
    if done.returncode != pytest.ExitCode.TESTS_FAILED:
        sys.exit(f"the test did not fail, as it must with a fault in it: exit status {done.returncode}")


def photograph(report: Path, image: Path, scheme: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=flags())
        page = browser.new_page(viewport=VIEW, color_scheme=scheme)
        page.goto(report.as_uri())
        page.locator("h1").wait_for()
        image.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=image)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, default=ROOT / "docs" / "images" / "report-nest.png")
    parser.add_argument(
        "--fault", default="convolution_before_attention", help="a name in examples/nest/parity_candidate/faults.py"
    )
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--report", type=Path, help="keep the report there; default: nowhere")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        report = (asked.report or Path(directory) / "report.html").resolve()
        failing_report(asked.fault, report)
        photograph(report, asked.image, "dark" if asked.dark else "light")
    sys.stdout.write(f"{asked.image}: {asked.image.stat().st_size / 1000:.0f} kB" + "\n")


if __name__ == "__main__":
    main()
