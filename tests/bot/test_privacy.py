"""What a person is told of what is known of them, and that nothing of it is left when they say so."""

import asyncio
import io
import json
import random
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot import privacy
from bot.client import SandglassClient
from bot.model import Message as Exchanged
from bot.model import Said, Text, Usage
from bot.privacy import Document
from bot.store import Store, open_store
from orchestrator import Stream
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE, BOB, ROOM = 1, 2, 100
SECRET = "zebra-crossing-of-alice"
MIB = 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(tmp_path / "bot.sqlite3") as opened:
        yield opened


async def remember(store: Store, n: int, text: str, *, author: int = ALICE) -> None:
    """A turn of some words."""
    exchange: list[Exchanged] = [Text(role="user", text=text), Said(text="answered")]
    await store.remember(
        question_id=n, channel_id=ROOM, author_id=author, parent_id=None, at=NOW, exchange=exchange
    )


def everything_below(directory: Path) -> bytes:
    """The bytes of every file, and every name."""
    paths = sorted(directory.rglob("*"))
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in paths)


async def test_an_export_names_threads_resets_uploads_and_cached_tokens(store: Store) -> None:
    """Whatever has a person's id in it; nothing of another's."""
    for person, thread in ((ALICE, 7), (BOB, 8)):
        await store.opened(thread, person)
        await store.reset(ROOM, person, NOW)
        await store.uploaded(thread, thread + 10, f"{person}_1772366400_0000000{person}")
        await store.book(user_id=person, guild_id=9, at=NOW, usage=Usage(prompt=10, completion=1, cached=9))
    export = await store.export(ALICE)
    assert export["threads"] == [7]
    assert export["resets"] == [{"channel_id": ROOM, "at": NOW.isoformat()}]
    assert [each["file_id"] for each in export["uploads"]] == ["1_1772366400_00000001"]
    assert [(each["cached"], each["guild_id"]) for each in export["ledger"]] == [(9, 9)]


async def test_conversations_are_exported_in_pages(store: Store) -> None:
    """The rest comes with the first page alone."""
    for n in range(1, 6):
        await remember(store, n, f"question {n}")
    first = await store.export(ALICE, at_most=2)
    assert [each["question_id"] for each in first["conversations"]] == [1, 2]
    assert "ledger" in first
    second = await store.export(ALICE, after=2, at_most=2)
    assert [each["question_id"] for each in second["conversations"]] == [3, 4]
    assert list(second) == ["conversations"]
    assert [each["question_id"] for each in (await store.export(ALICE, after=4))["conversations"]] == [5]


async def test_an_erased_person_is_no_threads_owner_and_it_stays_ours(store: Store) -> None:
    """We go on answering there, and no row says who opened it or what was uploaded."""
    await store.opened(7, ALICE)
    await store.opened(8, BOB)
    await store.uploaded(5, 6, f"{ALICE}_1772366400_00000001")
    await store.erase(ALICE)
    assert await store.is_ours(7)
    assert (await store.export(ALICE)) == {
        "conversations": [],
        "model": None,
        "threads": [],
        "resets": [],
        "uploads": [],
        "ledger": [],
    }
    assert (await store.export(BOB))["threads"] == [8]


@pytest.mark.parametrize("length", [10, 10_000])
async def test_no_word_of_an_erased_person_is_on_the_disk(store: Store, tmp_path: Path, length: int) -> None:
    """Neither in free pages nor in the log, in rows of any size; another's words are."""
    for n in range(1, 20):
        await remember(store, n, SECRET * length)
        await remember(store, 100 + n, "of bob", author=BOB)
    assert SECRET.encode() in everything_below(tmp_path)
    await store.erase(ALICE)
    assert SECRET.encode() not in everything_below(tmp_path)
    assert b"of bob" in everything_below(tmp_path)


async def test_others_are_remembered_while_much_is_erased(store: Store) -> None:
    """A person's questions go a few at a time, every one of them, and nobody waits for all."""
    for n in range(120):
        await remember(store, n + 1, "of alice")
    erasing = asyncio.create_task(store.erase(ALICE))
    while len(left := (await store.export(ALICE))["conversations"]) == 120:
        pass
    assert left
    await remember(store, 500, "of bob", author=BOB)
    assert await erasing == 120
    assert (await store.export(ALICE))["conversations"] == []
    assert len((await store.export(BOB))["conversations"]) == 1


def document(values: dict[str, Any]) -> Document:
    """A finished document of these lists."""
    made = Document()
    for name, value in values.items():
        if isinstance(value, list):
            made.extend(name, value[:1])
            made.extend(name, value[1:])
        else:
            made.put(name, value)
    made.finish()
    return made


