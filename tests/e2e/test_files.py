"""Files between executions: by id and by name, never across owners, never after their time."""

from pathlib import Path

import pytest

from orchestrator import FileNotFoundOrExpired, Orchestrator, Outcome
from tests.e2e.support import MovableClock

NOT_FOUND = "FileNotFoundError: File not found or expired"


async def test_an_upload_is_loaded_by_id_and_by_name_and_not_changed(orchestrator: Orchestrator) -> None:
    """Both references give the same frame; the stored bytes stay what they were although code tried."""
    stored = await orchestrator.upload_file("u", b"a,b\n1,2\n", "table.csv")
    code = f"""
import os
one, two = load_file({stored.file_id!r}), load_file("table.csv")
print(one.equals(two), one.b[0], get_file_path("table.csv"), [f["filename"] for f in list_files()])
try:
    open(get_file_path("table.csv"), "a").write("x")
except OSError as error:
    print(type(error).__name__)
try:
    os.chmod(get_file_path("table.csv"), 0o777)
except OSError as error:
    print(type(error).__name__)
"""
    result = await orchestrator.execute_code(code, "u", user_files=[stored.file_id])
    path = f"/inputs/{stored.file_id}/table.csv"
    assert result.output.splitlines()[0] == f"True 2 {path} ['table.csv']", result.error
    assert len(result.output.splitlines()) == 3
    assert await orchestrator.load_file(stored.file_id, "u") == b"a,b\n1,2\n"


async def test_without_a_list_every_live_file_of_the_owner_is_visible(orchestrator: Orchestrator) -> None:
    """With a list only what it names; with an empty list nothing."""
    for name in ("one.txt", "two.txt"):
        await orchestrator.upload_file("v", b"x", name)
    names = "print(sorted(f['filename'] for f in list_files()))"
    assert (await orchestrator.execute_code(names, "v")).output == "['one.txt', 'two.txt']\n"
    assert (await orchestrator.execute_code(names, "v", user_files=["two.txt"])).output == "['two.txt']\n"
    assert (await orchestrator.execute_code(names, "v", user_files=[])).output == "[]\n"


async def test_owner_a_cannot_load_list_read_or_guess_what_owner_b_has(orchestrator: Orchestrator) -> None:
    """By id, by name, by path and through the Python API, a foreign file looks like one that never was."""
    secret = await orchestrator.upload_file("b", b"the secret of b", "secret.txt")
    await orchestrator.execute_code("open('/workspace/secret-too', 'w').write('the secret of b')", "b")
    code = f"""
import os
for ref in ({secret.file_id!r}, "secret.txt"):
    try:
        print(load_file(ref))
    except FileNotFoundError as error:
        print(type(error).__name__, error)
for top, dirs, files in os.walk("/"):
    if top.startswith(("/proc", "/sys")):
        dirs[:] = []
        continue
    for name in files:
        if "secret" in name and "site-packages" not in top and "python3" not in top:
            print("found", top, name)
print(list_files())
"""
    result = await orchestrator.execute_code(code, "a")
    assert result.output.count("FileNotFoundError File not found or expired") == 2, (
        result.output + result.error
    )
    assert "found" not in result.output.replace("not found", "")
    assert result.output.endswith("[]\n")
    with pytest.raises(FileNotFoundOrExpired) as foreign:
        await orchestrator.load_file(secret.file_id, "a")
    with pytest.raises(FileNotFoundOrExpired) as unknown:
        await orchestrator.load_file("b_1700000000_00000000", "a")
    assert str(foreign.value).replace(secret.file_id, "X") == str(unknown.value).replace(
        "b_1700000000_00000000", "X"
    )
    with pytest.raises(FileNotFoundOrExpired):
        await orchestrator.execute_code("print(1)", "a", user_files=[secret.file_id])
    with pytest.raises(FileNotFoundOrExpired):
        await orchestrator.delete_user_file(secret.file_id, "a")
    assert await orchestrator.load_file(secret.file_id, "b") == b"the secret of b"


async def test_two_owners_have_different_uids(orchestrator: Orchestrator) -> None:
    """Neither is root, and they are not the same."""
    uids = [
        (await orchestrator.execute_code("import os; print(os.getuid())", owner)).output for owner in "xy"
    ]
    assert uids[0] != uids[1]
    assert all(int(uid) > 100_000 for uid in uids)


async def test_after_49_hours_a_file_is_gone_for_every_reader_and_then_from_the_disk(
    orchestrator: Orchestrator, clock: MovableClock
) -> None:
    """The index says so at once, code gets the documented error, the sweep takes bytes and workspace copy."""
    made = await orchestrator.execute_code("open('old.txt', 'w').write('old')", "t")
    (file,) = made.generated_files
    root = orchestrator.settings.data_dir
    assert [path for path in root.rglob("old.txt") if "workspaces" in path.parts]
    clock.move(hours=49)
    with pytest.raises(FileNotFoundOrExpired):
        await orchestrator.load_file(file.file_id, "t")
    assert await orchestrator.list_user_files("t") == []
    code = f"import os\nprint(os.path.exists('/workspace/old.txt'))\nload_file({file.file_id!r})"
    late = await orchestrator.execute_code(code, "t")
    assert late.outcome is Outcome.NONZERO_EXIT
    assert NOT_FOUND in late.error
    assert late.output == "False\n"
    dry = await orchestrator.sweep(dry_run=True)
    assert dry.expired_files == 1
    assert blobs(root) == 1
    report = await orchestrator.sweep()
    assert report.expired_files == 1
    assert blobs(root) == 0
    assert not list(root.rglob("old.txt"))
    assert (await orchestrator.get_interpreter_status()).last_cleanup is not None


async def test_a_file_that_is_extended_outlives_the_others(
    orchestrator: Orchestrator, clock: MovableClock
) -> None:
    """Extending counts from now; the workspace copy stays with it."""
    kept = await orchestrator.upload_file("e", b"kept", "kept.txt")
    await orchestrator.upload_file("e", b"gone", "gone.txt")
    clock.move(hours=40)
    await orchestrator.extend_file(kept.file_id, "e")
    clock.move(hours=20)
    await orchestrator.sweep()
    assert [file.filename for file in await orchestrator.list_user_files("e")] == ["kept.txt"]
    assert await orchestrator.load_file("kept.txt", "e") == b"kept"


def blobs(root: Path) -> int:
    """Files in the blob store."""
    return sum(path.is_file() for path in (root / "blobs").rglob("*"))
