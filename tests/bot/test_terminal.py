"""The same conversation in a terminal: what is shown, typed, pasted, stopped and ended there."""

import asyncio
import base64
import io
import logging
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import docker
import pytest
import structlog
from docker.errors import APIError
from docker.models.containers import Container
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot import terminal
from bot.chat import Chat
from bot.logs import log_plainly
from bot.screen import finished, open_console
from bot.services import open_services
from bot.settings import BotSettings
from orchestrator import Settings, open_orchestrator
from tests.bot.tty import ROWS, environment, open_tty
from tests.conftest import INSTANCE_LABEL
from tests.discord.model import LocalModel, call, hang, say

SLEEP = call("execute_python", {"code": "import os\nos.execvp('sleep', ['sleep', '4242'])"})


def talking_to(model: LocalModel) -> dict[str, str]:
    """Settings of the bot."""
    return {
        "openai_api_key": model.api_key,
        "openai_base_url": model.base_url,
        "openai_model": "local-large",
    }


def variables(model: LocalModel) -> dict[str, str]:
    """The same for a process."""
    return {
        "OPENAI_API_KEY": model.api_key,
        "OPENAI_BASE_URL": model.base_url,
        "SANDGLASS_OPENAI_MODEL": "local-large",
    }


def containers(client: docker.DockerClient, data_dir: Path) -> list[Container]:
    """Those that have something of this directory mounted."""
    found = client.containers.list(all=True, filters={"label": INSTANCE_LABEL}, ignore_removed=True)
    return [each for each in found if any(str(data_dir) in str(mount) for mount in each.attrs["Mounts"])]


def sleeps(client: docker.DockerClient, data_dir: Path) -> bool:
    """Whether the program of `SLEEP` is there."""
    for each in containers(client, data_dir):
        with suppress(APIError):  # gone, or not yet started
            if any("sleep 4242" in row[-1] for row in each.top(ps_args="-o pid,args")["Processes"]):
                return True
    return False


def wait_for_sleep(client: docker.DockerClient, data_dir: Path) -> None:
    """Nobody tells of it: the engine is asked again and again."""
    until = time.monotonic() + 40
    while not sleeps(client, data_dir):
        assert time.monotonic() < until
        time.sleep(0.05)


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


LINK = "[https://bank.example](https://evil.example/x)"


async def test_foreign_words_have_no_power_over_the_terminal(model: LocalModel, data_dir: Path) -> None:
    """Neither title nor colour nor clipboard; a link shows where it leads; text that hides is not hidden."""
    evil = f"\x1b]0;owned\x07\x1b[31mred \x1b]52;c;aGk=\x07{LINK} a&#8238;b <!-- c --> :100: [d][1]\n\n[1]: http://e"
    code = "print('\\x1b]0;title\\x07', 'x[0:100:2]', '10:100:1')"
    model.script([[say(evil, pieces=30), call("execute_python", {"code": code})], say("Over.")])
    async with open_tty(data_dir, **variables(model)) as tty:
        tty.type("go\r")
        await tty.until("Over.")
        await tty.asked()
    for part in ("\x1b]", "\x07", "\x1b[31mred", "\u202e", "\x1b]8"):
        assert part not in tty.raw
    shown = " ".join(tty.text.split())
    assert "red ]52;c;aGk=https://bank.example (https://evil.example/x) ab <!-- c --> :100: [d][1]" in shown
    assert "[1]: http://e" in shown
    assert "x[0:100:2] 10:100:1" in shown


async def test_names_have_no_power_either(data_dir: Path) -> None:
    """Of files that a program makes and of paths that were typed; no markup and no emoji codes in them."""
    settings = await asyncio.to_thread(BotSettings.load)
    code = "open('a\\x1b[31m[bold]:100:.txt', 'w').write('1')"
    shown = await chatted(settings, data_dir, f"/run {code}", "/files", "/upload \x1b[3m", "/save \x1b[3m")
    assert "\x1b" not in shown
    assert shown.count("[bold]_100_.txt") >= 2
    assert "[3m is no file" in shown


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