def read(made: Document, limit: int) -> Any:
    """What its parts say when they are put together; each fits."""
    parts = [made.part(number, limit) for number in range(made.parts(limit))]
    made.discard()
    assert all(0 < len(part.data) <= limit for part in parts)
    data = b"".join(part.data for part in parts)
    if parts[0].filename.endswith(".json"):
        return json.loads(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return json.loads(archive.read("sandglass-export.json"))


@pytest.mark.parametrize(
    "values",
    [
        {"model": None},
        {"model": "a", "none": [], "one": [1], "three": [{"a": "é"}, [2], "\ud800"], "nothing": []},
    ],
)
def test_a_document_is_json_whatever_is_in_it(values: dict[str, Any]) -> None:
    """Lists in pieces, none, values between them, and characters that UTF-8 does not have."""
    assert read(document(values), MIB) == values


@pytest.mark.parametrize("size", [100, MIB, 3 * MIB])
@pytest.mark.parametrize("limit", [64 * 1024, 10 * MIB])
def test_a_document_travels_in_parts_that_fit(size: int, limit: int) -> None:
    """What does not compress is split; the parts in order are one zip."""
    noise = random.Random(1).randbytes(size // 2).hex()
    values = {"text": [noise[at : at + 10_000] for at in range(0, len(noise), 10_000)]}
    assert read(document(values), limit) == values


async def large(bot: SandglassClient, person: int, size: int) -> None:
    """Conversations of so many bytes."""
    noise = random.Random(2)
    for n in range(1, 101):
        await remember(bot.services.store, n, noise.randbytes(size // 200).hex(), author=person)


async def test_a_large_export_comes_as_a_zip(discord: LocalDiscord, bot: SandglassClient) -> None:
    """Twelve megabytes of conversations are one private file, and the bot goes on meanwhile."""
    alice = discord.user("alice")
    await large(bot, alice.id, 12_000_000)
    answer = await (await alice.slash("privacy export")).wait_for(lambda m: m.files, 60)
    assert answer.ephemeral
    with zipfile.ZipFile(io.BytesIO(answer.files["sandglass-export.zip"])) as archive:
        known = json.loads(archive.read("sandglass-export.json"))
    assert [each["question_id"] for each in known["conversations"]] == list(range(1, 101))
    assert (known["executions"], known["files"]) == ([], [])


async def test_an_export_over_the_limit_comes_in_parts(discord: LocalDiscord, bot: SandglassClient) -> None:
    """By the limit that the interaction tells; each message says how to put them together."""
    alice = discord.user("alice")
    await large(bot, alice.id, 3_000_000)
    discord.desk.attachment_size_limit = MIB
    asked = await alice.slash("privacy export")
    await asked.wait_for(lambda m: "part 1 of 2" in m.content, 60)
    await discord.world.until(lambda: len(asked.messages) > 1 or None, 60, "no second part")
    files = {name: data for message in asked.messages for name, data in message.files.items()}
    assert list(files) == ["sandglass-export.zip.001", "sandglass-export.zip.002"]
    with zipfile.ZipFile(io.BytesIO(b"".join(files.values()))) as archive:
        assert len(json.loads(archive.read("sandglass-export.json"))["conversations"]) == 100


async def test_an_export_has_every_execution(
    discord: LocalDiscord, bot: SandglassClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, newest first; pages that are just full end as well."""
    monkeypatch.setattr(privacy, "_EXECUTIONS", 2)
    alice = discord.user("alice")
    for count in (3, 4):
        while len(await bot.services.orchestrator.list_executions(alice.id)) < count:
            await bot.services.orchestrator.execute_code("pass", alice.id)
        answer = await (await alice.slash("privacy export")).wait_for(lambda m: m.files)
        known = json.loads(answer.files["sandglass-export.json"])
        rows = await bot.services.orchestrator.list_executions(alice.id)
        assert len(rows) == count
        assert [each["execution_id"] for each in known["executions"]] == [row.execution_id for row in rows]


async def test_an_erased_person_has_left_no_byte(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient, data_dir: Path
) -> None:
    """Words, code, output, names and contents of files are nowhere below the data directory any more."""
    alice, bob = discord.user("alice"), discord.user("bob")
    code = f"""
import os
for path in ("{SECRET}.txt", "out/{SECRET}.csv", ".{SECRET}", ".cache/{SECRET}", "__pycache__/{SECRET}"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    open(path, "w").write("{SECRET}")
print("{SECRET}")
"""
    await bot.services.orchestrator.execute_code("open('kept.txt', 'w').write('of-bob')", bob.id)
    model.script([call("execute_python", {"code": code}), say(f"Done, {SECRET}.")])
    await alice.ask(discord.general, SECRET)
    await discord.general.wait_for(lambda m: "Done" in m.content and not m.components, 60)
    await (await alice.slash("upload", file=(f"{SECRET}.bin", SECRET.encode()))).wait_for(
        lambda m: SECRET in m.content
    )
    assert SECRET.encode() in await asyncio.to_thread(everything_below, data_dir)
    answer = await (await alice.slash("privacy erase")).wait_for(lambda m: "🧹" in m.content, 30)
    assert (
        "1 questions and 1 executions are forgotten, 4 files deleted, your workspace is empty"
        in answer.content
    )
    assert "figures" in answer.content
    assert "⚠️" not in answer.content
    below = await asyncio.to_thread(everything_below, data_dir)
    assert SECRET.encode() not in below
    assert b"of-bob" in below


async def test_an_erasure_beside_a_running_program_says_so(
    discord: LocalDiscord, bot: SandglassClient, data_dir: Path
) -> None:
    """What the person runs elsewhere is not ended, but named, and the workspace is not called empty."""
    alice = discord.user("alice")
    begun = asyncio.Event()

    async def hear(_: Stream, __: bytes) -> None:
        begun.set()

    code = "print('begun', flush=True)\nimport time\nwhile True: time.sleep(0.1)"
    running = asyncio.create_task(
        bot.services.orchestrator.execute_code(
            code, alice.id, timeout=100, on_output=hear, execution_id="elsewhere"
        )
    )
    await asyncio.wait_for(begun.wait(), 60)
    answer = await (await alice.slash("privacy erase")).wait_for(lambda m: "🧹" in m.content, 30)
    assert "One execution of yours is under way (`elsewhere`)" in answer.content
    assert "workspace is empty" not in answer.content
    await bot.services.orchestrator.cancel("elsewhere")
    await running
    again = await (await alice.slash("privacy erase")).wait_for(lambda m: "🧹" in m.content, 30)
    assert "1 executions are forgotten, 0 files deleted, your workspace is empty" in again.content
