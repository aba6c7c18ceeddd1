"""Which file goes into which message, zipped or kept here; what of a long conversation is left out."""

import asyncio
import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.delivery import FILES_A_MESSAGE, MIB, REQUEST_BYTES, Parcel, file_limit, pack, safe_filename, zipped
from bot.held import Held
from bot.memory import dumped, loaded, tokens, trimmed
from bot.model import Message, Picture, Said, Text, ToolCall, ToolResult
from bot.runs import shortened
from orchestrator import Orchestrator, Settings, StoredFile, open_orchestrator

ALICE, BOB = "1", "2"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture
async def orchestrator(data_dir: Path) -> AsyncIterator[Orchestrator]:
    """A real one, over an empty data directory."""
    async with open_orchestrator(Settings(data_dir=data_dir)) as opened:
        yield opened


async def kept(orchestrator: Orchestrator, filename: str, data: bytes, kind: str = "text") -> StoredFile:
    """A stored file, taken for one of this kind."""
    file = await orchestrator.upload_file(ALICE, data, filename)
    return file.model_copy(update={"type": kind})


@dataclass(kw_only=True)
class Sent:
    """A delivery that was gone through to its end."""

    messages: list[list[Parcel]]
    notes: list[str]


async def packed(
    orchestrator: Orchestrator,
    owner: str,
    files: list[StoredFile],
    *,
    limit: int,
    extra: Sequence[Parcel] = (),
) -> Sent:
    """Everything that would be sent, message by message."""
    sent = Sent(messages=[], notes=[])
    async with pack(orchestrator, owner, files, limit=limit, extra=extra) as delivery:
        sent.notes += [*delivery.kept, *delivery.notes]
        for items in delivery.messages:
            async with delivery.loaded(items) as loaded:
                sent.messages.append(list(loaded.parcels))
                sent.notes += loaded.lost
    return sent


@pytest.mark.parametrize(
    ("tier", "told", "limit"),
    [
        (None, None, 10 * MIB),
        (0, None, 10 * MIB),
        (1, None, 10 * MIB),
        (2, None, REQUEST_BYTES),
        (3, None, REQUEST_BYTES),
        (3, 4 * MIB, 4 * MIB),
        (0, 500 * MIB, REQUEST_BYTES),
    ],
)
def test_the_limit_follows_the_tier_and_what_was_told(tier: int | None, told: int | None, limit: int) -> None:
    """What the interaction told wins over the tier; nothing is over one request."""
    assert file_limit(tier, told) == limit


async def test_ten_files_a_message(orchestrator: Orchestrator) -> None:
    """In their order, none lost, none twice."""
    files = [await kept(orchestrator, f"f{n:02}.txt", b"x") for n in range(23)]
    sent = await packed(orchestrator, ALICE, files, limit=MIB)
    assert [len(each) for each in sent.messages] == [FILES_A_MESSAGE, FILES_A_MESSAGE, 3]
    assert [each.filename for message in sent.messages for each in message] == [f.filename for f in files]
    assert sent.notes == []


async def test_pictures_go_first_and_our_own_text_before_them(orchestrator: Orchestrator) -> None:
    """Discord shows pictures as a gallery."""
    files = [
        await kept(orchestrator, "a.csv", b"1"),
        await kept(orchestrator, "b.png", PNG, "image"),
        await kept(orchestrator, "c.txt", b"1"),
        await kept(orchestrator, "d.png", PNG, "image"),
    ]
    extra = [Parcel(filename="output.txt", data=b"out")]
    sent = await packed(orchestrator, ALICE, files, limit=MIB, extra=extra)
    (message,) = sent.messages
    assert [each.filename for each in message] == ["output.txt", "b.png", "d.png", "a.csv", "c.txt"]


async def test_the_bytes_are_the_files(orchestrator: Orchestrator) -> None:
    """Each parcel has the bytes of its own name, also an empty one."""
    contents = {"a.txt": b"alpha", "b.txt": b"beta", "c.txt": b""}
    files = [await kept(orchestrator, name, data) for name, data in contents.items()]
    sent = await packed(orchestrator, ALICE, files, limit=MIB)
    assert {each.filename: each.data for each in sent.messages[0]} == contents


