"""Noise floors under pytest: the test runs again, and nothing that outlives it makes the draws differ."""

from __future__ import annotations

import pytest

from pytest_parity import Golden

MODEL = """
    import itertools
    import os
    import random

    import numpy
    import pytest
    import torch
    from torch import nn

    WRONG = 1.0001 if "BREAK" in os.environ else 1.0

    class Halves(nn.Linear):
        def forward(self, x):
            return (x[..., ::2] @ self.weight[:, ::2].T + self.bias) + x[..., 1::2] @ self.weight[:, 1::2].T

    LINEAR = Halves if "REWRITE" in os.environ else nn.Linear

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = LINEAR(8, 16), nn.LayerNorm(16), LINEAR(16, 4)

        def forward(self, x):
            return self.last((self.norm(self.first(x)) * WRONG).tanh())

    def train(parity, model, optimizer, batches, **options):
        with parity.watch(model, optimizer=optimizer, **options) as run:
            for x in run.steps(batches):
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                optimizer.step()
                parity.assert_step(loss=loss)
"""

STORIES = {
    "module_scoped_model": """
    @pytest.fixture(scope="module")
    def trained():
        torch.manual_seed(0)
        model = Net()
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    def test_first(parity, trained):
        train(parity, *trained, [torch.randn(4, 8) for _ in range(2)])

    def test_second_goes_on_with_it(parity, trained):
        train(parity, *trained, [torch.randn(4, 8) for _ in range(2)])
""",
    "class_scoped_loader": """
    class TestNet:
        seen = 0
        pool = itertools.count(1)

        @pytest.fixture(scope="class")
        @classmethod
        def loader(cls):
            torch.manual_seed(1)
            return [torch.randn(4, 8) for _ in range(2)]

        @pytest.fixture
        def also(self):
            return torch.randn(4)

        def test_net(self, also, parity, loader):
            parity.assert_close("also", also)
            type(self).seen += 1
            scale = self.seen + next(self.pool)
            x = [scale * one + torch.randn(4, 8) for one in loader]
            loader.append(torch.randn(4, 8))
            model = parity.load(Net())
            train(parity, model, torch.optim.AdamW(model.parameters()), x)
            parity.assert_close("scale", float(scale))
            parity.assert_close("length", len(loader))
            parity.assert_close("noise", torch.randn(3) + random.random() + numpy.random.rand())
""",
    "module_globals": """
    counter, log = itertools.count(), []

    @pytest.fixture(autouse=True)
    def _drawing():
        torch.manual_seed(next(counter))
        log.append(torch.rand(()))

    def test_net(parity):
        model = parity.load(Net())
        train(parity, model, torch.optim.SGD(model.parameters(), lr=0.1), [torch.randn(4, 8)])
        parity.assert_close("log", log)
""",
    "accumulated": """
    def test_net(parity):
        model = parity.load(Net())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        with parity.watch(model, optimizer=optimizer) as run:
            for pieces in run.steps(torch.randn(2, 4, 3, 8)):
                optimizer.zero_grad()
                for piece in pieces:
                    (model(piece).square().mean() / 4).backward()
                optimizer.step()
""",
    "two_optimizers": """
    def test_net(parity):
        model = parity.load(Net())
        first = torch.optim.AdamW(model.first.parameters(), lr=1e-2)
        second = torch.optim.SGD([*model.norm.parameters(), *model.last.parameters()], lr=0.1, momentum=0.9)
        with parity.watch(model, optimizer=[first, second]) as run:
            for x in run.steps(torch.randn(3, 4, 8)):
                model.zero_grad()
                model(x).square().mean().backward()
                first.step()
                second.step()
""",
    "lbfgs": """
    def test_net(parity):
        model = parity.load(Net())
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps(torch.randn(2, 4, 8)):
                def closure():
                    optimizer.zero_grad()
                    loss = model(x).square().mean()
                    loss.backward()
                    return loss
                optimizer.step(closure)
""",
    "ties": """
    class Quantizer(nn.Module):
        def __init__(self):
            super().__init__()
            codes = torch.randn(64, 4)
            self.register_buffer("codes", torch.cat([codes, codes, codes.flip(0)]))
            self.project = nn.Linear(8, 4, bias=False)

        def forward(self, x):
            return (self.project(x)[:, None] - self.codes).square().sum(-1).argmin(-1)

    def test_net(parity):
        net = nn.ModuleDict({"quantizer": Quantizer(), "net": Net(), "head": nn.Embedding(192, 4)})
        parity.load(net)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        with parity.watch(net, optimizer=optimizer) as run:
            for x in run.steps(torch.randn(2, 4, 8)):
                optimizer.zero_grad()
                (net["net"](x) - net["head"](net["quantizer"](x))).square().mean().backward()
                optimizer.step()
""",
}