async def test_ctrl_c_stops_what_runs_any_number_of_times(
    model: LocalModel, data_dir: Path, docker_client: docker.DockerClient
) -> None:
    """The container is dead before the prompt is back; what was said stands there once; nothing is left."""
    model.script([[say(f"Attempt number {n} begins."), SLEEP] for n in range(3)])
    async with open_tty(data_dir, **variables(model)) as tty:
        for _ in range(3):
            tty.type("sleep\r")
            await tty.until("running")
            await asyncio.to_thread(wait_for_sleep, docker_client, data_dir)
            tty.type("\x03")
            await tty.until("stopped")
            await tty.asked()
            assert not await asyncio.to_thread(sleeps, docker_client, data_dir)
        tty.type("\x03")
        await tty.until("Ctrl-D or /quit ends")
        await tty.asked()
        tty.type("\x03")
        assert await tty.ended() == 0
    assert not await asyncio.to_thread(containers, docker_client, data_dir)
    for part, times in (("Attempt number 1 begins.", 1), ("stopped", 3), ("Traceback", 0), ("^C", 0)):
        assert tty.text.count(part) == times, part


async def test_ctrl_c_while_the_model_speaks(model: LocalModel, data_dir: Path) -> None:
    """It stops, and the model is told later what it had said; at the prompt it drops what was typed."""
    model.script([[say("First half\n\nand second"), hang()], say("Understood.")])
    async with open_tty(data_dir, **variables(model)) as tty:
        tty.type("go\r")
        await tty.until("second")
        tty.type("\x03")
        await tty.until("stopped")
        await tty.asked()
        tty.type("never mind")
        await tty.until("never mind")
        tty.type("\x03")
        await tty.asked()
        await tty.ask("what was it?")
        tty.type("\x04")
        assert await tty.ended() == 0
    assert "Ctrl-D or /quit" not in tty.text
    assert "First half" in model.requests[1].everything
    assert "never mind" not in model.requests[1].everything
    assert tty.text.count("and second") == 1


async def test_what_is_typed_meanwhile_waits_for_the_prompt(model: LocalModel, data_dir: Path) -> None:
    """Unseen, so that it breaks nothing up."""
    model.script([[say("A beginning"), hang(), say(" and an end.")], say("Heard.")])
    async with open_tty(data_dir, **variables(model)) as tty:
        tty.type("go\r")
        await tty.until("A beginning")
        tty.type("next question\r")
        model.release()
        await tty.until("Heard.")
        await tty.asked()
    assert "A beginning and an end.\nyou> next question\nHeard." in tty.text
    assert tty.text.count("A beginning") == tty.text.count("next question") == 1


@pytest.mark.parametrize("how", ["SIGTERM", "hang up", "SIGTERM while it runs", "SIGTERM in a block"])
async def test_being_ended_leaves_nothing(
    model: LocalModel, data_dir: Path, docker_client: docker.DockerClient, how: str
) -> None:
    """By a signal or a closed window, at the prompt or at work."""
    model.script([SLEEP])
    async with open_tty(data_dir, **variables(model)) as tty:
        await tty.ask("/run print(1)")
        if "runs" in how:
            tty.type("sleep\r")
            await tty.until("running")
        if "block" in how:
            tty.type("```\r")
            await tty.until("...>")
        if how == "hang up":
            tty.close()
        else:
            tty.process.send_signal(signal.SIGTERM)
        assert await tty.ended() == 0
    assert not await asyncio.to_thread(containers, docker_client, data_dir)
    assert len(model.requests) == ("runs" in how)
    assert "Traceback" not in tty.text


ELSEWHERE = """
import signal, threading
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
def pass_on():
    signal.sigwait({signal.SIGUSR1})
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Thread(target=pass_on).start()
"""


async def test_a_signal_that_interrupts_no_reading_is_heard_too(data_dir: Path) -> None:
    """The system gave it to another thread, or just before the reading began."""
    async with open_tty(data_dir, ELSEWHERE) as tty:
        tty.process.send_signal(signal.SIGUSR1)
        assert await tty.ended() == 0


