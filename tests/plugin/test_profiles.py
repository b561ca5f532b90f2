from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
import torch

from pytest_parity.plugin import switches
from pytest_parity.plugin.profiles import SHIPPED, read_profiles

from .project import Run, manifest

PYPROJECT = """
[tool.pytest_parity.tolerances]
loss = {rtol = 1, atol = 2}

[tool.pytest_parity.profiles.strange]
base = "cuda"
threads = 3
deterministic_algorithms = "warn"
float32_matmul_precision = "high"
tf32_matmul = true
tf32_convolutions = true
cudnn_benchmark = true
tolerances = {output = {rtol = 0.5, atol = 0}}
environment = {MKL_CBWR = "COMPATIBLE"}

[tool.pytest_parity.profiles.loose]
tolerances = {output = {rtol = 0.5, atol = 0}}
"""

SEEN = """
    import os
    import pytest
    import torch

    def state():
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
        )

    BEFORE = state()
    IN_FORCE = (3, True, True, "high", True, True, True, True)

    @pytest.fixture
    def model():
        return state()

    @pytest.mark.usefixtures("model")
    def test_first():
        assert state() == BEFORE

    def test_watched(model, parity, parity_tolerances):
        assert model == state() == IN_FORCE
        assert parity_tolerances == {"loss": {"rtol": 1, "atol": 2}, "output": {"rtol": 0.5, "atol": 0}}
        assert parity.settings.profile == "strange"
        parity.assert_close("x", torch.ones(2))

    def test_asked_for_late(request):
        parity = request.getfixturevalue("parity")
        assert state() == IN_FORCE
        parity.assert_close("x", torch.ones(2))

    def test_failing(parity):
        raise RuntimeError

    def test_last():
        assert state() == BEFORE
"""


@pytest.fixture
def strange(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyprojecttoml(PYPROJECT)
    pytester.makepyfile(test_seen=SEEN)
    return pytester


def test_switches_are_set_before_the_model_is_built_and_put_back(strange: pytest.Pytester):
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    result = strange.runpytest("--parity-record", "--parity-noise=0", "--parity-profile", "strange")
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["recorded"], counts["failed"]) == (2, 2, 1)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before
    found = manifest(strange.path / "golden/test_seen/test_watched")
    assert found["settings"]["profile"] == "strange"
    environment = found["provenance"]["environment"]
    assert (environment["threads"], environment["deterministic algorithms"]) == ("3", "warn")
    assert environment["MKL_CBWR"] == "COMPATIBLE"


def test_the_header_names_it(strange: pytest.Pytester):
    result = strange.runpytest("--parity-record", "--collect-only", "--parity-profile", "strange")
    result.stdout.fnmatch_lines(["parity: recording to *golden, profile strange"])


def test_the_ini_file_names_it_and_the_command_line_is_before_it(run: Run, strange: pytest.Pytester):
    strange.makeini("[pytest]\nparity_profile = strange")
    strange.makepyfile(
        test_seen="def test_name(parity): assert parity.settings.profile == 'cpu', parity.settings.profile"
    )
    run().stdout.fnmatch_lines(["*AssertionError: strange*"])
    run("--parity-profile", "cpu").stdout.no_fnmatch_line("*AssertionError*")