@pytest.mark.parametrize(
    ("story", "workers"), [*((story, ()) for story in STORIES), ("class_scoped_loader", ("-n", "2"))]
)
def test_it_has_floors_and_a_rewrite_passes_and_a_fault_fails(
    story: str, workers: tuple[str, ...], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    def run(*args: str) -> pytest.RunResult:
        return pytester.runpytest(*args, *workers)

    pytester.makepyfile(test_one=MODEL + STORIES[story])
    result = run("--parity-record")
    assert result.ret == 0
    cases = 2 if story == "module_scoped_model" else 1
    told = [
        line for line in result.outlines if line.startswith("  noise floor from 3 draws: 4 further runs of the test")
    ]
    assert len(told) == cases, result.stdout.str()
    assert "unstable" not in result.stdout.str()

    assert run().ret == 0
    monkeypatch.setenv("REWRITE", "1")
    result = run()
    assert result.parseoutcomes() == {"passed": cases}, result.stdout.str()
    result.stdout.fnmatch_lines(["*nearest to its bound of 10 noise floors: *"])

    monkeypatch.setenv("BREAK", "1")
    result = run()
    assert result.parseoutcomes() == {"failed": cases}
    result.stdout.fnmatch_lines(
        ["*what it hands to *last is the first site that differs, after activation/*norm#0 agreed"]
    )


def test_what_later_tests_find_is_what_one_run_leaves(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=MODEL
        + STORIES["module_scoped_model"]
        + """
    def test_left(trained):
        model, optimizer = trained
        print("LEFT", [p.double().sum().item().hex() for p in model.parameters()], torch.rand(()).item().hex())
        print("HELD", all(p is q for p, q in zip(model.parameters(), optimizer.param_groups[0]["params"])))
        print("STEPS", {state["step"].item() for state in optimizer.state.values()})
"""
    )
    found = [
        [
            line
            for line in pytester.runpytest("-s", "--parity-record", *args).outlines
            if "LEFT" in line or "HELD" in line
        ]
        for args in (("--parity-noise", "0"), ())
    ]
    assert len(found[0]) == 2
    assert found[0] == found[1]
    assert "HELD True" in found[0][1]


NOT_TWICE = """
    def another():  # what no fixture, class or module holds
        os.environ["RUNS"] = str(int(os.environ["RUNS"]) + 1)
        return 1 + 1e-6 * int(os.environ["RUNS"])

    def test_net(parity):
        model = parity.load(Net())
        model.norm.register_forward_hook(lambda _m, _a, out: out * another())
        train(parity, model, torch.optim.SGD(model.parameters(), lr=0.1), [torch.randn(4, 8)], **OPTIONS)
"""


@pytest.mark.parametrize("options", ["{}", "{'tolerances': {'activation': (1.0, 1.0)}}"])
def test_a_test_that_does_not_give_the_same_twice_is_refused_a_floor_and_the_site_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: str
):
    monkeypatch.setenv("RUNS", "0")
    pytester.makepyfile(test_one=MODEL + f"    OPTIONS = {options}\n" + NOT_TWICE)
    result = pytester.runpytest("--parity-record")
    assert result.parseoutcomes() == {"recorded": 1}
    result.stdout.fnmatch_lines(
        ["  no noise floor: run again, unchanged, the test does not give the same: activation/norm#0 of step 0 is *"]
    )
    with Golden.find(pytester.path / "golden", "test_one/test_net") as golden:
        assert golden.noise is None


