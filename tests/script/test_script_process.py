"""The script's own output, exit status and signals pass through; what came of it is said at its end, on stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import PARITY, PLAIN, Place, env


def golden_bytes(place: Place) -> dict[str, bytes]:
    root = place.path / "golden"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_script_that_is_the_same_passes_with_status_0(recorded: Place) -> None:
    done = recorded.parity("check", "--case", "nest/tiny", "--json", "--save", "found.json", "--", *PLAIN)
    assert done.status == 0
    assert done.err.splitlines()[:2] == ["parity", "nest/tiny: 93 of 93 sites compared in steps 0-2: 93 equal"]
    *own, last = done.out.splitlines()
    assert len(own) == 5
    found = json.loads(last)
    assert (found["script_status"], found["status"]) == (0, 0)
    assert found["outcomes"][0]["kind"] == "passed"
    assert json.loads((recorded.path / "found.json").read_text()) == found


def test_a_script_that_differs_fails_with_status_1_after_its_end(recorded: Place) -> None:
    done = recorded.check(RATE="0.02")
    assert done.status == 1
    assert len(done.out.splitlines()) == 5
    first = done.err.splitlines()[1]
    assert first.startswith("nest/tiny step 0: AdamW: its update of 0.weight is the first that differs")
    assert "  lr is 0.02, the golden's run had 0.01" in done.err.splitlines()


def test_the_output_of_a_script_is_its_own_byte_for_byte(place: Place) -> None:
    echo = "sys.stdout.buffer.write(b'\\x00\\xff' + sys.stdin.buffer.read()); sys.stderr.buffer.write(b'\\xfe\\n')"
    plain = place.run(*PLAIN, END=echo, stdin=b"read \x80")
    done = place.run(*PARITY, "record", "--case", "nest/tiny", "--", *PLAIN, END=echo, stdin=b"read \x80")
    assert done.output == plain.output
    assert done.output.endswith(b"\x00\xffread \x80")
    assert done.errors.startswith(plain.errors)
    assert done.errors[len(plain.errors) :].startswith(b"parity\nnest/tiny: recorded 93 sites in steps 0-2")


@pytest.mark.parametrize(
    ("amid", "status", "said"),
    [
        ("if number == 1: raise ValueError('boom')", 1, "the script ended in ValueError: boom after 2 steps"),
        ("if number == 1: exit(3)", 3, "the script ended with exit(3) after 2 steps"),
        ("if number == 1: os._exit(0)", 2, "left by os._exit, before the last step that is kept was over"),
    ],
)
def test_a_script_that_ends_early_leaves_the_old_golden_and_no_litter(
    recorded: Place, amid: str, status: int, said: str
) -> None:
    before = golden_bytes(recorded)
    done = recorded.record(AMID=amid, SEED="1")
    assert done.status == status
    assert "nothing was recorded" in done.err
    assert said in done.err
    assert golden_bytes(recorded) == before
    assert recorded.litter() == []


def test_a_script_that_is_killed_takes_us_along_and_leaves_nothing(place: Place) -> None:
    command = [*PARITY, "record", "--case", "nest/tiny", "--", *PLAIN]
    done = place.run(*command, AMID="if number == 1: os.kill(os.getpid(), 9)")
    assert done.status == -9
    assert "it was ended by SIGKILL" in done.err
    assert not (place.path / "golden").exists()


def test_how_a_script_ends_after_the_last_step_is_its_own_affair(place: Place) -> None:
    done = place.record(END="sys.exit(7)")
    assert done.status == 7
    assert "nest/tiny: recorded 93 sites in steps 0-2" in done.err


def test_signals_go_to_the_script(place: Place) -> None:
    waiting = (
        "import os, signal, time\n"  # a print may be interrupted by the signal, and a handler's print fails in it then
        "def on(number, frame): os.write(1, f'caught {number}\\n'.encode()); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, on); os.write(1, b'ready\\n')\n"
        "for _ in range(600): time.sleep(0.1)"
    )
    command = [*PARITY, "record", "--case", "c", "--", *PLAIN]
    with subprocess.Popen(
        command,
        cwd=place.path,
        env=env({"END": waiting}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as parity:
        assert parity.stdout is not None
        while parity.stdout.readline() != b"ready\n":
            pass
        parity.send_signal(signal.SIGTERM)
        out, err = parity.communicate(timeout=60)
    assert out == f"caught {int(signal.SIGTERM)}\n".encode()
    assert parity.returncode == 5
    assert b"c: recorded 93 sites" in err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no terminals of its own making")
def test_what_someone_types_at_a_terminal_reaches_the_script_once(place: Place) -> None:
    counting = (
        "import os, signal, time\n"
        "def on(number, frame): os.write(1, b'caught\\n')\n"
        "signal.signal(signal.SIGINT, on); os.write(1, b'ready\\n')\n"
        "for _ in range(15): time.sleep(0.1)"
    )
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place.path)
        os.execve(PARITY[0], [*PARITY, "record", "--case", "c", "--", *PLAIN], env({"END": counting}))
    seen = b""
    typed = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
        if b"ready" in seen and not typed:
            os.write(terminal, b"\x03")
            typed = True
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert seen.count(b"caught") == 1


def test_a_script_that_cannot_be_run_is_an_error(place: Place) -> None:
    done = place.record("./nowhere.sh")
    assert done.status == 2
    assert done.err == "parity record: ./nowhere.sh cannot be run: No such file or directory\n"


def test_an_isolated_python_is_an_error_that_says_why(place: Place) -> None:
    done = place.record(sys.executable, "-I", "train.py")
    assert done.status == 2
    assert done.err.splitlines()[1] == "nothing was recorded"
    assert "was a Python that looks at PYTHONPATH" in done.err
    assert "(python -I, -E, -S)" in done.err


def test_a_python_without_us_is_an_error_that_names_it(place: Place) -> None:
    hidden = place.path / "hidden" / "pytest_parity"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'pytest_parity'\")")
    done = place.record(PYTHONPATH=str(hidden.parent))
    assert done.status == 2
    assert "pytest-parity cannot be imported by the script's Python, install it there" in done.err
    assert f"({sys.executable}: No module named 'pytest_parity')" in done.err
    assert len(done.out.splitlines()) == 5


def test_a_script_that_trains_nothing_is_an_error(recorded: Place) -> None:
    done = recorded.check(sys.executable, "-c", "print('hello')")
    assert done.status == 2
    assert done.out == "hello\n"
    assert done.err.splitlines()[1:] == [
        "nothing was compared",
        "nest/tiny: the script made no torch.optim.Optimizer and fitted no Lightning trainer: it ended with exit status 0",
    ]


def test_a_case_without_a_golden_is_told_before_the_script_runs(recorded: Place) -> None:
    done = recorded.check(case="nest/tidy")
    assert done.status == 2
    assert done.out == ""
    assert "nest/tidy" in done.err
    assert "nest/tiny" in done.err
    assert f"record it with 'parity record --case nest/tidy -- {sys.executable} train.py'" in done.err


SCRIPT = "import os\nos.chdir('elsewhere')\n"


def test_a_shell_script_whose_python_goes_elsewhere_and_runs_a_package(recorded: Place) -> None:
    package = recorded.path / "pack"
    package.mkdir()
    (package / "__init__.py").touch()
    (recorded.path / "elsewhere").mkdir()
    (package / "train.py").write_text(SCRIPT + (recorded.path / "train.py").read_text())
    (recorded.path / "run.sh").write_text(
        f"{sys.executable} -c 'import torch; torch.optim.SGD([torch.zeros(1)])'\nexec {sys.executable} -m pack.train\n"
    )
    (recorded.path / "names.toml").write_text('[names]\n"0" = "0"\n')
    words = ("check", "--case", "nest/tiny", "--names", "names.toml", "--", "bash", "run.sh")
    done = recorded.parity(*words, PYTHONPATH=str(recorded.path))
    assert done.status == 0, done.err
    assert "93 equal" in done.err
    assert not (recorded.path / "elsewhere" / ".parity").exists()


def test_a_sitecustomize_of_ones_own_runs_as_ever(place: Place) -> None:
    own = place.path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins; builtins.OWN = __name__\n")
    done = place.record(END="print(OWN)", PYTHONPATH=str(own))
    assert done.out.splitlines()[-1] == "sitecustomize"
    assert "recorded 93 sites" in done.err


def test_of_two_processes_that_train_the_first_is_the_case(place: Place) -> None:
    python = sys.executable
    done = place.record("bash", "-c", f"{python} train.py && SEED=1 {python} train.py")
    assert done.status == 0
    assert "recorded 93 sites in steps 0-2" in done.err
    assert "left alone: a further training of the script; one case is one training, the first" in done.err


DISTRIBUTED = """
import torch, torch.distributed as dist
from torch import nn
dist.init_process_group("gloo")
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr={rate})
x = torch.randn(16, 4)[dist.get_rank() :: 2]
for start in (0, 4):
    optimizer.zero_grad()
    model(x[start : start + 4]).square().mean().backward()
    optimizer.step()