def test_variables_are_set_before_a_conftest_imports_torch(strange: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    strange.makeconftest(
        "import os, sys\n"
        "print('torch' in sys.modules, os.environ['MKL_CBWR'], os.environ['CUBLAS_WORKSPACE_CONFIG'])\n"
        "import torch"
    )
    strange.makepyfile(test_seen="def test_plain(): pass")
    result = strange.runpytest_subprocess("--parity-profile", "strange", "-s")
    result.stdout.fnmatch_lines(["False COMPATIBLE :4096:8"])


def test_variables_are_put_back(strange: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    strange.makepyfile(test_seen="import os\ndef test_plain(): assert os.environ['MKL_CBWR'] == 'COMPATIBLE'")
    assert strange.runpytest("--parity-profile", "strange").ret == 0
    assert os.environ["MKL_CBWR"] == "AVX2"
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_its_tolerances_decide_unless_the_call_says_otherwise(
    run: Run, recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALE", "1.2")
    pytester.makepyprojecttoml(PYPROJECT)
    assert run().ret == 1
    assert run("--parity-profile", "loose").ret == 0


def test_other_dtypes_are_allowed_by_it(pytester: pytest.Pytester):
    pytester.makepyprojecttoml("[tool.pytest_parity.profiles.other]\nallow_dtype = true")
    pytester.makepyfile(
        test_one="""
        import torch
        def test_value(parity):
            parity.assert_close("x", torch.ones(4, dtype=torch.float32 if parity.recording else torch.bfloat16))
        """
    )
    pytester.runpytest("--parity-record")
    assert pytester.runpytest().ret == 1
    assert pytester.runpytest("--parity-profile", "other").ret == 0


def test_other_dtypes_are_allowed_by_the_marker(pytester: pytest.Pytester):
    source = """
        import pytest, torch
        @pytest.mark.parity("value", allow_dtype={allowed})
        def test_value(parity):
            parity.assert_close("x", torch.ones(4, dtype=torch.float32 if parity.recording else torch.bfloat16))
    """
    pytester.makepyfile(test_one=source.format(allowed=True))
    pytester.runpytest("--parity-record")
    assert pytester.runpytest().ret == 0
    pytester.makepyfile(test_one=source.format(allowed="'yes'"))
    pytester.runpytest().stdout.fnmatch_lines(["*allow_dtype='yes'): allow_dtype is True or False*"])


DEVICE = """
    import os

    def test_name(parity):
        print("profile", parity.settings.profile, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        raise RuntimeError
"""


@pytest.mark.parametrize(("cuda", "mps", "name"), [(0, False, "cpu"), (1, False, "cuda"), (0, True, "mps")])
def test_else_the_device_decides(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, name: str
):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    pytester.makepyfile(DEVICE)
    pytester.runpytest().stdout.fnmatch_lines([f"profile {name} {':4096:8' if cuda else None}"])
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_what_the_device_decides_yields_to_what_is_set(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    pytester.makepyfile(DEVICE)
    pytester.runpytest().stdout.fnmatch_lines(["profile cuda :16:8"])
    pytester.runpytest("--parity-profile", "cuda").stdout.fnmatch_lines(["profile cuda :4096:8"])


def test_apples_variable_is_set_before_torch_can_tell(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    pytester.makeconftest("import os\nprint('fallback', os.environ.get('PYTORCH_ENABLE_MPS_FALLBACK'))")
    pytester.runpytest("-s", "-p", "no:faulthandler").stdout.fnmatch_lines(["fallback 1"])
    assert "PYTORCH_ENABLE_MPS_FALLBACK" not in os.environ


def test_the_shipped_ones_leave_the_cpu_and_the_verdicts_alone():
    assert set(SHIPPED) == {"cpu", "cuda", "mps"}
    for profile in SHIPPED.values():
        assert not profile.tolerances
        assert not profile.allow_dtype
        assert {"threads", "deterministic_algorithms", "float32_matmul_precision"}.isdisjoint(profile.switches)
    assert SHIPPED["cpu"].switches == SHIPPED["cpu"].environment == {}


def test_a_base_stands_below_and_a_shipped_name_may_be_taken():
    found = read_profiles(
        {
            "cuda": {"base": "cuda", "threads": 2, "environment": {"A": "1"}},
            "half": {"base": "cuda", "tf32_matmul": True, "allow_dtype": True, "tolerances": {"loss": (0.1, 0.1)}},
            "again": {"base": "half", "allow_dtype": False},
        },
        "profiles",
    )
    assert found["cuda"].switches == {**SHIPPED["cuda"].switches, "threads": 2}
    assert found["half"].switches == {**found["cuda"].switches, "tf32_matmul": True}
    assert found["half"].environment == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "A": "1"}
    assert (found["again"].tolerances, found["again"].allow_dtype) == ({"loss": (0.1, 0.1)}, False)


def test_a_profile_that_is_not_there(pytester: pytest.Pytester):
    pytester.makepyprojecttoml(PYPROJECT)
    result = pytester.runpytest("--parity-profile", "losse")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*--parity-profile: there is no profile 'losse'; did you mean 'loose'?; there are: cpu, cuda, mps, strange, loose*"
        ]
    )
    pytester.makeini("[pytest]\nparity_profile = tpu")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*ini option parity_profile: there is no profile 'tpu'*[[]tool.pytest_parity.profiles.tpu[]]"]
    )


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("thread = 1", "*gpu has no key 'thread'; did you mean 'threads'?; it takes: base, *"),
        ("threads = 0", "*gpu: threads = 0 is not a whole number from 1 on"),
        ("threads = true", "*gpu: threads = True is not a whole number from 1 on"),
        ("tf32_matmul = 'off'", "*gpu: tf32_matmul = 'off' is not true or false"),
        ("deterministic_algorithms = 'on'", "*deterministic_algorithms = 'on' is not true, false or \"warn\""),
        ("float32_matmul_precision = 'low'", "*'low' is not one of: highest, high, medium"),
        ("allow_dtype = 1", "*allow_dtype = 1 is not true or false"),
        ("environment = {A = 1}", "*environment = {'A': 1} is not a table of texts; write as in: *"),
        ("tolerances = {outputs = {factor = 3}}", "*gpu.tolerances*did you mean 'output'*"),
        ("base = 'cude'", "*gpu: there is no base 'cude'; did you mean 'cuda'?; cpu, cuda, mps*"),
        ("base = 'gpu'", "*gpu: its base leads back to it: gpu -> gpu"),
    ],
)
def test_a_wrong_profile_is_a_usage_error(pytester: pytest.Pytester, profile: str, message: str):
    pytester.makepyprojecttoml(f"[tool.pytest_parity.profiles.gpu]\n{profile}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("table", "message"),
    [("profiles = 3", "*is 3, not a table of profiles*"), ("profiles.gpu = 3", "*gpu is 3, not a table*")],
)
def test_what_is_no_table(pytester: pytest.Pytester, table: str, message: str):
    pytester.makepyprojecttoml(f"[tool.pytest_parity]\n{table}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_profiles_whose_bases_go_in_circles():
    with pytest.raises(Exception, match="its base leads back to it: a -> b -> a"):
        read_profiles({"a": {"base": "b"}, "b": {"base": "a"}}, "profiles")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(_value: str) -> None:
        raise RuntimeError("mix of the legacy and new APIs")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "set_float32_matmul_precision", refuse)
        yield