HOOKS = """
    import random
    import numpy

    def pytest_runtest_setup(item):
        random.seed(7)

    def pytest_runtest_call(item):
        numpy.random.seed(3)
"""


def test_a_test_that_hooks_seed_has_a_floor(pytester: pytest.Pytester):
    """As plugins do that seed before every set-up and every call: the further runs of a test call no hook of its own."""
    pytester.makeconftest(HOOKS)
    pytester.makepyfile(
        test_one=MODEL
        + """
    @pytest.fixture
    def scale():
        return random.random()

    def test_net(scale, parity):
        model = parity.load(Net())
        x = torch.tensor(numpy.random.rand(4, 8)).float() * scale
        train(parity, model, torch.optim.SGD(model.parameters(), lr=0.1), [x])
"""
    )
    pytester.runpytest("--parity-record").stdout.fnmatch_lines(["  noise floor from 3 draws: *"])


def test_what_a_test_keeps_in_itself_and_in_a_base_class_elsewhere_is_put_back(pytester: pytest.Pytester):
    pytester.makepyfile(helper="class Base:\n    seen = 0\n")
    pytester.makepyfile(
        test_one="    import helper\n"
        + MODEL
        + """
    class TestNet(helper.Base):
        def setup_method(self):
            self.times = getattr(self, "times", 0) + 1

        def test_net(self, parity):
            helper.Base.seen += 1
            model = parity.load(Net())
            train(parity, model, torch.optim.SGD(model.parameters(), lr=0.1), [torch.randn(4, 8)])
            parity.assert_close("seen", [self.seen, self.times])

    def test_left():
        assert helper.Base.seen == 1
"""
    )
    result = pytester.runpytest("--parity-record")
    assert result.parseoutcomes() == {"recorded": 1, "passed": 1}
    result.stdout.fnmatch_lines(["  noise floor from 3 draws: *"])


def test_what_setup_class_makes_is_there_in_each_run_and_each_is_torn_down_in_its_own_state(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=MODEL
        + """
    class TestNet:
        @classmethod
        def setup_class(cls):
            cls.net, cls.open = Net(), 0

        def setup_method(self):
            type(self).open += 1

        def teardown_method(self):
            type(self).open -= 1
            assert self.open == 0

        def test_net(self, parity):
            train(parity, self.net, torch.optim.SGD(self.net.parameters(), lr=0.1), [torch.randn(4, 8) * self.open])

        def test_left(self):
            assert self.open == 1
    """
    )
    result = pytester.runpytest("--parity-record")
    assert result.parseoutcomes() == {"recorded": 1, "passed": 1}
    result.stdout.fnmatch_lines(["  noise floor from 3 draws: *"])


def test_an_optimizer_of_one_fixture_holds_the_model_of_another_and_gradients_that_were_left_are_there(
    pytester: pytest.Pytester,
):
    pytester.makepyfile(
        test_one=MODEL
        + """
    @pytest.fixture(scope="module")
    def net():
        return Net()

    @pytest.fixture(scope="class")
    def optimizer(net):
        return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def adding(parity, net, optimizer):
        with parity.watch(net, optimizer=optimizer) as run:
            for x in run.steps(torch.randn(2, 4, 8)):
                net(x).square().mean().backward()
                optimizer.step()

    class TestNet:
        def test_first(self, parity, net, optimizer):
            adding(parity, net, optimizer)

        def test_second(self, parity, net, optimizer):
            adding(parity, net, optimizer)
    """
    )
    result = pytester.runpytest("--parity-record")
    assert result.parseoutcomes() == {"recorded": 2}
    result.stdout.fnmatch_lines(["  noise floor from 3 draws: *"] * 2)


def test_a_test_that_asks_for_the_fixture_in_its_body_gets_no_floor_and_is_told(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=MODEL
        + """
    def test_net(request):
        request.getfixturevalue("parity").assert_close("x", torch.randn(3))
    """
    )
    result = pytester.runpytest("--parity-record")
    assert result.parseoutcomes() == {"recorded": 1}
    result.stdout.fnmatch_lines(["  no noise floor: *request.getfixturevalue*"])


