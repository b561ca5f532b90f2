"""What someone used to look for with a list of causes in hand, the tool says by itself: docs/troubleshooting.md, row by row.

One small training, recorded once, and candidates with one fault each. ``Row.says`` are pieces of what the run prints; in
``docs/troubleshooting.md`` the same pieces stand in the column of messages, which a test holds.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "troubleshooting.md"

TRAINING = """
    import os
    import pytest
    import torch
    from torch import nn

    FAULT = os.environ.get("FAULT", "")
    MARKS = {"float64 allowed": {"allow_dtype": True}, "vacuous": {"rtol": 0.0, "atol": 1000.0}}

    class Net(nn.Module):
        def __init__(self, width=8, heads=2, layers=1, dropout=0.1, eps=1e-5):
            super().__init__()
            self.embed = nn.Embedding(20, width)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(width, heads, 16, dropout, batch_first=True, layer_norm_eps=eps)
                for _ in range(layers)
            )
            self.drop, self.head = nn.Dropout(dropout), nn.Linear(width, 20)

        def forward(self, ids):
            x = self.embed(ids)
            for layer in self.layers:
                x = layer(x)
            x = nn.functional.dropout(x, 0.1, self.training) if FAULT == "functional dropout" else self.drop(x)
            x = x * (1 + {"rounding": 1e-7, "error": 1e-4, "vacuous": 1e-4}.get(FAULT, 0.0))
            return self.head(x)

    OTHER = {"width": {"width": 16}, "heads": {"heads": 4}, "layers": {"layers": 2}, "no dropout": {"dropout": 0.0}}

    def made(config):
        torch.manual_seed(9 if FAULT == "initialisation" else 0)
        model = Net(**{"eps": config["eps"], **OTHER.get(FAULT, {})})
        return model.double() if FAULT.startswith("float64") else model

    def optimizer_of(model):
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}.get(FAULT, torch.optim.AdamW)
        set_to = {
            "adam": {"weight_decay": 0.01}, "rate": {"lr": 0.02}, "decay": {"weight_decay": 0.0},
            "betas": {"betas": (0.9, 0.98)},
        }
        return kind(model.parameters(), **{"lr": 0.01, **set_to.get(FAULT, {})})

    def loss_of(logits, ids):
        reduction = "sum" if FAULT == "sum" else "mean"
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction=reduction)

    @pytest.fixture(autouse=True)
    def threads():
        before = torch.get_num_threads()
        torch.set_num_threads(2 if FAULT == "threads" else 1)
        yield
        torch.set_num_threads(before)

    @pytest.mark.parity("net", **MARKS.get(FAULT, {}))
    def test_train(parity, parity_config):
        model = made(parity_config)
        if FAULT != "initialisation":
            parity.load(model)
        if FAULT == "mode":
            model.eval()
        optimizer = optimizer_of(model)
        draw = torch.Generator().manual_seed(1 if FAULT == "loader" else 0)
        loader = [torch.randint(20, (4, 5), generator=draw) for _ in range(2)]
        keep = [7] if FAULT == "kept" else None
        with parity.watch(model, optimizer=optimizer) as run:
            for ids in run.steps(loader, limit=1 if FAULT == "one step" else None, keep=keep):
                if FAULT == "crop":
                    ids = ids[:2]
                if FAULT == "order":
                    ids = ids.flip(0)
                if FAULT == "batch size":
                    ids = ids.view(8, 5)
                logits = model(ids)
                loss = loss_of(logits, ids)
                if FAULT == "twice":
                    loss = loss_of(model(ids), ids)
                optimizer.zero_grad()
                if FAULT == "memory":
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                loss.backward()
                if FAULT == "clip":
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                if FAULT == "detached":
                    optimizer.zero_grad()
                optimizer.step()
                if FAULT == "left":
                    break
                if FAULT == "call":
                    parity.assert_activations(rtol=1e-3, atol=1e-3)
                parity.assert_step(outputs=logits, loss=loss)