@pytest.mark.usefixtures("refusing")
def test_a_switch_that_torch_refuses_is_an_error_of_the_test(pytester: pytest.Pytester):
    pytester.makepyprojecttoml("[tool.pytest_parity.profiles.gpu]\nfloat32_matmul_precision = 'high'")
    pytester.makepyfile("def test_value(parity): pass\ndef test_plain(): pass")
    result = pytester.runpytest("--parity-profile", "gpu")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*profile gpu: float32_matmul_precision = 'high': torch refuses it: mix of the legacy and new APIs*"]
    )


@pytest.fixture
def newer_switches() -> Iterator[None]:
    """Set by torch's newer names, which the older ones then refuse to tell."""
    parts = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    if not hasattr(parts[0], "fp32_precision"):
        pytest.skip("torch 2.9 brought the newer names")
    before = [part.fp32_precision for part in parts]
    parts[0].fp32_precision, parts[1].fp32_precision, parts[2].fp32_precision = "tf32", "ieee", "tf32"
    yield
    for part, precision in zip(parts, before, strict=True):
        part.fp32_precision = precision


@pytest.mark.usefixtures("newer_switches")
def test_switches_of_newer_names_are_put_back_as_they_were():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    undo = [switches._SET["tf32_matmul"](False), switches._SET["tf32_convolutions"](True)]
    assert (matmul.fp32_precision, cudnn.conv.fp32_precision) == ("ieee", "tf32")
    for one in undo:
        one()
    assert (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "ieee", "tf32")