def test_what_a_test_says_of_itself_is_said_once(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=MODEL
        + """
    import warnings

    def test_net(parity, record_property):
        warnings.warn("it is late")
        record_property("size", 3)
        parity.assert_close("y", 2.5 * parity.input("x", lambda: torch.randn(3)))
    """
    )
    result = pytester.runpytest("--parity-record", "--junit-xml=junit.xml", "-o", "junit_family=xunit1", "-Wdefault")
    assert result.parseoutcomes() == {"recorded": 1, "warnings": 1}
    result.stdout.fnmatch_lines(["  noise floor from 3 draws: *"])
    assert (pytester.path / "junit.xml").read_text(encoding="utf-8").count('<property name="size"') == 1


def test_when_a_test_has_ended_nothing_holds_its_model(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=MODEL
        + """
    import gc, weakref
    models = []

    def test_net(parity):
        net = Net()
        models.append(weakref.ref(net))
        train(parity, net, torch.optim.SGD(net.parameters(), lr=0.1), [torch.randn(4, 8)])

    def test_later():
        gc.collect()
        assert models and not any(model() for model in models)
    """
    )
    assert pytester.runpytest("--parity-record").parseoutcomes() == {"recorded": 1, "passed": 1}


@pytest.mark.parametrize("stop", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_a_session_that_is_stopped_in_a_draw_stops_and_writes_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, stop: str
):
    monkeypatch.setenv("RUNS", "0")
    pytester.makepyfile(
        test_one=MODEL
        + f"""
    def test_net(parity):
        os.environ["RUNS"] = str(int(os.environ["RUNS"]) + 1)
        if os.environ["RUNS"] == "3":
            {stop}
        parity.assert_close("y", 2.5 * parity.input("x", lambda: torch.randn(3)))

    def test_next(parity):
        parity.assert_close("x", torch.randn(3))
    """
    )
    result = pytester.runpytest_inprocess("--parity-record", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not [path for path in (pytester.path / "golden").rglob("*") if path.is_file()]


def test_a_fixture_that_fails_as_it_is_torn_down_is_an_error_of_the_tear_down_and_the_recording_is_there(
    pytester: pytest.Pytester,
):
    pytester.makepyfile(
        test_one=MODEL
        + """
    @pytest.fixture
    def wrong():
        yield
        raise OSError("no disk")

    def test_net(parity, wrong):
        parity.assert_close("x", torch.randn(3))
"""
    )
    for args in (("--parity-noise", "0"), ()):
        result = pytester.runpytest("--parity-record", *args)
        assert result.parseoutcomes() == {"recorded": 1, "errors": 1}
    result.stdout.fnmatch_lines(["  no noise floor: run again, unchanged, it raises OSError: no disk. Checks *"])


def test_the_number_of_draws_is_an_option(pytester: pytest.Pytester):
    pytester.makepyfile(test_one=MODEL + STORIES["accumulated"])
    result = pytester.runpytest("--parity-record", "--parity-noise", "1")
    few = "from so few draws a loss, *, has a floor of 100,000 times what it moved (of 10 times from 3)"
    result.stdout.fnmatch_lines([f"  noise floor from 1 draw: 2 further runs *; {few}"])
    assert pytester.runpytest("--parity-record", "--parity-noise", "0").ret == 0
    with Golden.find(pytester.path / "golden", "test_one/test_net") as golden:
        assert golden.noise is None


@pytest.mark.parametrize("value", ["-1", "three", "1.5"])
def test_a_number_of_draws_that_is_none_is_an_error(pytester: pytest.Pytester, value: str):
    pytester.makepyfile(test_one=MODEL + STORIES["accumulated"])
    result = pytester.runpytest("--parity-record", "--parity-noise", value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--parity-noise*{value}*"])
    assert not (pytester.path / "golden").exists()


def test_a_test_of_unittest_gets_no_floor_and_is_told(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=MODEL
        + """
    import unittest

    class TestOld(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def _parity(self, parity):
            self.parity = parity

        def test_old(self):
            self.parity.assert_close("x", torch.randn(3))
"""
    )
    result = pytester.runpytest("--parity-record")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  no noise floor: *unittest*"])
    assert pytester.runpytest().ret == 0
