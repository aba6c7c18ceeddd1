"""Every error is one sentence with a remedy and one exit code, wherever in the code it is raised."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
import typer

import orchestrator
from orchestrator import errors as tree
from orchestrator.cli import errors
from orchestrator.cli.__main__ import _main

PACKAGE = Path(orchestrator.__file__).parent
TABLE = {
    "SandglassError": 3,
    "Refused": 2,
    "InvalidRequest": 2,
    "FileNotFoundOrExpired": 2,
    "FileTooLarge": 2,
    "ExecutionNotFound": 2,
    "LinkNotFound": 2,
    "QueueFull": 2,
    "RateLimited": 2,
    "ConfigurationError": 2,
    "Fault": 3,
    "ServiceUnavailable": 3,
    "EngineUnavailable": 3,
    "EngineFault": 3,
    "ImageMissing": 3,
    "ImageMismatch": 3,
    "LockdownMismatch": 3,
    "HostUnsafe": 3,
    "StorageFault": 3,
    "DiskReserveReached": 3,
    "IllegalTransition": 3,
    "LeaseLost": 3,
}


def _sentence(node: ast.expr) -> str | None:
    """The words of a literal or an f-string, each value as `X`; None for what is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return None


def _raised() -> list[tuple[str, str]]:
    """Where each error of ours is made, and its sentence."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            if node.func.id in TABLE and node.func.id != "FileNotFoundOrExpired":
                sentence = _sentence(node.args[0])
                if sentence is not None and sentence != "X":
                    found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", sentence))
    return found


RAISED = _raised()
REMEDY = re.compile(
    r"\b(must|give|choose|run|try|make|restore|move|free|report|see|set|check|install|name|correct|start"
    r"|rebuild|end|wait|pass|use|ask|says|add|lower|raise|write|take|send|delete|put|save|encode|split"
    r"|forgets|cannot be|is it|is the)\b",
    re.IGNORECASE,
)
BARE = ("A standby was not ready", "The blob store X refused", "X is not a file of X")
"""What is caught on its way out, or has a remedy that depends on the value it shows."""
ACTIONABLE = [(place, sentence) for place, sentence in RAISED if not sentence.startswith(BARE)]


def test_the_table_has_every_error_there_is() -> None:
    """A new class of errors has to be given its exit code here."""
    classes = {
        name: one.exit_code
        for name, one in inspect.getmembers(tree, inspect.isclass)
        if issubclass(one, tree.SandglassError)
    }
    assert classes == TABLE


def test_an_exit_code_is_that_of_its_branch() -> None:
    """The request's own faults are 2 and ours are 3; no class says otherwise than its branch."""
    for name in TABLE.keys() - {"SandglassError"}:
        one = getattr(tree, name)
        assert issubclass(one, tree.Refused) != issubclass(one, tree.Fault), name


def test_the_search_finds_the_sentences_of_the_code() -> None:
    """The two tests below look at something: dozens of places, in every room."""
    assert len(RAISED) > 40
    assert {"cli", "engine", "storage"} <= {place.split("/", maxsplit=1)[0] for place, _ in RAISED}


@pytest.mark.parametrize(("place", "sentence"), RAISED, ids=[place for place, _ in RAISED])
def test_a_sentence_is_whole(place: str, sentence: str) -> None:
    """It ends as a sentence does, is one line, and begins as one."""
    assert sentence.endswith((".", "?", "X")), place
    assert "\n" not in sentence
    assert not sentence[0].isspace()
    assert not sentence[0].islower()


@pytest.mark.parametrize(("place", "sentence"), ACTIONABLE, ids=[place for place, _ in ACTIONABLE])
def test_a_sentence_holds_its_remedy(place: str, sentence: str) -> None:
    """It has a word that tells the reader what to do, or what to look at."""
    assert REMEDY.search(sentence), place


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_report_is_one_line_on_stderr(
    capsys: pytest.CaptureFixture[str], code: int, *, as_json: bool
) -> None:
    """The code is handed on, stdout stays clean, and the sentence cannot break the line or the terminal."""
    assert errors.report("Two\nlines\x1b[31m \u202eand more.", code, as_json=as_json) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "\x1b" not in shown.err
    assert "\u202e" not in shown.err
    if as_json:
        assert json.loads(shown.err) == {
            "error": "Two\\x0alines\\x1b[31m \\u202eand more.",
            "exit_code": code,
        }


def test_a_defect_names_its_place() -> None:
    """What nobody foresaw says what and where, for whoever has to mend it."""
    try:
        raise ZeroDivisionError("nothing")
    except ZeroDivisionError as error:
        sentence = errors.defect(error)
    assert re.search(r"ZeroDivisionError at test_error_sentences\.py:\d+ \(nothing\)", sentence)
    assert sentence.endswith("please report it.")
    assert "at " not in errors.defect(ValueError("never raised")).split("(")[0]


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_error_leaves_the_command_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Whatever a command raises ends in that class's exit code and its own words."""

    def fails(*_: object, **__: object) -> int:
        raise getattr(tree, name)("It is so: do this.")

    monkeypatch.setattr("orchestrator.cli.upkeep.status", fails)
    assert _main(["status"]) == TABLE[name]
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "It is so: do this." in shown.err


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (RuntimeError("boom"), 3, "RuntimeError"),
        (OSError(28, "No space left on device"), 3, "No space left"),
        (typer.Abort(), 2, "Interrupted"),
        (typer.BadParameter("not so"), 2, "not so"),
    ],
)
def test_whatever_else_is_raised_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: Exception,
    code: int,
    words: str,
) -> None:
    """No exception reaches a person as a traceback."""

    def fails(*_: object, **__: object) -> int:
        raise raised

    monkeypatch.setattr("orchestrator.cli.upkeep.status", fails)
    assert _main(["status", "--json"]) == code
    shown = capsys.readouterr()
    report = json.loads(shown.err)
    assert (shown.out, report["exit_code"]) == ("", code)
    assert words in report["error"]
    assert "Traceback" not in report["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["run", "--nonsense"], "--nonsense"),
        (["executions", "ls", "--limit", "0"], "--limit"),
        (["executions", "ls", "--limit", "10001"], "--limit"),
        (["executions", "ls", "--limit", "x"], "--limit"),
        (["executions", "show"], "ID"),
        (["bench", "--runs", "2"], "--runs"),
        (["files", "get"], "REF"),
        (["files", "put"], "PATH"),
        (["files", "rm"], "REF"),
        (["files", "extend", "a", "--hours", "long"], "--hours"),
        (["run", "--timeout", "soon", "-c", "1"], "--timeout"),
        (["users", "nonsense"], "nonsense"),
        (["kill"], "ID"),
        (["db", "downgrade"], "downgrade"),
    ],
)
def test_a_usage_error_is_one_sentence_that_says_where_to_look(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """It names what is wrong and the command whose help tells more; stdout has nothing."""
    assert _main(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert words in shown.err
    assert re.search(r"; see `sandglass[ a-z]* --help`\.$", shown.err.rstrip("\n"))


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (2, 2), (3, 3), (130, 1), (-2, 1)])
def test_only_four_exit_codes_leave(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], returned: int | None, code: int
) -> None:
    """Whatever a command returns is 0, 1, 2 or 3; an interruption is said to be one."""
    monkeypatch.setattr("orchestrator.cli.upkeep.status", lambda **_: returned)
    assert _main(["status"]) == code
    assert ("Interrupted" in capsys.readouterr().err) is (returned in {130, -2})
