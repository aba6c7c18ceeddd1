"""What one execution gives back, seen through the Python API over real containers."""

import asyncio
import hashlib
import re
import time

import docker
import pytest

from orchestrator import Orchestrator, Outcome, Stream
from orchestrator.errors import InvalidRequest

FOUR_FILES = """
import json
import matplotlib.pyplot as plt
import pandas as pd
from pathlib import Path

sales = pd.DataFrame({"month": range(1, 13), "amount": [m * 10 for m in range(1, 13)]})
Path("out").mkdir()
sales.to_csv("out/sales.csv", index=False)
Path("summary.json").write_text(json.dumps({"total": int(sales.amount.sum())}))
Path("report.txt").write_text("Twelve months.\\n")
plt.plot(sales.month, sales.amount)
print("done")
sales.amount.sum()
"""


SUPER = """
class A:
    def __init__(self): self.value = 'b'
class B(A):
    def __init__(self): super().__init__()
print(B().value)
"""


async def test_output_value_and_four_files_come_back_described(orchestrator: Orchestrator) -> None:
    """Type, media type, size and hash of every file are those of its bytes; the last value is shown."""
    result = await orchestrator.execute_code(FOUR_FILES, 123)
    assert (result.outcome, result.exit_code, result.hint, result.error) == (Outcome.OK, 0, None, "")
    assert result.output.splitlines()[0] == "done"
    assert "780" in result.output.splitlines()[1]
    found = {file.path: file for file in result.generated_files}
    assert {path: (file.type, file.media_type) for path, file in found.items()} == {
        "out/sales.csv": ("data", "text/csv"),
        "summary.json": ("structured", "application/json"),
        "report.txt": ("text", "text/plain"),
        "figure_1.png": ("image", "image/png"),
    }
    for file in found.values():
        data = await orchestrator.load_file(file.file_id, "123")
        assert file.size == len(data)
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert re.fullmatch(r"123_\d{10}_[0-9a-f]{8}", file.file_id)
        assert file.expires_at is not None
        assert (file.expires_at - file.created_at).total_seconds() == 48 * 3600
    assert result.generated_file_ids == tuple(file.file_id for file in result.generated_files)


async def test_both_streams_come_apart_and_as_they_are_printed(orchestrator: Orchestrator) -> None:
    """A listener sees the first piece while the program still runs, and each stream as itself."""
    began = time.monotonic()
    pieces: list[tuple[Stream, bytes, float]] = []
    code = "import sys, time\nprint('a')\ntime.sleep(1)\nprint('b', file=sys.stderr)"
    result = await orchestrator.execute_code(
        code,
        "streams",
        on_output=lambda stream, piece: pieces.append((stream, piece, time.monotonic() - began)),
    )
    came = {stream: b"".join(piece for of, piece, _ in pieces if of is stream) for stream in Stream}
    assert came == {Stream.STDOUT: b"a\n", Stream.STDERR: b"b\n"}
    first, last = pieces[0], pieces[-1]
    assert (first[0], last[0]) == (Stream.STDOUT, Stream.STDERR)
    assert last[2] - first[2] > 0.5
    assert (result.output, result.error) == ("a\n", "b\n")
    assert (result.output_bytes, result.error_bytes, result.truncated) == (2, 2, False)


async def test_two_executions_share_the_workspace_and_nothing_else(
    orchestrator: Orchestrator, docker_client: docker.DockerClient
) -> None:
    """Another container, the same /workspace, a fresh /tmp; and neither container outlives its execution."""
    first = await orchestrator.execute_code(
        "open('/workspace/kept', 'w').write('x'); open('/tmp/lost', 'w').write('y')", "o"
    )
    assert first.success, first.error
    second = await orchestrator.execute_code(
        "import os; print(os.path.exists('/workspace/kept'), os.path.exists('/tmp/lost'))", "o"
    )
    assert second.output == "True False\n"
    one, two = [await orchestrator.get_execution(r.execution_id) for r in (first, second)]
    assert one.container_id != two.container_id
    await orchestrator.close()
    for container_id in (one.container_id, two.container_id):
        assert container_id
        with pytest.raises(docker.errors.NotFound):
            docker_client.containers.get(container_id)


