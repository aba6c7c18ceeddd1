"""The same conversation in a terminal: what is shown, typed, pasted, stopped and ended there."""

import asyncio
import base64
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot import terminal
from bot.chat import Chat
from bot.screen import finished, open_console
from bot.services import open_services
from bot.settings import BotSettings
from orchestrator import Settings, open_orchestrator
from tests.discord.model import LocalModel, call, say


def talking_to(model: LocalModel) -> dict[str, str]:
    """Settings of the bot."""
    return {
        "openai_api_key": model.api_key,
        "openai_base_url": model.base_url,
        "openai_model": "local-large",
    }


async def chatted(
    settings: BotSettings, data_dir: Path, *lines: str, pictures: terminal.Protocol | None = None
) -> str:
    """What a terminal shows for these inputs."""
    ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
    shown = io.StringIO()
    console = open_console(shown, width=200)
    async with (
        open_orchestrator(ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        chat = Chat(services, console, pictures=pictures)
        for line in lines:
            assert await chat.say(line)
        assert not await chat.say("/quit")
    return shown.getvalue()


async def test_the_terminal_runs_code_without_any_model(data_dir: Path, tmp_path: Path) -> None:
    """/run, a fenced block, /upload, /files and /save."""
    source = tmp_path / "in.txt"
    source.write_text("stored")
    target = tmp_path / "out.txt"
    settings = await asyncio.to_thread(BotSettings.load)
    shown = await chatted(
        settings,
        data_dir,
        f"/upload {source}",
        "/run print(load_file('in.txt'), 6 * 7)",
        "```python\nopen('made.csv', 'w').write('1')\n```",
        "/files",
        f"/save in.txt {target}",
        "what is love?",
    )
    assert "stored 42" in shown
    assert "made.csv" in shown
    assert "No model is configured" in shown
    assert target.read_text() == "stored"


async def test_the_terminal_talks_to_a_model(model: LocalModel, data_dir: Path) -> None:
    """The same loop and the same memory as in Discord."""
    settings = await asyncio.to_thread(BotSettings.load, **talking_to(model))
    model.script([call("execute_python", {"code": "print(7 * 8)"}), say("It is **56**."), say("As I said.")])
    shown = await chatted(settings, data_dir, "seven times eight?", "again?")
    assert "56" in shown
    assert "As I said." in shown
    assert "seven times eight?" in model.requests[-1].everything


PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])"


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x"}, None),
        ({"TERM": "dumb"}, None),
        ({"TERM": "xterm-256color"}, None),
    ],
)
def test_a_terminal_says_whether_it_shows_pictures(
    environment: dict[str, str], protocol: terminal.Protocol | None
) -> None:
    """By what it sets; where nothing is known, no escape is sent."""
    assert terminal.protocol_of(environment) == protocol


@pytest.mark.parametrize("protocol", ["kitty", "iterm", None])
async def test_the_terminal_shows_a_plot_where_it_can(
    data_dir: Path, tmp_path: Path, protocol: terminal.Protocol | None
) -> None:
    """The bytes of the very file, in the terminal's own form; elsewhere its name and how to get it."""
    settings = await asyncio.to_thread(BotSettings.load)
    target = tmp_path / "plot.png"
    shown = await chatted(
        settings, data_dir, f"/run {PLOT}", f"/save figure_1.png {target}", pictures=protocol
    )
    assert "figure_1.png · image" in shown
    assert "/save NAME" in shown
    pieces = {
        "kitty": re.findall(r"\x1b_G[^;]*;([A-Za-z0-9+/=]+)\x1b", shown),
        "iterm": re.findall(r"\x1b]1337;File=[^:]*:([A-Za-z0-9+/=]+)\x07", shown),
        None: [],
    }[protocol]
    drawn = base64.b64decode("".join(pieces))
    assert drawn == (target.read_bytes() if protocol else b"")
    assert ("\x1b_G" in shown or "\x1b]" in shown) == bool(protocol)


