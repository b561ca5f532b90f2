"""The environment: what is in it, what is kept out, and how two are told apart."""

from __future__ import annotations

import os
import platform

import pytest
import torch

from pytest_parity.contract.environment import differences, environment


def test_an_environment_does_not_differ_from_itself():
    assert differences(environment(), environment()) == {}


def test_it_holds_plain_text_only():
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in environment().items())


def test_it_tells_versions_and_threads():
    here = environment("cpu")
    assert here["torch"] == str(torch.__version__)
    assert here["threads"] == str(torch.get_num_threads())
    assert here["device"] == "cpu"


def test_it_keeps_host_user_and_directories_out():
    text = " ".join(environment().values())
    assert platform.node() not in text
    assert os.getcwd() not in text  # noqa: PTH109
    assert os.path.expanduser("~") not in text  # noqa: PTH111


def test_it_starts_no_accelerator():
    environment()
    assert not torch.cuda.is_initialized()


def test_what_differs_is_listed_the_likeliest_cause_first():
    golden, here = environment("cpu"), environment("cpu")
    here |= {"python": "2.7", "device": "cuda (A100)", "torch": "1.0"}
    golden |= {"something older": "1"}
    assert differences(golden, here) == {
        "device": ("cpu", "cuda (A100)"),
        "torch": (golden["torch"], "1.0"),
        "python": (golden["python"], "2.7"),
        "something older": ("1", "absent"),
    }
    assert list(differences(golden, here)) == ["device", "torch", "python", "something older"]


@pytest.fixture
def default_precision():
    yield
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("default_precision")
def test_switches_show():
    before = environment()
    torch.set_float32_matmul_precision("high")
    torch.use_deterministic_algorithms(True)
    with torch.autocast("cpu", torch.bfloat16):
        assert differences(before, environment()) == {
            "autocast": ("off", "bfloat16"),
            "TF32 in matrix products": ("off", "on"),
            "deterministic algorithms": ("off", "on"),
        }