"""


@dataclass(frozen=True)
class Row:
    """A cause, put into the candidate; pieces of what the run then says, in that order; and what pytest is called with."""

    fault: str
    says: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def row(fault: str, *says: str, arguments: tuple[str, ...] = ()) -> Row:
    return Row(fault, says, arguments)


FIRST_OUTPUT = "is the first module whose output differs while its inputs agree"
FIRST_UPDATE = "its update of embed.weight is the first that differs, while the weights, gradients and optimizer state"

FAILING = {
    # "Step N not found"
    "step not found: fewer steps are run": row(
        "one step", "net: step 1 of the golden was never run; run every step that was recorded, or record it again"
    ),
    "step not found: the loop was left": row(
        "left",
        "net step 0: the output outputs is missing: the reference has it, and the test gives none",
        "the loop was left at step 0 (break, return), and the golden has steps 0-1",
    ),
    "step not found: the case is misspelt": row(
        "", "--parity-case nte means no case; did you mean 'net'?", arguments=("--parity-case", "nte")
    ),
    "step not found: the directory is misspelt": row(
        "",
        "--parity-ref goldn: there is no directory",
        "record it with: pytest --parity-record --parity-ref goldn",
        arguments=("--parity-ref", "goldn"),
    ),
    "step not found: a step to be recorded does not come": row(
        "kept",
        "keep=[7]): the loop ended after 2 steps, the last being 1; raise the limit, or keep earlier steps",
        arguments=("--parity-record", "--parity-reason", "try"),
    ),
    # "Shape mismatch"
    "shape mismatch: another width": row(
        "width",
        "the weights of net do not fit the model, and nothing was changed: embed.weight has shape (20, 16), the golden's (20, 8)",
    ),
    "shape mismatch: another number of layers": row("layers", "layers.1.self_attn.in_proj_weight is not in the golden"),
    "shape mismatch: another number of heads": row(
        "heads",
        f"net step 0: layers.0.self_attn {FIRST_OUTPUT}",
        "num_heads of layers.0.self_attn: 4 here, 2 in the golden",
    ),
    "shape mismatch: part of the batch is used": row(
        "crop",
        "net step 0: the code that calls (model): the input is the first site that differs: shape (4, 5) expected, got (2, 5)",
    ),
    "shape mismatch: a batch size in the code": row(
        "batch size",
        "RuntimeError: shape '[8, 5]' is invalid for input of size 20",
        "pytest-parity: step 0 of net ran on the golden's batch, not on one drawn here: the batch int64 (4, 5). "
        "Where the code takes another size for granted",
    ),
    # "Large differences", "layer outputs differ", the checklist
    "large differences: order of the rows": row(
        "order",
        "the code that calls (model): the input is the first site that differs",
        "its rows are the golden's in another order: rows 0, 1, 2, 3 here are rows 3, 2, 1, 0 of the golden's",
    ),
    "large differences: initialisation": row(
        "initialisation",
        "net step 0: the weight embed.weight differs before the step's forward pass",
        "to start from the reference's weights: parity.load(model) in a test",
    ),
    "large differences: training mode": row(
        "mode", f"layers.0.self_attn {FIRST_OUTPUT}", "training of layers.0.self_attn", "False here, True in the golden"
    ),
    "large differences: more than rounding": row(
        "error",
        "net step 0: (model): what it hands to head is the first site that differs, after activation/drop#0 agreed",
    ),
    "more precision: float64 against float32": row(
        "float64",
        "net: embed.weight: it has another dtype: float64 here, float32 in the reference",
        "to compare the values all the same: @pytest.mark.parity(allow_dtype=True), or allow_dtype = true in a profile; "
        "to compare in this dtype, record the reference in it: pytest --parity-record",
    ),
    "checklist: configuration": row(
        "",
        f"net step 0: layers.0.norm1 {FIRST_OUTPUT}",
        "eps of layers.0.norm1, layers.0.norm2: 0.001 here, 1e-05 in the golden",
        "eps in the configuration: 0.001 here, 1e-05 in the golden",
        arguments=("--parity-set", "eps=0.001"),
    ),
    "checklist: learning rate": row("rate", f"AdamW: {FIRST_UPDATE}", "lr is 0.02, the golden's run had 0.01"),
    "checklist: weight decay": row("decay", f"AdamW: {FIRST_UPDATE}", "weight_decay is 0.0, the golden's run had 0.01"),
    "checklist: betas": row("betas", "betas is [0.9, 0.98], the golden's run had [0.9, 0.999]"),
    "checklist: another optimizer": row(
        "adam", f"Adam: {FIRST_UPDATE}", "(reference: AdamW)", "optimizer is Adam, the golden's run had AdamW"
    ),
    "checklist: quite another optimizer": row("sgd", "optimizer is SGD, the golden's run had AdamW"),
    "checklist: device": row("threads", "threads: 2 here, 1 in the golden", arguments=("--parity-set", "eps=0.001")),
    # "gradients do not match"
    "gradients: the forward pass": row("heads", f"layers.0.self_attn {FIRST_OUTPUT}"),
    "gradients: the loss": row(
        "sum",
        "net step 0: the loss is the first site that differs, while every module call agrees",
        "16 times the golden's, in the loss and all of 15 gradients (to 0 floors): as a sum here is, for the golden's mean over "
        "the 16 of the batch that have one before them",
    ),
    "gradients: clipped": row(
        "clip",
        "the gradients of parameters differ, while alone each module's backward pass agrees: look at what the loop does",
        "clipped to a total norm of 0.1 here, where the golden's is 1.",
    ),
    "gradients: none": row(
        "detached",
        "net step 0: (model) gets no gradient, while the forward pass agrees",
        "no parameter has a gradient: was backward run before the check?",
    ),
    "gradients: dropout is off": row(
        "no dropout", f"layers.0.self_attn {FIRST_OUTPUT}", "p of layers.0.dropout", "0.0 here, 0.1 in the golden"
    ),
    "gradients: dropout as a function": row(
        "functional dropout",
        "net step 0: drop is never called",
        "random draws outside of any leaf module, where only the order of drawing decides: ",
    ),
    "gradients: a forward pass too many": row(
        "twice",
        "net step 0: (model) calls embed (call 2), which the reference does not",
        "embed is called 2 times here, once in the reference",
    ),
    # memory
    "memory: it ran out": row(
        "memory",
        "CUDA out of memory.",
        "pytest-parity: memory ran out on the device while checking step 0 of net. Checking keeps 1,073,741,824 bytes",
        "If it fits without pytest-parity: a smaller batch, or fewer kinds: kinds=",
    ),
    "memory: it ran out while recording": row(
        "memory",
        "pytest-parity: memory ran out on the device while recording step 0 of net. Recording writes what it sees to the disk",
        "--parity-noise 0 does without it. Else: a smaller batch, or fewer kinds: kinds=",
        arguments=("--parity-record", "--parity-reason", "try"),
    ),
    "memory: a step is larger than what a check keeps": row(
        "call",
        "assert_activations: a step of net is ",
        " kB, over the ini option parity_memory (100 B), so it was judged as it streamed by and is gone. Declare the tolerance",
        "watch(..., tolerances={'activation': (0.001, 0.001)}), or raise the ini option parity_memory",
        arguments=("-o", "parity_memory=100"),
    ),
}
"""Each row that fails, with what it says."""

PASSING = {
    "large differences: seed": row("", " sites compared in steps 0-1: ", arguments=("-o", "parity_seed=7")),
    "large differences: data loaders": row("loader", " sites compared in steps 0-1: "),
    "tolerances: rounding": row("rounding", "nearest to its bound of 10 noise floors: "),
    "tolerances: zeros would pass": row("vacuous", "vacuous, zeros would have passed there: "),
    "more precision: float64 where that is allowed": row("float64 allowed", "15 of 15"),
}
"""Each row that no longer matters: a check takes the golden's own seed and batches, and its noise floors decide."""

