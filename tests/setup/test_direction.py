"""What import-linter cannot see: the code inside the image stands alone."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"orchestrator", "bot", "migrations", "tests"}
RUNNER = sorted((ROOT / "sandbox-image").rglob("*.py"))


def imported(source: str) -> set[str]:
    """Top-level names of every module that the source imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_there_is_a_runner_to_look_at() -> None:
    """An empty folder would make the next test say nothing."""
    assert ROOT / "sandbox-image" / "runner.py" in RUNNER


@pytest.mark.parametrize("path", RUNNER, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_image_imports_nothing_of_ours(path: Path) -> None:
    """The runner is read by people who trust nothing: it drags no host code into the sandbox."""
    assert not imported(path.read_text()) & OURS


def test_the_runner_starts_with_the_standard_library_alone() -> None:
    """What runs before the user's first line needs nothing that a package could have replaced."""
    top_level = {
        alias.name.partition(".")[0]
        for node in ast.parse((ROOT / "sandbox-image" / "runner.py").read_text()).body
        for alias in (node.names if isinstance(node, ast.Import) else [])
    }
    assert top_level <= sys.stdlib_module_names | {"sandglass_runner"}