async def test_the_terminal_uploads_by_path(data_dir: Path, tmp_path: Path) -> None:
    """Several at once, with spaces, quoted as a terminal quotes what is dropped on it."""
    for name in ("a b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    settings = await asyncio.to_thread(BotSettings.load)
    line = f"/upload '{tmp_path}/a b.txt' {tmp_path}/c.txt {tmp_path}/none.txt"
    shown = await chatted(settings, data_dir, line, "/files")
    assert "a b.txt is stored as" in shown
    assert "c.txt is stored as" in shown
    assert "none.txt is no file" in shown


async def test_names_have_no_power_either(data_dir: Path) -> None:
    """Of files that a program makes and of paths that were typed; no markup and no emoji codes in them."""
    settings = await asyncio.to_thread(BotSettings.load)
    code = "open('a\\x1b[31m[bold]:100:.txt', 'w').write('1')"
    shown = await chatted(settings, data_dir, f"/run {code}", "/files", "/upload \x1b[3m", "/save \x1b[3m")
    assert "\x1b" not in shown
    assert shown.count("[bold]_100_.txt") >= 2
    assert "[3m is no file" in shown


@given(st.text(alphabet="ab`~-*#>|:=_[]()<! \t\n1.", max_size=60), st.integers(0, 60))
def test_what_is_finished_does_not_change(text: str, cut: int) -> None:
    """Whatever follows, the blocks that were left on the screen are those of the whole text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("reference")
    done = finished(text[:cut])
    alone = [(each.type, each.map, each.content) for each in parser.parse(text[:done])]
    assert [(each.type, each.map, each.content) for each in parser.parse(text)][: len(alone)] == alone


async def test_what_cannot_be_read_or_written_is_said_in_a_sentence(data_dir: Path, tmp_path: Path) -> None:
    """No such user, a word too long for a name, a file that gives no bytes, one that is there already."""
    (tmp_path / "a.txt").write_text("a")
    settings = await asyncio.to_thread(BotSettings.load)
    lines = {
        "/upload ~nosuchuser/x": "~nosuchuser/x is no file",
        f"/upload {'w' * 300}": "is no file",
        "/upload /proc/self/mem": "/proc/self/mem cannot be read (",
        "/upload": "Write a path after /upload",
        f"/upload {tmp_path}/a.txt": "a.txt is stored as",
        "/save a.txt ~nosuch/f": "~nosuch/f is no path",
        f"/save a.txt {tmp_path}/a.txt": "a.txt is there already",
        f"/save a.txt {tmp_path}/none/b.txt": "cannot be written (No such file",
        f"/save a.txt {tmp_path}/{'w' * 300}": "cannot be written (File name too long",
        "/save": "Write the name of a stored file",
        "/save none.txt": "File not found or expired: 'none.txt'",
    }
    for line, sentence in lines.items():
        shown = await chatted(settings, data_dir, line)
        assert sentence in " ".join(shown.split()), line
        assert shown.count("\n") <= 3


async def test_names_with_blanks_are_found(data_dir: Path, tmp_path: Path) -> None:
    """As they are and quoted, with a path behind them, a directory too, and without one."""
    (tmp_path / "Q3 report.csv").write_text("1")
    (tmp_path / "into").mkdir()
    settings = await asyncio.to_thread(BotSettings.load)
    await chatted(
        settings,
        data_dir,
        f"/upload {tmp_path}/Q3\\ report.csv",
        f"/save Q3 report.csv {tmp_path}/plain.csv",
        f"/save 'Q3 report.csv' '{tmp_path}/with blank.csv'",
        f'/save "Q3 report.csv" {tmp_path}/into',
    )
    for path in ("plain.csv", "with blank.csv", "into/Q3 report.csv"):
        assert (tmp_path / path).read_text() == "1"


async def test_a_defect_of_ours_does_not_end_the_conversation(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and in the log where it happened."""
    monkeypatch.setattr(terminal, "words", lambda text: text.no_such_thing)
    settings = await asyncio.to_thread(BotSettings.load)
    assert "Something went wrong on our side" in await chatted(settings, data_dir, "/upload x")
    assert "AttributeError" in "".join(capsys.readouterr())
