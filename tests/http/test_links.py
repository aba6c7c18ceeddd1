"""A signed link opens one file until its end; nothing else opens anything."""

import asyncio
import string
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator import FileNotFoundOrExpired, Orchestrator, Settings, open_orchestrator
from orchestrator.errors import ConfigurationError, InvalidRequest, LinkNotFound
from tests.e2e.support import MovableClock

BASE = "https://files.example.org"


@pytest.fixture
def clock() -> MovableClock:
    """The host's clock until a test moves it."""
    return MovableClock()


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """With a public address."""
    return Settings.load(data_dir=data_dir, public_url=BASE + "/")


@pytest.fixture
async def orchestrator(settings: Settings, clock: MovableClock) -> AsyncIterator[Orchestrator]:
    """One that gives out links."""
    async with open_orchestrator(settings, clock=clock, maintain=False) as opened:
        yield opened


async def token_of(orchestrator: Orchestrator, ref: str, ttl: timedelta | None = None) -> str:
    """The last part of a link's address."""
    address = await orchestrator.link(ref, "u", ttl)
    assert address is not None
    base, token = address.rsplit("/f/")
    assert base == BASE
    return token


async def content(orchestrator: Orchestrator, token: str) -> bytes:
    """What the token opens."""
    _, stream = await orchestrator.open_link(token)
    with stream:
        return await asyncio.to_thread(stream.read)


async def test_a_link_opens_its_file_and_says_nothing_of_the_key(orchestrator: Orchestrator) -> None:
    """The bytes come back; the key is private to us and not in the token."""
    stored = await orchestrator.upload_file("u", b"the bytes", "a.txt")
    token = await token_of(orchestrator, stored.file_id)
    assert await content(orchestrator, token) == b"the bytes"
    key = orchestrator.settings.data_dir / "link-secret"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert [path.name for path in key.parent.glob("link-secret*")] == ["link-secret"]


async def test_without_a_public_address_there_are_no_links(settings: Settings) -> None:
    """None for a file that is there, the usual error for one that is not."""
    settings = settings.model_copy(update={"public_url": None})
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        stored = await orchestrator.upload_file("u", b"x", "a.txt")
        assert await orchestrator.link(stored.file_id, "u") is None
        with pytest.raises(FileNotFoundOrExpired):
            await orchestrator.link("nothing.txt", "u")


async def test_a_foreign_file_cannot_be_linked(orchestrator: Orchestrator) -> None:
    """It looks like one that never was."""
    stored = await orchestrator.upload_file("other", b"x", "a.txt")
    with pytest.raises(FileNotFoundOrExpired):
        await orchestrator.link(stored.file_id, "u")


async def test_no_single_changed_character_of_a_token_opens_anything(orchestrator: Orchestrator) -> None:
    """Neither in the claim nor in the signature, nor one more or fewer."""
    stored = await orchestrator.upload_file("u", b"x", "a.txt")
    token = await token_of(orchestrator, stored.file_id)
    alphabet = string.ascii_letters + string.digits + "-_."
    changed = {token[:-1], token + "A", token + "=", token + ".", "", ".", "..", "a.b", "\u00e9.x"}
    changed.add("A" * 5000)
    for place, character in enumerate(token):
        other = alphabet[(alphabet.index(character) + 1) % len(alphabet)]
        changed.add(token[:place] + other + token[place + 1 :])
    for forged in changed:
        with pytest.raises(LinkNotFound):
            await orchestrator.open_link(forged)
    assert await content(orchestrator, token) == b"x"


async def test_a_key_of_another_installation_signs_nothing_here(
    orchestrator: Orchestrator, settings: Settings, tmp_path: Path
) -> None:
    """The same claim under another key is a forgery."""
    stored = await orchestrator.upload_file("u", b"x", "a.txt")
    token = await token_of(orchestrator, stored.file_id)
    settings = settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})
    async with open_orchestrator(settings, maintain=False) as other:
        with pytest.raises(LinkNotFound):
            await other.open_link(token)


async def test_a_link_ends_with_its_time_its_file_or_its_deletion(
    orchestrator: Orchestrator, clock: MovableClock
) -> None:
    """Whichever comes first; an extended file does not revive an old link."""
    short, deleted, long = [await orchestrator.upload_file("u", b"x", f"{n}.txt") for n in range(3)]
    tokens = [
        await token_of(orchestrator, short.file_id, timedelta(hours=1)),
        await token_of(orchestrator, deleted.file_id),
        await token_of(orchestrator, long.file_id, timedelta(days=300)),
    ]
    await orchestrator.delete_user_file(deleted.file_id, "u")
    with pytest.raises(LinkNotFound):
        await orchestrator.open_link(tokens[1])
    clock.move(hours=1)
    with pytest.raises(LinkNotFound):
        await orchestrator.open_link(tokens[0])
    assert await content(orchestrator, tokens[2]) == b"x"
    await orchestrator.extend_file(long.file_id, "u", 100)
    clock.move(hours=48)
    assert await orchestrator.load_file(long.file_id, "u") == b"x"
    with pytest.raises(LinkNotFound):
        await orchestrator.open_link(tokens[2])


@pytest.mark.parametrize("ttl", [timedelta(), timedelta(seconds=-1), timedelta.max])
async def test_a_link_for_no_time_or_for_ever_is_refused(orchestrator: Orchestrator, ttl: timedelta) -> None:
    """With a sentence, before anything is signed."""
    stored = await orchestrator.upload_file("u", b"x", "a.txt")
    with pytest.raises(InvalidRequest, match="between"):
        await orchestrator.link(stored.file_id, "u", ttl)


async def test_a_damaged_key_is_said_and_not_replaced(orchestrator: Orchestrator) -> None:
    """An empty key would sign for everybody."""
    stored = await orchestrator.upload_file("u", b"x", "a.txt")
    key = orchestrator.settings.data_dir / "link-secret"
    key.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="delete it"):
        await orchestrator.link(stored.file_id, "u")


@pytest.mark.parametrize("url", ["files.example.org", "ftp://x", "https://a b", "https://x?y", "https://u@x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """Named by its variable."""
    with pytest.raises(ConfigurationError, match="SANDGLASS_PUBLIC_URL"):
        Settings.load(public_url=url)