async def test_the_hosts_configuration_is_not_visible_inside(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the environment nor pid 1's holds anything that the orchestrator was given."""
    monkeypatch.setenv("SANDGLASS_SECRET_PROBE", "leaked-value")
    monkeypatch.setenv("OPENAI_API_KEY", "leaked-value")
    code = "import os\nprint(dict(os.environ))\nprint(open('/proc/1/environ', 'rb').read())"
    result = await orchestrator.execute_code(code, "env")
    assert result.success, result.error
    assert "leaked-value" not in result.output
    assert "SANDGLASS" not in result.output
    assert str(orchestrator.settings.data_dir) not in result.output


@pytest.mark.parametrize(
    "code",
    [
        "print('a'.replace('a', 'b'))",
        "import pandas as pd; print(list(pd.DataFrame({'a': [1]}).rename(columns={'a': 'b'}).columns)[0])",
        "import re; print(re.compile('b').pattern)",
        "import os, subprocess; print(subprocess.check_output(['echo', 'b'], text=True).strip())",
        SUPER,
        "print(eval(\"'b'\"))",
        "exec('print(\"b\")')",
        "__import__('sys').stdout.write('b\\n') and None",
    ],
)
async def test_code_is_never_inspected(orchestrator: Orchestrator, code: str) -> None:
    """What regexes of others refuse simply runs."""
    result = await orchestrator.execute_code(code, "free")
    assert (result.output.strip(), result.outcome) == ("b", Outcome.OK), result.error


async def test_equal_base_names_in_two_directories_do_not_collide(orchestrator: Orchestrator) -> None:
    """Both are kept, each with its path and its own id."""
    code = "import os\nfor d in 'ab':\n    os.mkdir(d); open(f'{d}/same.txt', 'w').write(d)"
    result = await orchestrator.execute_code(code, "twins")
    contents = {
        file.path: await orchestrator.load_file(file.file_id, "twins") for file in result.generated_files
    }
    assert contents == {"a/same.txt": b"a", "b/same.txt": b"b"}


async def test_a_flood_is_kept_at_both_ends_and_counted(orchestrator: Orchestrator) -> None:
    """64 KiB of head and of tail, and the number of dropped bytes."""
    result = await orchestrator.execute_code("print('x' * 1_000_000)", "flood")
    assert result.output_bytes == 1_000_001
    assert result.truncated
    assert result.success
    assert f"{1_000_001 - 2 * 65536} bytes dropped" in result.output
    assert len(result.output) < 2 * 65536 + 100


async def test_an_execution_id_is_used_once_and_its_user_is_not_disturbed(orchestrator: Orchestrator) -> None:
    """A second request under the same id is refused, while the first runs and afterwards."""
    first = asyncio.create_task(
        orchestrator.execute_code("import time; time.sleep(1.5); open('/inputs')", "i", execution_id="one")
    )
    await asyncio.sleep(0.5)
    with pytest.raises(InvalidRequest, match="already used"):
        await orchestrator.execute_code("print(2)", "i", execution_id="one")
    assert "IsADirectoryError" in (await first).error
    with pytest.raises(InvalidRequest, match="already used"):
        await orchestrator.execute_code("print(3)", "i", execution_id="one")
    for bad in ("../up", "", "a/b", "-x", "x" * 65):
        with pytest.raises(InvalidRequest, match="not usable"):
            await orchestrator.execute_code("print(4)", "i", execution_id=bad)


@pytest.mark.parametrize("owner", ["", "../x", "a/b", ".hidden", "a b", "x" * 65, "ü", "a\n"])
async def test_an_owner_that_could_lead_elsewhere_is_refused(orchestrator: Orchestrator, owner: str) -> None:
    """Owners become directories and parts of ids: nothing but plain names."""
    with pytest.raises(InvalidRequest, match="not usable"):
        await orchestrator.execute_code("print(1)", owner)
    with pytest.raises(InvalidRequest, match="not usable"):
        await orchestrator.list_user_files(owner)


@pytest.mark.parametrize("timeout", [0, -1, 301, float("nan")])
async def test_a_time_out_of_bounds_is_refused(orchestrator: Orchestrator, timeout: float) -> None:
    """A caller may ask up to 300 s, and the sentence says so."""
    with pytest.raises(InvalidRequest, match="300"):
        await orchestrator.execute_code("print(1)", "t", timeout=timeout)


async def test_code_that_cannot_be_text_or_is_too_much_is_refused(orchestrator: Orchestrator) -> None:
    """A lone surrogate and a megabyte of code each get their sentence; nothing is stored."""
    with pytest.raises(InvalidRequest, match="surrogate"):
        await orchestrator.execute_code("print('\ud800')", "t")
    with pytest.raises(InvalidRequest, match="data in a file"):
        await orchestrator.execute_code("#" * 1_000_001, "t")
    assert await orchestrator.list_executions("t") == []
