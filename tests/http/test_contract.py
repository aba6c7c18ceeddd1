"""One suite over both: what an orchestrator in this process does, the one behind HTTP does as well."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import docker
import pytest

from orchestrator import ExecutionState, Orchestrator, Outcome, Sandglass, Stream
from orchestrator.errors import (
    ExecutionNotFound,
    FileNotFoundOrExpired,
    FileTooLarge,
    InvalidRequest,
    SandglassError,
)
from tests.e2e.support import MovableClock

FOR_EVER = (
    "open('partial.txt','w').write('kept'); print('begun', flush=True)\nimport time\nwhile 1: time.sleep(1)"
)
HOSTILE_NAMES = [
    "../../etc/passwd",
    "a/b/c.txt",
    'quo"te;x=y.csv',
    "line\r\nSet-Cookie: a=b.txt",
    "\u202egnp.exe",
    "naïve-日本語-🙂.txt",
    "%2e%2e%2fescape.txt",
    "-rf.txt",
    "?ref=other&owner=b#x",
    "x" * 400 + ".txt",
    "",
    " ",
    "..",
    "@everyone.txt",
]


async def test_a_result_is_the_same_object_with_its_files(
    sandglass: Sandglass, orchestrator: Orchestrator
) -> None:
    """Output of both streams, exit, typed files and timings; the index knows the very same result."""
    code = (
        "import sys\nopen('a.csv','w').write('x\\n1\\n')\nprint('hé')\nprint('oops', file=sys.stderr)\n"
        "sys.exit(3)"
    )
    result = await sandglass.execute_code(code, "u", execution_id="mine")
    assert (result.execution_id, result.owner, result.outcome) == ("mine", "u", Outcome.NONZERO_EXIT)
    assert (result.output, result.error, result.exit_code) == ("hé\n", "oops\n", 3)
    assert [(file.path, file.type, file.size) for file in result.generated_files] == [("a.csv", "data", 4)]
    assert result.hint
    assert result.timings.total > 0
    execution = await sandglass.get_execution("mi")
    assert execution == await orchestrator.get_execution("mine")
    assert execution.state is ExecutionState.COMPLETED
    assert execution.result == result
    assert await sandglass.list_executions("u") == [execution]
    assert await sandglass.list_executions("v") == []
    assert await sandglass.list_executions(limit=1) == [execution]


async def test_output_comes_as_it_is_printed_byte_for_byte(sandglass: Sandglass) -> None:
    """Before the program has ended; also what is no text, and a character cut in two."""
    code = (
        "import os, time\n"
        "os.write(1, b'first')\nos.write(2, b'err \\xff\\x00')\n"
        "while not os.path.exists('/workspace/stop'): time.sleep(0.05)\n"
    )
    heard: dict[Stream, bytes] = {Stream.STDOUT: b"", Stream.STDERR: b""}
    complete = asyncio.Event()

    async def hear(stream: Stream, piece: bytes) -> None:
        heard[stream] += piece
        if heard == {Stream.STDOUT: b"first", Stream.STDERR: b"err \xff\x00"}:
            complete.set()

    running = asyncio.create_task(sandglass.execute_code(code, "u", on_output=hear, execution_id="streamed"))
    await asyncio.wait_for(complete.wait(), 60)
    assert not running.done()
    assert await sandglass.cancel("streamed")
    assert (await running).outcome is Outcome.CANCELLED


async def test_much_output_arrives_whole_and_in_order(sandglass: Sandglass) -> None:
    """Two megabytes, more than any buffer between; the result keeps head and tail."""
    heard = bytearray()
    result = await sandglass.execute_code(
        "for i in range(200_000): print(f'{i:09d}')", "u", on_output=lambda _, piece: heard.extend(piece)
    )
    assert bytes(heard) == b"".join(b"%09d\n" % i for i in range(200_000))
    assert result.output_bytes == len(heard)
    assert result.truncated


async def test_a_listener_that_fails_costs_itself_the_stream_alone(sandglass: Sandglass) -> None:
    """The result is complete all the same."""

    def fail(stream: Stream, piece: bytes) -> None:
        raise ZeroDivisionError

    assert (await sandglass.execute_code("print(1)", "u", on_output=fail)).output == "1\n"


async def test_cancel_ends_it_and_keeps_what_was_there(sandglass: Sandglass) -> None:
    """The one who waits gets the result; a second cancel and one of nothing are False."""
    begun = asyncio.Event()
    running = asyncio.create_task(
        sandglass.execute_code(FOR_EVER, "u", execution_id="c", on_output=lambda *_: begun.set())
    )
    await asyncio.wait_for(begun.wait(), 60)
    assert await sandglass.cancel("c")
    result = await running
    assert (result.outcome, [file.path for file in result.generated_files]) == (
        Outcome.CANCELLED,
        ["partial.txt"],
    )
    assert not await sandglass.cancel("c")
    assert not await sandglass.cancel("nothing")
    assert not await sandglass.kill("c")
    with pytest.raises(ExecutionNotFound):
        await sandglass.kill("nothing")


async def test_cancelling_the_awaiting_task_ends_the_execution_first(
    sandglass: Sandglass, docker_client: docker.DockerClient
) -> None:
    """When the cancellation arrives the row is terminal, the file kept and the container dead."""
    begun = asyncio.Event()
    running = asyncio.create_task(
        sandglass.execute_code(FOR_EVER, "u", execution_id="t", on_output=lambda *_: begun.set())
    )
    await asyncio.wait_for(begun.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    execution = await sandglass.get_execution("t")
    assert execution.result is not None
    assert execution.result.outcome is Outcome.CANCELLED
    assert [file.path for file in await sandglass.list_user_files("u")] == ["partial.txt"]
    live = docker_client.containers.list(filters={"label": "org.sandglass.execution=t"}, ignore_removed=True)
    assert live == []


async def test_a_task_cancelled_at_once_leaves_nothing_running(sandglass: Sandglass) -> None:
    """Whether its request had been heard of or not."""
    running = asyncio.create_task(sandglass.execute_code(FOR_EVER, "u", execution_id="early"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await sandglass.cancel("early")
    assert (await sandglass.get_interpreter_status()).running == 0


async def test_files_are_stored_listed_loaded_extended_and_deleted(
    sandglass: Sandglass, orchestrator: Orchestrator, clock: MovableClock, tmp_path: Path
) -> None:
    """From bytes, a stream and a path; each answer is what the index says."""
    path = tmp_path / "p.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    stored = [
        await sandglass.upload_file("u", b"a,b\n1,2\n", "t.csv"),
        await sandglass.upload_file("u", io.BytesIO(b"streamed"), "s.txt"),
        await sandglass.upload_file("u", path, "p.bin"),
    ]
    assert await sandglass.list_user_files("u") == stored[::-1] == await orchestrator.list_user_files("u")
    assert await sandglass.load_file("t.csv", "u") == b"a,b\n1,2\n"
    assert await sandglass.load_file(stored[2].file_id, "u") == path.read_bytes()
    assert (await sandglass.execute_code("print(load_file('t.csv').b[0])", "u", ["t.csv"])).output == "2\n"
    longer = await sandglass.extend_file("t.csv", "u", 100)
    assert longer.expires_at is not None
    assert longer == await sandglass.get_file(stored[0].file_id, "u")
    assert await sandglass.delete_user_file("s.txt", "u") == stored[1]
    with pytest.raises(FileNotFoundOrExpired, match=r"Available files: p\.bin"):
        await sandglass.load_file("s.txt", "u")
    clock.move(hours=49)
    assert await sandglass.list_user_files("u") == [longer]


async def test_what_is_no_stored_file_is_cleared(sandglass: Sandglass) -> None:
    """What a program left behind a dot goes, what it made in sight is stored and stays."""
    code = "import os\nos.mkdir('.cache')\nfor path in ('.cache/a', 'kept.txt'): open(path, 'w').close()"
    assert (await sandglass.execute_code(code, "u")).success
    assert await sandglass.clear_workspace("u") == 1
    left = await sandglass.execute_code("import os\nprint(os.listdir())", "u")
    assert left.output == "['kept.txt']\n"


async def test_what_was_run_is_forgotten_and_what_it_made_is_kept(sandglass: Sandglass) -> None:
    """Code and output of one owner are gone, also by id; another's stay, and so do the files."""
    mine = await sandglass.execute_code("open('a.txt', 'w').write('a')\nprint('secret')", "u")
    theirs = await sandglass.execute_code("print('theirs')", "v")
    assert await sandglass.forget_executions("u") == 1
    assert await sandglass.list_executions("u") == []
    with pytest.raises(ExecutionNotFound):
        await sandglass.get_execution(mine.execution_id)
    assert [each.path for each in await sandglass.list_user_files("u")] == ["a.txt"]
    assert (await sandglass.get_execution(theirs.execution_id)).code == "print('theirs')"
    assert await sandglass.forget_executions("u") == 0


