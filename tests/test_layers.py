"""A module imports only from layers below its own; imports for the type checker alone do not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_parity

PACKAGE = Path(pytest_parity.__file__).parent
LAYERS = [
    {"errors", "hookspec"},
    {"site", "result"},
    {"settings", "golden", "names", "contract", "curves", "report", "strategies"},
    {"capture", "compare"},
    {"diagnose"},
    {"session"},
    {"plugin", "lightning", "cli"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
MODULES += sorted(path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py")


def part(module: str) -> str:
    """``golden`` of ``golden/cases.py``, ``errors`` of ``errors.py``."""
    return module.partition("/")[0].removesuffix(".py")


def imports(node: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports, those inside functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (name for other in child.orelse for name in imports(other))
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{'.' * child.level}{child.module or ''}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child)


def violations(module: str, source: str) -> list[str]:
    """What a module of the package imports and should not."""
    own = part(module)
    found = []
    for name in imports(ast.parse(source)):
        first, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if first == "":
            found.append(f"{name} is relative, which hides its layer")
        elif first == "pytest_parity" and other != own and LAYER.get(other, len(LAYERS)) >= LAYER[own]:
            found.append(f"{name} is not below {own}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_layers_below(module: str):
    assert violations(module, (PACKAGE / module).read_text(encoding="utf-8")) == []


def test_every_part_of_the_package_has_its_layer():
    assert {part(module) for module in MODULES} <= LAYER.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("golden/reader.py", "from pytest_parity.compare.judge import judge"),
        ("golden/reader.py", "import pytest_parity.session"),
        ("golden/reader.py", "from pytest_parity import compare"),
        ("golden/reader.py", "from pytest_parity.names import NameMap"),
        ("capture/calls.py", "def late():\n    from pytest_parity.session.parity import Parity"),
        ("errors.py", "from pytest_parity.result import Comparison"),
        ("session/parity.py", "from pytest_parity import Golden"),
        ("session/parity.py", "from .. import plugin"),
        ("report/lines.py", "if not TYPE_CHECKED:\n    import pytest_parity.plugin"),
    ],
)
def test_an_import_from_above_is_found(module: str, source: str):
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("golden/reader.py", "from pytest_parity.golden.cases import cases\nfrom pytest_parity.site import Site"),
        ("plugin/fixtures.py", "from pytest_parity.session.parity import Parity\nimport pytest"),
        ("errors.py", "if TYPE_CHECKING:\n    from pytest_parity.result import Comparison"),
    ],
)
def test_an_import_from_below_is_not(module: str, source: str):
    assert violations(module, source) == []
