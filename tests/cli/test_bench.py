"""`sandglass bench`: the real command, short, and what it writes."""

import json
from pathlib import Path

from orchestrator.bench.gate import committed_report
from orchestrator.bench.picture import BEGIN, END
from tests.cli.support import Cli


def test_a_short_run_reports_what_it_measured(cli: Cli, tmp_path: Path) -> None:
    """Ratios, samples and what could not be measured; the table goes between the marks of a document."""
    document = tmp_path / "notes.md"
    document.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    scenarios = ["--only", "print", "--only", "output", "--only", "memory"]
    done = cli("bench", "--runs", "3", *scenarios, "--json", "--markdown", document)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {each["scenario"] for each in found["samples"]} == {"print(1)", "output of 50 MB"}
    assert {"Sandglass cold", "Sandglass warm", "docker run"} <= {each["name"] for each in found["samples"]}
    assert all(each["n"] == 3 for each in found["samples"])
    assert found["not_measured"] == []
    named = {(each["scenario"], each["name"]) for each in found["ratios"]}
    assert len(named) == 4
    assert named <= {(each.scenario, each.name) for each in committed_report().ratios}, (
        "the gate would miss it"
    )
    assert {"measured", "cores", "memory", "kernel", "engine", "runtime", "python"} <= found["machine"].keys()
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| ratio")
    assert text.endswith(f"{END}\nafter\n")
    assert "stale" not in text
    assert "measuring print(1)" in done.stderr


def test_an_unknown_scenario_is_refused_with_the_known_ones(cli: Cli) -> None:
    """Before anything is measured."""
    done = cli("bench", "--only", "prnt")
    assert done.returncode == 2
    assert "choose among print, science" in done.stderr
