"""Every error is one sentence with a remedy and one exit code, wherever in the code it is raised."""

import ast
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

import bot
import orchestrator
from bot.model.port import ModelError
from bot.settings import SetupError
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
    "WorkspaceFull": 2,
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


ROOT = PACKAGE.parent
BY_CONTRACT = {"FileNotFoundOrExpired"}
"""Its sentence is fixed, for it is what `load_file` says inside the sandbox: it lists what there is."""
FOR_MODELS = {"BadArgumentsError"}
"""What a model is told of its own call; no person reads it."""
VERBS = (
    "ask|build|check|choose|correct|delete|encode|end|free|give|install|make|move|name|open|overwrite|please"
    "|put|raise|rebuild|report|restore|run|save|say|see|send|set|split|start|switch|take|try|use|wait"
)
REMEDY = re.compile(rf"(?:(?:{VERBS})\b|`\w|this is a defect[,:] (?:please )?report)", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """What a person reads, each value as `{}`, and where it is made."""

    where: str
    error: str
    text: str

    def __str__(self) -> str:
        return f"{self.where} {self.error}: {self.text}"


def _classes() -> set[str]:
    """Every class whose text a person can meet: ours, with all that derive from them, and the bot's."""
    for package in (orchestrator, bot):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = set[str]()
    unseen: list[type[Exception]] = [tree.SandglassError, SetupError, ModelError]
    while unseen:
        one = unseen.pop()
        found.add(one.__name__)
        unseen += [each for each in one.__subclasses__() if not each.__module__.startswith("tests.")]
    return found - BY_CONTRACT


class _Module:
    """One file, and the sentences that it can make."""

    def __init__(self, path: Path) -> None:
        self._where = str(path.relative_to(ROOT))
        self._tree = ast.parse(path.read_text())

    def sentences(self, classes: set[str]) -> Iterator[Sentence]:
        """Of every error that is made here, whether it is raised at once or handed out."""
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name in classes:
                where = f"{self._where}:{node.lineno}"
                assert node.args, f"{where} makes a {name} without a sentence"
                for text in self._texts(node.args[0]):
                    yield Sentence(where, str(name), text)

    def _texts(self, node: ast.expr) -> list[str]:  # noqa: PLR0911 - one return for each form
        """All that an expression can be; an error where that cannot be read from the file."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return [
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
                ]
            case ast.Call(func=ast.Name(id=function)):
                return [text for returned in self._returns(function) for text in self._texts(returned)]
            case ast.Call(func=ast.Attribute(value=ast.Name() as table, attr="get"), args=[_, default]):
                return [*self._texts(table), *self._texts(default)]
            case ast.Subscript(value=ast.Name() as table):
                return self._texts(table)
            case ast.Dict(values=values):
                return [text for value in values for text in self._texts(value)]
            case ast.Name(id=name):
                return [text for value in self._values(name) for text in self._texts(value)]
        raise AssertionError(
            f"{self._where}:{node.lineno}: {ast.unparse(node)} is no sentence that can be read"
        )

    def _returns(self, function: str) -> list[ast.expr]:
        (made,) = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        return [node.value for node in ast.walk(made) if isinstance(node, ast.Return) and node.value]

    def _values(self, name: str) -> list[ast.expr]:
        found = [
            node.value
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ]
        assert found, f"{self._where}: nothing is known of {name}"
        return found


def _all() -> list[Sentence]:
    classes = _classes()
    paths = [path for package in ("orchestrator", "bot") for path in sorted((ROOT / package).rglob("*.py"))]
    return [sentence for path in paths for sentence in _Module(path).sentences(classes)]


SENTENCES = _all()
EACH = pytest.mark.parametrize("sentence", SENTENCES, ids=str)
"""Every sentence there is; `pytest --collect-only` on this file lists them."""


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


def test_the_list_is_long_and_from_every_room() -> None:
    """The tests below look at something, and every error of the tree is made somewhere."""
    assert len(SENTENCES) > 90
    rooms = {sentence.where.split("/")[1] for sentence in SENTENCES if sentence.where.startswith("orch")}
    assert {"cli", "domain", "engine", "lifecycle", "storage"} <= rooms
    roots = {"SandglassError", "Fault", "Refused"}
    assert {sentence.error for sentence in SENTENCES} >= TABLE.keys() - roots - BY_CONTRACT


def test_what_bears_an_errors_name_is_on_the_list() -> None:
    """A class of errors that nobody has thought of here is not overlooked."""
    known = _classes() | BY_CONTRACT | FOR_MODELS
    silent = {
        "TooManyError",
        "EndingError",
        "_WrongError",
    }  # the latter speaks half-sentences behind the name of a part
    for path in [*(ROOT / "bot").rglob("*.py"), *PACKAGE.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Fault")):
                assert node.name in known | silent, f"{path}:{node.lineno}"


@EACH
def test_a_sentence_is_one_and_whole(sentence: Sentence) -> None:
    """One line that begins as a sentence, ends as one, and is not two."""
    text = sentence.text
    assert text.endswith("."), sentence
    assert "\n" not in text
    assert text[0].isupper() or text.startswith(("{}", "`")), sentence
    assert not re.search(r"[.!?]['\")]? +[A-Z{]", text), sentence


@EACH
def test_a_sentence_ends_with_its_remedy(sentence: Sentence) -> None:
    """What follows the last colon or semicolon is what to do, or the command that says more."""
    before, _, remedy = re.sub(r"\([^)]*\)", "", sentence.text).replace("; ", ": ").rpartition(": ")
    assert before, sentence
    assert REMEDY.match(remedy), sentence


def test_a_file_that_is_not_there_says_what_is() -> None:
    """The one sentence that is fixed by contract lists the files to choose from."""
    assert str(tree.FileNotFoundOrExpired("a", ("b.csv", "c.csv"))) == (
        "File not found or expired: 'a'. Available files: b.csv, c.csv."
    )


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