async def test_a_large_text_is_zipped(orchestrator: Orchestrator) -> None:
    """The archive fits, opens, and holds the file; a note says so."""
    data = b"1,2,3\n" * 5_000
    sent = await packed(orchestrator, ALICE, [await kept(orchestrator, "a.csv", data)], limit=10_000)
    ((parcel,),) = sent.messages
    assert parcel.filename == "a.csv.zip"
    assert len(parcel.data) <= 10_000
    with zipfile.ZipFile(io.BytesIO(parcel.data)) as archive:
        assert archive.namelist() == ["a.csv"]
        assert archive.read("a.csv") == data
    (note,) = sent.notes
    assert "`a.csv` was zipped from 30.0 KB" in note


@pytest.mark.parametrize("ending", ["zip", "MP4", "mp3", "png", "jpg", "xlsx", "tgz", "webp"])
async def test_what_is_packed_already_is_kept(orchestrator: Orchestrator, ending: str) -> None:
    """Zipping it would gain nothing: the note says where it is and under which id."""
    file = await kept(orchestrator, f"big.{ending}", b"1" * 5_000)
    sent = await packed(orchestrator, ALICE, [file], limit=1_000)
    assert sent.messages == []
    (note,) = sent.notes
    assert note.startswith(f"-# 📦 `big.{ending}` (5.0 KB) is over Discord's 1.0 KB a file here: it is kept")
    assert file.file_id in note


@pytest.mark.parametrize(
    ("filename", "kind"),
    [("a.svg", "image"), ("a.bmp", "image"), ("a.tar", "archive"), ("a.wav", "audio"), ("a.doc", "document")],
)
async def test_what_can_be_pressed_is_zipped_whatever_its_kind(
    orchestrator: Orchestrator, filename: str, kind: str
) -> None:
    """A drawing, a plain archive, plain sound: their names do not say that they are packed."""
    file = await kept(orchestrator, filename, b"wave" * 2_000, kind)
    sent = await packed(orchestrator, ALICE, [file], limit=1_000)
    assert [each.filename for each in sent.messages[0]] == [f"{filename}.zip"]


async def test_noise_that_no_zip_makes_small_is_kept(orchestrator: Orchestrator) -> None:
    """An archive over the limit is not sent either."""
    file = await kept(orchestrator, "noise.bin", os.urandom(5_000))
    sent = await packed(orchestrator, ALICE, [file], limit=1_000)
    assert sent.messages == []
    assert file.file_id in sent.notes[0]


async def test_a_file_at_the_limit_is_sent_as_it_is(orchestrator: Orchestrator) -> None:
    """One byte more is zipped."""
    at = await kept(orchestrator, "at.txt", b"1" * 1_000)
    over = await kept(orchestrator, "over.txt", b"1" * 1_001)
    sent = await packed(orchestrator, ALICE, [at, over], limit=1_000)
    assert [each.filename for each in sent.messages[0]] == ["at.txt", "over.txt.zip"]


async def test_one_that_is_kept_stops_no_other(orchestrator: Orchestrator) -> None:
    """The rest is delivered."""
    files = [
        await kept(orchestrator, "big.mp4", b"1" * 5_000, "video"),
        await kept(orchestrator, "small.txt", b"1"),
    ]
    sent = await packed(orchestrator, ALICE, files, limit=1_000)
    assert [each.filename for message in sent.messages for each in message] == ["small.txt"]
    assert len(sent.notes) == 1


async def test_a_hostile_name_makes_a_harmless_note(orchestrator: Orchestrator) -> None:
    """No mention, no second line, no way out of the inline code."""
    file = (await kept(orchestrator, "a.mp4", b"1" * 5_000, "video")).model_copy(
        update={"filename": "a`\n@everyone.mp4"}
    )
    (note,) = (await packed(orchestrator, ALICE, [file], limit=1_000)).notes
    assert "\n" not in note
    assert note.count("`") == 6


async def test_the_same_name_twice_is_numbered(orchestrator: Orchestrator) -> None:
    """So that the second does not pass for the first."""
    files = [await kept(orchestrator, "a.txt", data) for data in (b"1", b"2", b"3")]
    sent = await packed(orchestrator, ALICE, files, limit=MIB)
    assert [(each.filename, each.data) for each in sent.messages[0]] == [
        ("a.txt", b"1"),
        ("2_a.txt", b"2"),
        ("3_a.txt", b"3"),
    ]


async def test_a_message_is_never_over_a_request(orchestrator: Orchestrator) -> None:
    """Large ones are shared out over messages."""
    extra = [Parcel(filename=f"{n}.bin", data=bytes(9 * MIB)) for n in range(5)]
    sent = await packed(orchestrator, ALICE, [], limit=10 * MIB, extra=extra)
    assert [len(each) for each in sent.messages] == [2, 2, 1]
    for message in sent.messages:
        assert sum(len(each.data) for each in message) <= REQUEST_BYTES


