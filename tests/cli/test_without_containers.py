"""The commands that need no container, over a real data directory: what programs are given to read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.__main__ import _main

__import__("orchestrator.app")  # before any event loop runs: a first import asks for the directory

type Ask = Callable[..., Any]


@pytest.fixture
def ask(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Call a command in this process with `--json`; what it printed, parsed."""
    monkeypatch.setenv("SANDGLASS_DATA_DIR", str(data_dir))

    def call(*arguments: str, code: int = 0) -> Any:
        returned = _main([*arguments, "--json"])
        shown = capsys.readouterr()
        assert returned == code, shown.err
        return json.loads(shown.err if code else shown.out)

    return call


def test_an_empty_installation_answers_everything(ask: Ask) -> None:
    """Nothing stored, nothing run, nobody there: every list is empty and no command fails."""
    assert ask("files", "ls") == []
    assert ask("executions", "ls") == []
    assert ask("users", "ls") == []
    assert ask("stats") == []
    assert ask("ps") == {"sandboxes": [], "queue": []}


def test_what_is_not_there_is_refused_alike(ask: Ask) -> None:
    """An unknown file, execution or user is one object on stderr with exit code 2."""
    for arguments in (
        ("files", "get", "none"),
        ("files", "rm", "none"),
        ("files", "extend", "none"),
        ("executions", "show", "none"),
        ("inspect", "none"),
        ("logs", "none"),
        ("kill", "none"),
        ("users", "show", "nobody"),
    ):
        refused = ask(*arguments, code=2)
        assert refused["exit_code"] == 2, arguments
        assert refused["error"].endswith("."), arguments


def test_upkeep_reports_are_figures(ask: Ask) -> None:
    """Sweep and reap give the same names in a dry run as in earnest."""
    for command in ("sweep", "reap"):
        dry, earnest = ask(command, "--dry-run"), ask(command)
        assert dry.keys() == earnest.keys()
        assert (dry["dry_run"], earnest["dry_run"]) == (True, False)


def test_the_image_is_listed_with_what_is_in_it(ask: Ask) -> None:
    """Digest, contract and every package by name and version."""
    info = ask("image", "ls")
    assert info["digest"].startswith("sha256:")
    names = [package["name"] for package in info["packages"]]
    assert len(set(names)) == len(names)
    assert all(package["version"] for package in info["packages"])