RECORDING = ("net: recorded *", "sites in steps 0-1, * kB, to *", "*noise floor from 3 draws: *")
"""What a recording says."""

ELSEWHERE = (
    "cli/test_compare_choice.py",
    "golden/test_golden_full_disk.py",
    "lightning/test_lightning_ranks.py",
    "script/test_script_check.py",
)
"""The tests of the rows that are about a script, a command, a disk or several processes."""

Try = Callable[[Row], pytest.RunResult]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one golden is kept."""
    return tmp_path_factory.mktemp("troubleshooting")


@pytest.fixture
def project(pytester: pytest.Pytester, kept: Path) -> pytest.Pytester:
    """The training with its golden."""
    pytester.makeini("[pytest]\nparity_config = conf.yaml")
    (pytester.path / "conf.yaml").write_text("eps: 0.00001\n", encoding="utf-8")
    pytester.makepyfile(test_net=TRAINING)
    if not (kept / "golden").is_dir():
        recorded = pytester.runpytest("--parity-record")
        recorded.stdout.fnmatch_lines([" ".join(RECORDING[:2]), RECORDING[2]])
        shutil.copytree(pytester.path / "golden", kept / "golden")
    else:
        shutil.copytree(kept / "golden", pytester.path / "golden")
    return pytester


@pytest.fixture
def tried(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Try:
    """Run a candidate with its fault."""

    def run(row: Row) -> pytest.RunResult:
        monkeypatch.setenv("FAULT", row.fault)
        return project.runpytest("-p", "no:cacheprovider", *row.arguments)

    return run


def missing(said: str, pieces: tuple[str, ...]) -> str:
    """The first piece that is not in what was said, behind the one before."""
    place = 0
    for piece in pieces:
        place = said.find(piece, place)
        if place < 0:
            return piece
    return ""


@pytest.mark.parametrize("name", FAILING)
def test_the_tool_says_it(tried: Try, name: str):
    result = tried(FAILING[name])
    assert result.ret != 0
    said = "\n".join([*result.outlines, *result.errlines])
    assert not missing(said, FAILING[name].says), said


@pytest.mark.parametrize("name", PASSING)
def test_the_cause_is_none(tried: Try, name: str):
    result = tried(PASSING[name])
    assert result.parseoutcomes() == {"passed": 1}
    assert not missing(result.stdout.str(), PASSING[name].says)


def test_the_candidate_without_a_fault_is_given_no_hint(tried: Try):
    result = tried(row(""))
    assert result.parseoutcomes() == {"passed": 1}
    for name, one in FAILING.items():
        assert missing(result.stdout.str(), one.says), name


# the page


def quoted() -> list[str]:
    """The messages of the page's tables, in pieces."""
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [piece for cells in rows for piece in re.findall("`([^`]+)`", cells[1]) if " " in piece]


def test_the_page_quotes_what_is_tested():
    tested = [piece for one in (*FAILING.values(), *PASSING.values()) for piece in one.says]
    tested += [*RECORDING, *((TESTS / name).read_text(encoding="utf-8") for name in ELSEWHERE)]
    assert len(quoted()) > len(FAILING)
    assert [piece for piece in quoted() if not any(piece in text for text in tested)] == []


def test_every_row_is_on_the_page():
    page = quoted()
    silent = {
        "large differences: seed",
        "large differences: data loaders",
        "more precision: float64 where that is allowed",
    }
    rows = {**FAILING, **PASSING}
    unsaid = [name for name, one in rows.items() if not any(piece in said for said in one.says for piece in page)]
    assert set(unsaid) == silent