async def test_a_hostile_name_is_stored_and_found_under_its_safe_form(
    sandglass: Sandglass, orchestrator: Orchestrator
) -> None:
    """Both ways give the same name, by which the file is found again."""
    for name in HOSTILE_NAMES:
        stored = await sandglass.upload_file("u", name.encode(), name)
        expected = await orchestrator.upload_file("v", b"x", name)
        assert stored.filename == expected.filename
        assert await sandglass.load_file(stored.filename, "u") == name.encode()
        assert (await sandglass.get_file(stored.filename, "u")).file_id == stored.file_id


async def test_the_bound_of_an_upload_is_exact(sandglass: Sandglass, tmp_path: Path) -> None:
    """The last byte that may be goes in; one more is refused, from memory, disk or a stream."""
    most = sandglass.bounds.max_file_bytes
    assert most == 50_000_000
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(most)
    assert (await sandglass.upload_file("u", path, "fits")).size == most
    with path.open("ab") as file:
        file.write(b"x")
    for source in (path, io.BytesIO(path.read_bytes()), path.read_bytes()):
        with pytest.raises(FileTooLarge, match="larger than 50 MB"):
            await sandglass.upload_file("u", source, "big")
    assert [file.filename for file in await sandglass.list_user_files("u")] == ["fits"]