dist.destroy_process_group()
"""


def test_of_distributed_processes_rank_0_records_and_each_checks(place: Place) -> None:
    script = place.path / "ddp.py"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "ddp.py")
    script.write_text(DISTRIBUTED.format(rate="0.1"))
    done = place.record(*torchrun)
    assert done.status == 0, done.err
    assert "nest/tiny: recorded" in done.err
    assert "rank 1" not in done.err
    script.write_text(DISTRIBUTED.format(rate="0.1 if dist.get_rank() == 0 else 0.2"))
    done = place.check(*torchrun)
    assert done.status == 1
    said = done.err[done.err.rindex("parity\n") :].splitlines()
    assert said[1] == "rank 0:"
    assert "rank 1:" in said
    assert "step 0" in said[said.index("rank 1:") + 1]


def test_colours_are_for_who_asks(recorded: Place) -> None:
    words = ("--color", "always", "check", "--case", "nest/tiny", "--", *PLAIN)
    assert recorded.parity(*words).err.startswith("\x1b[1mparity\x1b[0m\n\x1b[32mnest/tiny: 93 of 93")


def test_a_golden_that_is_damaged_is_told_and_the_script_goes_on(recorded: Place) -> None:
    path = Path(recorded.path, "golden/nest/tiny/step_1/activations.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    done = recorded.check(RATE="0.01")
    assert done.status == 2
    assert len(done.out.splitlines()) == 5
    assert "Traceback" not in done.err
    assert "nest/tiny" in done.err
    assert "digest" in done.err
