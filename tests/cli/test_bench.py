"""`sandglass bench`: the real command, short, and what it writes."""

import json
from pathlib import Path

from orchestrator.bench.picture import BEGIN, END
from tests.cli.support import Cli


def test_a_short_run_reports_what_it_measured(cli: Cli, tmp_path: Path) -> None:
    """Ratios, samples and what could not be measured; the table goes between the marks of a document."""
    document = tmp_path / "notes.md"
    document.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    done = cli("bench", "--runs", "3", "--only", "print", "--json", "--markdown", document)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {each["scenario"] for each in found["samples"]} == {"print(1)"}
    assert {"Sandglass cold", "docker run"} <= {each["name"] for each in found["samples"]}
    assert all(each["n"] == 3 for each in found["samples"])
    warm = [each for each in found["samples"] if each["name"] == "Sandglass warm"]
    missing = [each for each in found["not_measured"] if each["name"] == "Sandglass warm"]
    assert len(warm) + len(missing) == 1, "a figure or a reason, never both and never neither"
    assert {"measured", "cores", "memory", "kernel", "engine", "runtime", "python", "image"} <= found[
        "machine"
    ].keys()
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