async def test_nothing_is_no_message(orchestrator: Orchestrator) -> None:
    """No files, no empty message."""
    assert (await packed(orchestrator, ALICE, [], limit=MIB)).messages == []


async def test_anothers_file_is_not_delivered(orchestrator: Orchestrator) -> None:
    """Even where a listing was wrong, the bytes are not given out."""
    file = await kept(orchestrator, "a.txt", b"private")
    sent = await packed(orchestrator, BOB, [file], limit=MIB)
    assert sent.messages == [[]]
    assert sent.notes == ["-# ⚠️ `a.txt` has expired or was deleted"]


@pytest.mark.parametrize("size", [1, 5_000])
async def test_a_file_that_is_gone_costs_only_itself(orchestrator: Orchestrator, size: int) -> None:
    """Deleted between the run and its delivery, small or to be zipped: a note, and all others."""
    files = [await kept(orchestrator, f"{n}.txt", b"1" * (size if n == 1 else 1)) for n in range(3)]
    await orchestrator.delete_user_file(files[1].file_id, ALICE)
    extra = [Parcel(filename="output.txt", data=b"out")]
    sent = await packed(orchestrator, ALICE, files, limit=1_000, extra=extra)
    assert [each.filename for each in sent.messages[0]] == ["output.txt", "0.txt", "2.txt"]
    assert sent.notes == ["-# ⚠️ `1.txt` has expired or was deleted"]


