"""The environment: what is in it, what is kept out, and how two are told apart."""

from __future__ import annotations

import os
import platform

import pytest
import torch

from pytest_parity.contract.environment import differences, environment, loader_workers, rounding_of


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
    here |= {"python": "2.7", "device": "cuda (A100)", "torch": "1.0", "something newer": "1"}
    golden |= {"something older": "1", "something newer": "2"}
    assert differences(golden, here) == {
        "device": ("cpu", "cuda (A100)"),
        "torch": (golden["torch"], "1.0"),
        "python": (golden["python"], "2.7"),
        "something newer": ("2", "1"),
    }
    assert list(differences(golden, here)) == ["device", "torch", "python", "something newer"]


def test_what_one_of_the_two_has_not_recorded_is_no_difference():
    here = environment("cpu")
    older = {name: value for name, value in here.items() if name != "threads"}
    assert differences(older, here | {"threads": "3"}) == {}
    assert differences(here | {"something older": "1"}, here) == {}


def test_what_was_recorded_as_absent_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MKL_CBWR", raising=False)
    golden = environment("cpu")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert differences(golden, environment("cpu")) == {"MKL_CBWR": ("absent", "COMPATIBLE")}


@pytest.mark.parametrize("name", ["CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "PYTORCH_ENABLE_MPS_FALLBACK"])
def test_an_accelerators_variable_explains_nothing_on_the_cpu(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.delenv(name, raising=False)
    golden = environment("cpu")
    monkeypatch.setenv(name, "1")
    here = environment("cpu")
    assert differences(golden, here) == {}
    accelerator = {"device": "mps" if "MPS" in name else "cuda (A100)"}
    assert differences(golden | accelerator, here | accelerator) == {name: ("absent", "1")}


VARIABLES = ["ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"]


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_of_the_instruction_set_show(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "avx2")
    assert environment("cpu")[name] == "avx2"


def test_seed_and_workers_are_told_where_they_are_known():
    assert {"seed", "dataloader workers"}.isdisjoint(environment("cpu"))
    golden = environment("cpu", seed=0, workers=2)
    here = environment("cpu", seed=1, workers=0)
    assert differences(golden, here) == {"seed": ("0", "1"), "dataloader workers": ("2", "0")}
    assert differences(golden, environment("cpu")) == {}


def test_the_workers_of_a_loader_are_known_of_torchs_alone():
    class Loader:
        def __getattr__(self, name: str):
            raise AssertionError(name)

        def __iter__(self):
            raise AssertionError

    assert loader_workers(torch.utils.data.DataLoader([1], num_workers=1)) == 1
    assert loader_workers(Loader()) is None


@pytest.mark.parametrize(
    ("names", "rounding"),
    [
        ([], None),
        (["python", "seed", "dataloader workers"], None),
        (["threads", "python"], 0.0),
        (["TF32 in convolutions", "threads"], 2**-11),
        (["TF32 in convolutions", "autocast"], 2**-8),
    ],
)
def test_how_far_one_operation_can_move(names: list[str], rounding: float | None):
    assert rounding_of(names) == rounding


@pytest.fixture
def default_precision():
    yield
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.backends.mkldnn.set_flags(_enabled=True)


@pytest.mark.usefixtures("default_precision")
def test_switches_show():
    before = environment()
    torch.set_float32_matmul_precision("high")
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.set_flags(_enabled=False)
    with torch.autocast("cpu", torch.bfloat16):
        found = differences(before, environment())
    found.pop("float32 in oneDNN", None)  # which torch sets along, from some version on
    assert found == {
        "autocast": ("off", "bfloat16"),
        "float32 matmul precision": ("highest", "high"),
        "deterministic algorithms": ("off", "on"),
        "oneDNN": ("on", "off"),
    }
    on_cuda = {"device": "cuda (A100)"}
    assert differences(before | on_cuda, environment() | on_cuda)["TF32 in matrix products"] == ("off", "on")


@pytest.mark.usefixtures("default_precision")
def test_warnings_instead_of_errors_show():
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert environment()["deterministic algorithms"] == "warn"


def test_the_implementations_of_attention_show():
    flash = torch.nn.attention.SDPBackend.FLASH_ATTENTION
    before = environment()
    with torch.nn.attention.sdpa_kernel(flash):
        assert differences(before, environment()) == {"attention": (before["attention"], "flash")}


@pytest.mark.usefixtures("default_precision")
def test_a_switch_that_torch_refuses_to_read_is_told_so(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert environment()["float32 matmul precision"] == "by backend"