async def test_owners_do_not_see_each_other(sandglass: Sandglass) -> None:
    """By id and by name a foreign file is one that never was; the sentence lists one's own."""
    secret = await sandglass.upload_file("b", b"secret", "secret.txt")
    for ref in (secret.file_id, "secret.txt", f"../b/{secret.file_id}", f"x&owner=b&ref={secret.file_id}"):
        for ask in (
            sandglass.get_file,
            sandglass.load_file,
            sandglass.delete_user_file,
            sandglass.extend_file,
            sandglass.link,
        ):
            with pytest.raises(FileNotFoundOrExpired, match="Available files: none"):
                await ask(ref, "a")
        with pytest.raises(FileNotFoundOrExpired):
            await sandglass.execute_code("pass", "a", [ref])
    assert await sandglass.list_user_files("a") == []
    assert await sandglass.load_file(secret.file_id, "b") == b"secret"


async def test_a_link_is_signed_by_the_service(sandglass: Sandglass, orchestrator: Orchestrator) -> None:
    """Its address is public, its token opens the file, its time is bounded by the same sentence."""
    stored = await sandglass.upload_file("u", b"linked", "a.txt")
    address = await sandglass.link(stored.file_id, "u", timedelta(hours=1))
    assert address is not None
    base, token = address.rsplit("/", 1)
    assert base == "https://files.example.org/f"
    _, stream = await orchestrator.open_link(token)
    with stream:
        assert stream.read() == b"linked"
    with pytest.raises(InvalidRequest, match="365 days"):
        await sandglass.link(stored.file_id, "u", timedelta())


type Asked = Callable[[Sandglass], Awaitable[object]]

