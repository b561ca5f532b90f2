"""Two configurations: what is compared, by which key."""

from __future__ import annotations

from pytest_parity.contract.config import config_differences, flattened
from pytest_parity.result import Difference


def test_values_have_dotted_keys():
    config = {"model": {"layers": [{"width": 4}, {"width": 8}], "none": {}}, "seed": None}
    assert dict(flattened(config)) == {
        "model.layers.0.width": 4,
        "model.layers.1.width": 8,
        "model.none": {},
        "seed": None,
    }


def test_what_differs_and_what_one_has_alone():
    golden = {"lr": 0.1, "model": {"width": 4, "old": 1}, "betas": [0.9, 0.98]}
    here = {"lr": 0.1, "model": {"width": 8, "new": "a"}, "betas": [0.9, 0.99]}
    assert config_differences(golden, here) == (
        Difference("config", "model.width", "4", "8"),
        Difference("config", "model.old", "1", "absent"),
        Difference("config", "betas.1", "0.98", "0.99"),
        Difference("config", "model.new", "absent", "a"),
    )
    assert config_differences(golden, golden) == ()