async def test_a_paste_is_one_question(model: LocalModel, data_dir: Path) -> None:
    """Its lines are kept, and a line may be longer than a terminal's own buffer."""
    model.script([say("Three."), say("Long.")])
    async with open_tty(data_dir, **variables(model)) as tty:
        tty.paste("one\n\ttwo\n\nthree")
        await tty.ask("")
        tty.paste("x" * 6_000)
        await tty.ask("")
        tty.type("/quit\r")
        assert await tty.ended() == 0
    assert [each.text for each in model.requests] == ["one\n\ttwo\n\nthree", "x" * 6_000]


async def test_a_paste_is_one_question_also_without_gnu_readline(model: LocalModel, data_dir: Path) -> None:
    """In libedit nobody learns where a paste ends: lines that come together belong together."""
    model.script([say("Three.")])
    before = "import readline; readline.__doc__ = 'libedit readline'"
    async with open_tty(data_dir, before, **variables(model)) as tty:
        await tty.ask("one\rtwo\rthree")
    assert [each.text for each in model.requests] == ["one\ntwo\nthree"]


async def test_lines_are_edited_and_remembered(model: LocalModel, data_dir: Path) -> None:
    """Backspace, the beginning of the line, and the line before."""
    model.script([say("One."), say("Two.")])
    async with open_tty(data_dir, **variables(model)) as tty:
        await tty.ask("orldx\x7f\x01hello w")
        await tty.ask("\x1b[A again")
    assert [each.text for each in model.requests] == ["hello world", "hello world again"]


async def test_a_pipe_gives_plain_lines(model: LocalModel, data_dir: Path) -> None:
    """Each is a question, a fenced block is one input, its end is the end; nothing but words comes out."""
    model.script([say("An **answer**.\n\nIts end."), say("Block seen.")])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot.chat"),
        env=environment(data_dir, **variables(model)),
        cwd=data_dir.parent,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(b"caf\xc3\xa9 \xff\n```\na\nb\n```\n/run print(6 * 7)")
    assert process.returncode == 0
    assert [each.text for each in model.requests] == ["café \ufffd", "```\na\nb\n```"]
    assert "An answer.\n\nIts end.\nBlock seen.\n42\nok" in output.decode()
    assert "\x1b" not in output.decode()
    assert "you>" not in output.decode()
    assert not errors


async def test_a_long_answer_scrolls_while_it_comes(model: LocalModel, data_dir: Path) -> None:
    """The newest is on the screen before the end, in a long block too; at the end all is there once."""
    words = "".join(f"\n\nParagraph {n:02} " + "has some words in it " * 8 for n in range(20))
    block = "\n\n```python\n" + "".join(f"line_{n:02}()\n" for n in range(60))
    model.script([[say(words + block, pieces=200), hang(), say("```\n\nThe end.")]])
    async with open_tty(data_dir, **variables(model)) as tty:
        tty.type("go\r")
        await tty.shows("line_59()")
        now = tty.text.splitlines()
        assert "line_59()" in "".join(now[-4:])
        assert len([line for line in now if "line_" in line]) <= ROWS
        assert "Paragraph 00" in "".join(now)
        model.release()
        await tty.asked()
        text = tty.text
    assert re.findall(r"Paragraph (\d\d)", text) == [f"{n:02}" for n in range(20)]
    assert re.findall(r"line_(\d\d)", text) == [f"{n:02}" for n in range(60)]
    assert text.index("line_59") < text.index("The end.")
    assert "it\n\nParagraph 01" in text


LINES = ("", "a", "- b", "  c", "    d", "1. e", "> f", "# g", "---", "```", "~~~", "| h | i |", "|---|---|")


@given(st.lists(st.sampled_from(LINES), max_size=12).map("\n".join), st.integers(0, 80))
def test_what_is_finished_does_not_change(text: str, cut: int) -> None:
    """Whatever follows, the blocks that were left on the screen are those of the whole text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("reference")
    done = finished(text[:cut])
    alone = [(each.type, each.map, each.content) for each in parser.parse(text[:done])]
    assert [(each.type, each.map, each.content) for each in parser.parse(text)][: len(alone)] == alone


def test_only_warnings_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """As one plain line on stderr."""
    log_plainly(logging.WARNING)
    log = structlog.get_logger("orchestrator.lifecycle.reap")
    log.info("reaped", containers=3)
    log.warning("not reaped", containers=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r'timestamp=\S+ level=warning event="not reaped" containers=1\n', shown.err)