REFUSED: list[Asked] = [
    lambda s: s.execute_code("x" * 1_000_001, "u"),
    lambda s: s.execute_code("print('\ud800')", "u"),
    lambda s: s.execute_code("1", "u", timeout=0),
    lambda s: s.execute_code("1", "u", timeout=301),
    lambda s: s.execute_code("1", "u", timeout=float("nan")),
    lambda s: s.execute_code("1", "../b"),
    lambda s: s.execute_code("1", ""),
    lambda s: s.execute_code("1", "u", execution_id="../x"),
    lambda s: s.execute_code("1", "u", ["nothing.txt"]),
    lambda s: s.upload_file("../b", b"x", "a"),
    lambda s: s.upload_file("u", Path("/nowhere/at/all"), "a"),
    lambda s: s.upload_file("u", Path("/dev"), "a"),
    lambda s: s.get_file("", "u"),
    lambda s: s.get_file("no\x00thing", "u"),
    lambda s: s.load_file("nothing.txt", "u"),
    lambda s: s.delete_user_file("../../etc/passwd", "u"),
    lambda s: s.extend_file("nothing.txt", "u"),
    lambda s: s.extend_file("nothing.txt", "u", -1),
    lambda s: s.extend_file("nothing.txt", "u", float("inf")),
    lambda s: s.list_user_files("b/../c"),
    lambda s: s.list_executions("b/../c"),
    lambda s: s.get_execution("nothing"),
    lambda s: s.get_execution("../status"),
    lambda s: s.get_execution(".."),
    lambda s: s.get_execution("a/b?c#d"),
    lambda s: s.kill("x/../y"),
    lambda s: s.prewarm("a b"),
    lambda s: s.link("nothing.txt", "u"),
]


async def test_a_refusal_has_the_same_class_and_the_same_sentence(
    sandglass: Sandglass, orchestrator: Orchestrator
) -> None:
    """Whichever way it was asked, with whatever the class holds beside."""
    for asked in REFUSED:
        with pytest.raises(SandglassError) as here:
            await asked(orchestrator)
        with pytest.raises(SandglassError) as there:
            await asked(sandglass)
        assert type(there.value) is type(here.value)
        assert (str(there.value), vars(there.value)) == (str(here.value), vars(here.value))


async def until_it_waits(sandglass: Sandglass, execution_id: str) -> None:
    """Return once it is the next in the queue; at first nobody has heard of it."""
    while True:
        with suppress(ExecutionNotFound):
            if await sandglass.position(execution_id) == 1:
                return
        await asyncio.sleep(0.05)


async def test_a_taken_execution_id_is_refused_and_the_next_one_waits(sandglass: Sandglass) -> None:
    """While the first runs, its id is not given twice; another of the same owner knows its place."""
    begun = asyncio.Event()
    running = asyncio.create_task(
        sandglass.execute_code(FOR_EVER, "u", execution_id="taken", on_output=lambda *_: begun.set())
    )
    await asyncio.wait_for(begun.wait(), 60)
    with pytest.raises(InvalidRequest, match="already used"):
        await sandglass.execute_code("1", "u", execution_id="taken")
    assert (await sandglass.get_interpreter_status()).running == 1
    assert await sandglass.position("taken") == 0
    waiting = asyncio.create_task(sandglass.execute_code("print(2)", "u", execution_id="waits"))
    await until_it_waits(sandglass, "waits")
    await sandglass.kill("taken")
    assert (await running).outcome is Outcome.KILLED
    assert (await waiting).output == "2\n"


async def test_figures_and_bounds_are_those_of_the_installation(
    sandglass: Sandglass, orchestrator: Orchestrator
) -> None:
    """The same status and the same bounds, and a word that code is coming is taken."""
    assert sandglass.bounds == orchestrator.bounds
    assert isinstance(await sandglass.prewarm("u"), bool)
    theirs, ours = await sandglass.get_interpreter_status(), await orchestrator.get_interpreter_status()
    assert theirs.model_copy(update={"standby": 0}) == ours.model_copy(update={"standby": 0})