async def test_zips_on_disk_are_no_more_than_one_message(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no longer fits beside the others is kept, and can be fetched by itself."""
    monkeypatch.setattr("bot.delivery.REQUEST_BYTES", 1_500)
    half = os.urandom(700).hex().encode()
    files = [await kept(orchestrator, f"{n}.csv", half) for n in range(3)]
    sent = await packed(orchestrator, ALICE, files, limit=1_000)
    assert [[each.filename for each in message] for message in sent.messages] == [["0.csv.zip"]]
    assert sum("is kept" in each for each in sent.notes) == 2


async def test_a_delivery_holds_one_message_in_memory(orchestrator: Orchestrator) -> None:
    """190 MB in twenty files, at no time more than two of 9.5 MB, which is what a request takes."""
    data = os.urandom(9_500_000)
    files = [await kept(orchestrator, f"{n:02}.bin", data) for n in range(20)]
    del data
    tracemalloc.start()
    try:
        async with pack(orchestrator, ALICE, files, limit=10 * MIB) as delivery:
            assert [len(each) for each in delivery.messages] == [2] * 10
            for items in delivery.messages:
                async with delivery.loaded(items) as loaded:
                    assert sum(len(each.data) for each in loaded.parcels) == 19_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32_000_000


async def test_all_deliveries_together_hold_so_much_and_no_more(orchestrator: Orchestrator) -> None:
    """Ten at once: those for which there is no room wait until another was sent."""
    held, most, now, full = Held(3_000), 0, 0, asyncio.Event()
    file = await kept(orchestrator, "a.txt", b"1" * 1_000)

    async def deliver() -> None:
        nonlocal most, now
        async with (
            pack(orchestrator, ALICE, [file], limit=MIB, held=held) as delivery,
            delivery.loaded(delivery.messages[0]) as loaded,
        ):
            now += len(loaded.parcels[0].data)
            most = max(most, now)
            if now == 3_000:
                full.set()
            await full.wait()
            await orchestrator.list_user_files(ALICE)  # while others would like to come in
            now -= len(loaded.parcels[0].data)

    await asyncio.gather(*(deliver() for _ in range(10)))
    assert (most, now) == (3_000, 0)


async def test_who_waits_for_room_is_let_in_as_it_came() -> None:
    """A small one does not overtake; one larger than all passes alone; one that gives up holds nothing."""
    held, order = Held(100), list[int]()
    leave = {count: asyncio.Event() for count in (60, 500, 1, 2)}

    async def take(count: int) -> None:
        async with held.hold(count):
            order.append(count)
            await leave[count].wait()

    tasks = {}
    for count in (60, 500, 1, 2):
        tasks[count] = asyncio.create_task(take(count))
        await asyncio.sleep(0)
    assert order == [60]
    tasks[1].cancel()
    await asyncio.wait({tasks[1]})
    leave[60].set()
    await tasks[60]
    await asyncio.sleep(0)
    assert order == [60, 500]
    leave[500].set()
    leave[2].set()
    await asyncio.gather(tasks[500], tasks[2])
    assert order == [60, 500, 2]
    async with asyncio.timeout(1), held.hold(100):
        pass


@given(st.text())
def test_any_name_fits_a_header(text: str) -> None:
    """Printable, short, without separators or quotes, never empty."""
    shown = safe_filename(text)
    assert 0 < len(shown) <= 120
    assert shown.isprintable()
    assert not set(shown) & set('/\\"')


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("SPOILER_SPOILER_a.txt", "a.txt"),
        ("Spoiler_sPOILER_a.txt", "a.txt"),
        ("x" * 30 + "SPOILER_" * 15, "file"),
        ("(SPOILER_a.txt", "a.txt"),
        ("SPO(ILER_a.txt", "a.txt"),
        ("SPOILER a.txt", "a.txt"),
        ("SPOILERS_a.txt", "SPOILERS_a.txt"),
        ("no SPOILER_a.txt", "no SPOILER_a.txt"),
    ],
)
def test_no_name_hides_a_file(foreign: str, shown: str) -> None:
    """Twice, in small letters, by what is cut off, and by what Discord takes out of a name."""
    assert safe_filename(foreign) == shown


def test_a_long_name_keeps_its_ending() -> None:
    """What it is must still be seen."""
    assert safe_filename("a" * 300 + ".csv").endswith("a.csv")


def test_an_archive_holds_every_parcel() -> None:
    """By name, with its bytes."""
    data = zipped([Parcel(filename="a", data=b"1"), Parcel(filename="b", data=b"2")])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a": b"1", "b": b"2"}


CALLS = st.builds(
    ToolCall,
    call_id=st.text(min_size=1, max_size=5),
    name=st.text(max_size=9),
    arguments=st.text(max_size=20),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Questions, each with any number of calls that are answered, and perhaps an answer."""
    said: list[Message] = []
    for n in range(draw(st.integers(0, 6))):
        said.append(Text(role="user", text=draw(st.text(max_size=60))))
        for calls in draw(st.lists(st.lists(CALLS, min_size=1, max_size=3), max_size=3)):
            said.append(Said(text="", calls=tuple(calls)))
            said.extend(ToolResult(call_id=each.call_id, output=str(n)) for each in calls)
        if draw(st.booleans()):
            said.append(Said(text=draw(st.text(max_size=60))))
    return said


@settings(max_examples=40, deadline=None)
@given(conversations())
def test_any_conversation_survives_json(said: list[Message]) -> None:
    """As rows, as JSON text, and back."""
    assert list(loaded(json.loads(json.dumps(dumped(said))))) == said


@settings(max_examples=40, deadline=None)
@given(conversations(), st.integers(-100, 600))
def test_trimming_parts_no_call_from_its_result(said: list[Message], room: int) -> None:
    """What is kept is the newest end, begins with a question, fits, and is counted right."""
    left, left_out = trimmed(said, room)
    assert left == said[left_out:]
    assert sum(tokens(each) for each in left) <= max(room, 0)
    assert not left or (isinstance(left[0], Text) and left[0].role == "user")


@settings(max_examples=40, deadline=None)
@given(conversations(), st.integers(0, 600))
def test_trimming_keeps_as_much_as_fits(said: list[Message], room: int) -> None:
    """One question more would not have fitted."""
    _, left_out = trimmed(said, room)
    if left_out:
        starts = [n for n, each in enumerate(said[:left_out]) if isinstance(each, Text)]
        assert sum(tokens(each) for each in said[starts[-1] :]) > room


def test_a_picture_is_counted_and_not_remembered() -> None:
    """It costs room now; what is stored has only the words."""
    seen = Text(role="user", text="look", pictures=(Picture(media_type="image/png", data=PNG),))
    assert tokens(seen) - tokens(Text(role="user", text="look")) == 1_000
    assert list(loaded(dumped([seen]))) == [Text(role="user", text="look")]


@given(st.text(max_size=300), st.text(max_size=300))
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    """The estimate grows with the text, in every script."""
    assert tokens(Said(text=text + more)) >= tokens(Said(text=text)) > 0


@given(st.text(max_size=500), st.integers(2, 100))
def test_a_shortened_text_has_its_head_and_tail(text: str, kept_characters: int) -> None:
    """And says how many characters are missing."""
    shown = shortened(text, kept_characters)
    half = kept_characters // 2
    if len(text) <= kept_characters:
        assert shown == text
    else:
        assert shown.startswith(text[:half])
        assert shown.endswith(text[-half:])
        assert f"[... {len(text) - 2 * half} characters left out ...]" in shown
