"""What the lifecycle may rely on, held against the real engine and its double alike."""

import asyncio
import json
from typing import Any

import pytest

from orchestrator.domain.sandbox import Stream
from orchestrator.errors import EngineFault, ImageMissing


def line(code: str) -> bytes:
    """The runner's one request line."""
    return json.dumps({"contract": 1, "code": code, "inputs": []}).encode() + b"\n"


async def test_both_streams_come_back_apart(engine: Any, run: Any) -> None:
    """The two streams are told apart and complete, and a good end is exit code 0."""
    status, out, err = await run(engine, "import sys; print('to out'); print('to err', file=sys.stderr)")
    assert (status.exit_code, out, err) == (0, b"to out\n", b"to err\n")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(7)", 7),
        ("1/0", 1),
        ("import os; os._exit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139),
    ],
)
async def test_the_exit_code_is_the_programs_own(engine: Any, run: Any, code: str, expected: int) -> None:
    """Exceptions, exit codes and signals end as they do for Python itself."""
    status, _, _ = await run(engine, code)
    assert status.exit_code == expected


async def test_the_program_writes_in_the_mounted_workspace(engine: Any, run: Any, workspace: Any) -> None:
    """The working directory is the owner's, and what is written there outlives the sandbox."""
    await run(engine, "open('kept.txt', 'w').write('here')")
    assert (workspace / "kept.txt").read_text() == "here"


async def test_a_megabyte_arrives_whole_and_in_order(engine: Any, run: Any) -> None:
    """Output larger than any buffer on the way is neither lost nor reordered."""
    _, out, _ = await run(engine, "print(''.join(f'{i:07d}\\n' for i in range(250_000)), end='')")
    assert out == b"".join(b"%07d\n" % i for i in range(250_000))


async def test_output_comes_while_the_program_runs(engine: Any, make_spec: Any) -> None:
    """The first line is here before the program has ended; a kill then ends it with 137."""
    sandbox = await engine.create(make_spec((await engine.image()).digest))
    try:
        await sandbox.start()
        await sandbox.hand_over(line("import os, time; os.write(1, b'early'); time.sleep(100)"))
        async with asyncio.timeout(30):
            assert await anext(sandbox.output()) == (Stream.STDOUT, b"early")
            await sandbox.kill()
            status = await sandbox.wait()
        assert status.exit_code == 137
        assert not status.oom_killed
    finally:
        await sandbox.remove()


async def test_a_large_request_is_read_to_the_end(engine: Any, run: Any) -> None:
    """Three megabytes of code are handed over whole."""
    _, out, _ = await run(engine, f"text = {'x' * 3_000_000!r}\nprint(len(text))")
    assert out == b"3000000\n"


async def test_standard_input_is_empty_for_the_program(engine: Any, run: Any) -> None:
    """What asks for input meets its end, it does not hang."""
    status, _, err = await run(engine, "input()")
    assert status.exit_code == 1
    assert b"EOFError" in err


async def test_a_standby_says_that_it_is_ready_and_then_runs_once(engine: Any, run: Any) -> None:
    """The ready line is consumed: the program's output begins with the program's own."""
    status, out, _ = await run(engine, "print('warm')", warm=True)
    assert (status.exit_code, out) == (0, b"warm\n")


async def test_killing_and_removing_twice_is_no_error(engine: Any, make_spec: Any, instance: str) -> None:
    """Kill and remove may come at any time, again, and by id after the end."""
    sandbox = await engine.create(make_spec((await engine.image()).digest))
    await sandbox.start()
    await sandbox.kill()
    await sandbox.kill()
    await sandbox.remove()
    await sandbox.kill()
    await sandbox.remove()
    await engine.remove(sandbox.container_id)
    assert not await engine.survey(instance)


async def test_handing_code_to_a_dead_sandbox_is_a_fault(engine: Any, make_spec: Any) -> None:
    """A sandbox that died before its request is noticed, by the hand-over or by its exit code."""
    sandbox = await engine.create(make_spec((await engine.image()).digest, warm=True))
    try:
        await sandbox.start()
        await sandbox.ready(60)
        await sandbox.kill()
        assert (await sandbox.wait()).exit_code == 137
        with pytest.raises(EngineFault, match="run it again"):
            await sandbox.hand_over(line("print(1)") + b" " * 4_000_000)
    finally:
        await sandbox.remove()


async def test_a_survey_names_what_exists_and_only_ours(engine: Any, make_spec: Any, instance: str) -> None:
    """A created sandbox is listed with its owner and execution; another installation sees nothing of it."""
    spec = make_spec((await engine.image()).digest)
    sandbox = await engine.create(spec)
    try:
        (found,) = await engine.survey(instance)
        assert (found.container_id, found.owner) == (sandbox.container_id, "tester")
        assert (found.execution_id, found.status) == (spec.execution_id, "created")
        assert not await engine.survey("somebody-else")
    finally:
        await sandbox.remove()
    assert not await engine.survey(instance)


async def test_creating_again_replaces_what_a_lost_reply_left(
    engine: Any, make_spec: Any, instance: str
) -> None:
    """A second create of the same execution removes the first container instead of failing on its name."""
    spec = make_spec((await engine.image()).digest)
    first = await engine.create(spec)
    second = await engine.create(spec)
    try:
        (found,) = await engine.survey(instance)
        assert found.container_id == second.container_id
    finally:
        await second.remove()
        await first.remove()


async def test_an_unknown_image_is_named_with_the_remedy(engine: Any, make_spec: Any) -> None:
    """Nothing is pulled: an image that is not there is a sentence."""
    with pytest.raises(ImageMissing, match="make image"):
        await engine.create(make_spec("sha256:" + "1" * 64))
