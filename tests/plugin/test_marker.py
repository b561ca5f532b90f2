from __future__ import annotations

import pytest

from .project import Run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'c', rtoll=1e-3", "has no keyword 'rtoll'; did you mean 'rtol'?; write: parity(case, [*], names*"),
        ("'c', rtol=1e-3", "*rtol=0.001 without atol; give both*"),
        ("'c', atol=1e-3", "*atol=0.001 without rtol; give both*"),
        ("'c', rtol=-1, atol=0", "*rtol=-1*"),
        ("'c', kinds=['gradients']", "*'gradients' is no kind; did you mean 'gradient'?*there are: batch, weight*"),
        ("'c', kinds='gradient'", "*kinds is a list; write: kinds=[[]'activation', 'gradient']*"),
        ("'c', rng='keyd'", "*rng='keyd'*rng is one of: keyed, global, off*"),
        ("'c', replay='mask'", "*replay is a list; write: replay=[[]'mask_processor']*"),
        ("'c', valid=3", "*valid regions are a table*"),
        ("'c', names='x'", "*a name map is a table of rules, a TOML file or a function*"),
        ("3", "*the case is its name, a string; write: @pytest.mark.parity('nest/tiny')*"),
        ("'a', 'b'", "*takes one name without a keyword, the case, and was given 2*"),
        ("'a', case='b'", "*was given the case twice*"),
        ("'../up'", "*'../up' cannot be a case*"),
    ],
)
def test_a_wrong_marker_is_an_error_of_collection(pytester: pytest.Pytester, arguments: str, message: str):
    pytester.makepyfile(test_m=f"import pytest\n@pytest.mark.parity({arguments})\ndef test_a(parity): pass")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ERROR collecting test_m.py*", f"test_m.py::test_a: *{message}"])


def test_it_is_said_once(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        test_m="""
        import pytest
        pytestmark = pytest.mark.parity(rng="keyd")
        def test_a(parity): pass
        def test_b(parity): pass
        """
    )
    result = run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["test_m.py::test_a, test_m.py::test_b: *rng='keyd'*"])
    assert result.stdout.str().count("ERROR collecting test_m.py") == 1


def test_each_keyword_comes_from_the_nearest_marker(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.parity(rtol=0.5, atol=0.25, rng="off")

        @pytest.mark.parity(rng="global")
        class TestA:
            @pytest.mark.parity("named")
            def test_a(self, parity_marker):
                case, options = parity_marker
                assert (case, options.rtol, options.atol) == ("named", 0.5, 0.25)
                assert options.rng == "global"
        """
    )
    pytester.makeconftest(
        """
        import pytest
        from pytest_parity.plugin.marker import read_marker

        @pytest.fixture
        def parity_marker(request):
            return read_marker(request.node)
        """
    )
    assert pytester.runpytest().ret == 0


def test_its_tolerance_is_used(recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "1.001")
    assert pytester.runpytest().ret == 1
    source = (pytester.path / "test_one.py").read_text()
    changed = source.replace("def test_value", "import pytest\n@pytest.mark.parity(rtol=1e-2, atol=0)\ndef test_value")
    (pytester.path / "test_one.py").write_text(changed)
    assert pytester.runpytest().ret == 0


def test_it_is_registered(pytester: pytest.Pytester):
    pytester.makepyfile("import pytest\n@pytest.mark.parity('a')\ndef test_a(): pass")
    assert pytester.runpytest("--strict-markers").ret == 0
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.parity(case, *"])
