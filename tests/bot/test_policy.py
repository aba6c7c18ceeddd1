"""Who may ask, how often and for how much: lists, buckets, prices, budgets, and the file read again."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import money, policy
from bot.model import Usage
from bot.policy import Policy, Rules, Who
from bot.settings import BotSettings, SetupError
from bot.store import Store, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = Who.of(1, 10, 900, (7,))


class Hands:
    """A clock that the test turns, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Where the hands point."""
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The clock that the policy reads."""
    turned = Hands()
    monkeypatch.setattr(policy, "time", turned)
    return turned


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty ledger."""
    async with open_store(tmp_path / "bot.sqlite3") as opened:
        yield opened


def limited(**cooldown: float) -> Policy:
    """A policy with a bucket and no file."""
    return Policy(None, Rules.model_validate({"cooldown": cooldown}))


async def test_a_bucket_fills_with_time(hands: Hands) -> None:
    """One request each `seconds`, and to the moment."""
    bucket = limited(burst=2, seconds=30)
    assert [await bucket.wait_time(1) for _ in range(3)] == [0, 0, 30]
    hands.now += 29
    assert await bucket.wait_time(1) == pytest.approx(1)
    hands.now += 1
    assert await bucket.wait_time(1) == 0
    assert await bucket.wait_time(1) == pytest.approx(30)


async def test_a_bucket_never_overflows(hands: Hands) -> None:
    """A day of silence saves up no more than the burst."""
    bucket = limited(burst=3, seconds=10)
    assert await bucket.wait_time(1) == 0
    hands.now += 86_400
    assert [await bucket.wait_time(1) for _ in range(4)] == [0, 0, 0, 10]


async def test_a_refused_request_costs_nothing(hands: Hands) -> None:
    """Whoever asks while waiting does not wait longer for it."""
    bucket = limited(burst=1, seconds=10)
    await bucket.wait_time(1)
    for _ in range(10):
        hands.now += 0.9
        assert await bucket.wait_time(1) > 0
    hands.now += 1.01
    assert await bucket.wait_time(1) == 0


async def test_everybody_has_a_bucket(hands: Hands) -> None:
    """One who asks too much stops nobody else."""
    bucket = limited(burst=1, seconds=60)
    assert await bucket.wait_time(1) == 0
    assert await bucket.wait_time(1) == 60
    assert await bucket.wait_time(2) == 0


async def test_zero_seconds_is_no_cooldown(hands: Hands) -> None:
    """Without a time to fill there is nothing to wait for."""
    bucket = limited(burst=1, seconds=0)
    assert {await bucket.wait_time(1) for _ in range(50)} == {0.0}


async def test_forgetting_full_buckets_gives_nobody_more(hands: Hands) -> None:
    """A crowd of ten thousand lets no one's empty bucket be forgotten."""
    bucket = limited(burst=1, seconds=1_000)
    for user in range(10_050):
        await bucket.wait_time(user)
    assert await bucket.wait_time(0) == pytest.approx(1_000)
    hands.now += 1_000
    assert await bucket.wait_time(0) == 0


@pytest.mark.parametrize(
    ("rules", "admitted"),
    [
        ({}, True),
        ({"block": {"users": [1]}}, False),
        ({"block": {"roles": [7]}}, False),
        ({"block": {"channels": [10]}}, False),
        ({"block": {"guilds": [900]}}, False),
        ({"block": {"users": [2], "roles": [8], "channels": [11], "guilds": [901]}}, True),
        ({"allow": {"users": [1]}}, True),
        ({"allow": {"roles": [7]}}, True),
        ({"allow": {"channels": [10]}}, True),
        ({"allow": {"guilds": [900]}}, True),
        ({"allow": {"users": [2], "roles": [8], "channels": [11], "guilds": [901]}}, False),
        ({"allow": {"users": [1]}, "block": {"guilds": [900]}}, False),
        ({"admins": [1], "allow": {"users": [2]}, "block": {"users": [1]}}, True),
        ({"admins": [2], "block": {"users": [1]}}, False),
    ],
)
def test_lists_admit_by_any_id(rules: dict[str, Any], admitted: bool) -> None:
    """User, role, channel and guild count alike; block wins over allow, an admin is always in."""
    assert Rules.model_validate(rules).admits(ALICE) is admitted


def test_a_dm_belongs_to_no_guild() -> None:
    """A list of guilds that are let in lets no DM in; a list of blocked ones blocks none."""
    dm = Who.of(1, 10, None, ())
    assert not Rules.model_validate({"allow": {"guilds": [900]}}).admits(dm)
    assert Rules.model_validate({"block": {"guilds": [900]}}).admits(dm)


@given(st.frozensets(st.integers(0, 5)), st.frozensets(st.integers(0, 5)), st.integers(0, 5))
def test_a_blocked_user_is_never_admitted(
    allowed: frozenset[int], blocked: frozenset[int], user: int
) -> None:
    """Whatever the allow list says."""
    rules = Rules.model_validate({"allow": {"users": allowed}, "block": {"users": blocked}})
    wanted = user not in blocked and (not allowed or user in allowed)
    assert rules.admits(Who.of(user, 10, None, ())) is wanted


def write(path: Path, text: str, stamp: int) -> None:
    """A policy file of a known age."""
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    os.utime(path, (stamp, stamp))


async def test_a_changed_file_is_followed(hands: Hands, tmp_path: Path) -> None:
    """Without a restart, and not before the next look."""
    path = tmp_path / "policy.toml"
    await asyncio.to_thread(write, path, "[block]\nusers = [1]\n", 1_000)
    opened = await Policy.open(path)
    assert not (await opened.rules()).admits(ALICE)
    await asyncio.to_thread(write, path, "admins = [5]\n", 2_000)
    assert not (await opened.rules()).admits(ALICE)
    hands.now += 1
    assert (await opened.rules()).admits(ALICE)
    assert (await opened.rules()).admins == {5}


@pytest.mark.parametrize(
    "text", ["[block", "[blok]\nusers = [1]\n", "[budget.user]\ntokens = -1\n", "# caf\udce9"]
)
async def test_a_malformed_change_is_not_followed(hands: Hands, tmp_path: Path, text: str) -> None:
    """The old rules stay in force, so that a slip of the pen opens no door; mended, it is read."""
    path = tmp_path / "policy.toml"
    await asyncio.to_thread(write, path, "[block]\nusers = [1]\n", 1_000)
    opened = await Policy.open(path)
    await asyncio.to_thread(write, path, text, 2_000)
    hands.now += 1
    assert not (await opened.rules()).admits(ALICE)
    await asyncio.to_thread(write, path, "", 3_000)
    hands.now += 1
    assert (await opened.rules()).admits(ALICE)


async def test_a_file_that_is_gone_leaves_the_rules(hands: Hands, tmp_path: Path) -> None:
    """A deleted policy unblocks nobody."""
    path = tmp_path / "policy.toml"
    await asyncio.to_thread(write, path, "[block]\nusers = [1]\n", 1_000)
    opened = await Policy.open(path)
    await asyncio.to_thread(path.unlink)
    hands.now += 1
    assert not (await opened.rules()).admits(ALICE)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[block", "no valid TOML"),
        ("[blok]\nusers = [1]", "blok"),
        ("[cooldown]\nburst = 0", "cooldown.burst"),
        ("[budget.user]\ndollars = -1", "budget.user.dollars"),
        ('admins = ["alice"]', "admins"),
    ],
)
async def test_a_malformed_file_is_named_at_the_start(tmp_path: Path, text: str, named: str) -> None:
    """One sentence with the file, the place and the remedy."""
    path = tmp_path / "policy.toml"
    await asyncio.to_thread(write, path, text, 1_000)
    with pytest.raises(SetupError) as caught:
        await Policy.open(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)
    assert str(caught.value).endswith("correct it.")


async def test_a_missing_file_is_named_at_the_start(tmp_path: Path) -> None:
    """With the variable that names it."""
    with pytest.raises(SetupError, match=r"SANDGLASS_POLICY names .* cannot be read"):
        await Policy.open(tmp_path / "nowhere.toml")


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6))
def test_cached_tokens_are_never_dearer(prompt: int, cached: int, completion: int) -> None:
    """A price is never negative, and cached words cost at most what fresh ones do."""
    cached = min(cached, prompt)
    part = money.price("gpt-5", Usage(prompt=prompt, completion=completion, cached=cached))
    assert 0 <= part <= money.price("gpt-5", Usage(prompt=prompt, completion=completion)) + 1e-9


@pytest.mark.parametrize(
    ("model", "dollars"),
    [("gpt-5", 1.25), ("gpt-5-mini", 0.25), ("gpt-5-mini-2025-08-07", 0.25), ("gpt-50", 0), ("", 0)],
)
def test_a_price_is_of_a_whole_name(model: str, dollars: float) -> None:
    """A name that only begins alike is another model."""
    assert money.price(model, Usage(prompt=1_000_000)) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        ({"user": {"tokens": 1_500}}, "Your daily budget of 1,500 tokens is used up"),
        ({"user": {"dollars": 0.5}}, "Your daily budget of $0.5 is used up"),
        ({"user": {"cpu_seconds": 60}}, "Your daily budget of 60 seconds of computing is used up"),
        ({"guild": {"tokens": 1_500}}, "This server's daily budget of 1,500 tokens is used up"),
        ({"bot": {"dollars": 0.5}}, "The bot's daily budget of $0.5 is used up"),
        ({"user": {"tokens": 1_501, "dollars": 0.51, "cpu_seconds": 61}}, None),
        ({"guild": {"tokens": 1_501}, "bot": {"tokens": 1_501}}, None),
        ({}, None),
    ],
)
async def test_a_budget_is_spent_at_its_bound(
    store: Store, budget: dict[str, Any], sentence: str | None
) -> None:
    """Exactly the bound is used up, one below is not; the sentence says whose and until when."""
    await store.book(
        user_id=1,
        guild_id=900,
        at=NOON,
        usage=Usage(prompt=1_000, completion=500),
        dollars=0.5,
        cpu_seconds=60,
    )
    said = await money.used_up(store, Rules.model_validate({"budget": budget}), ALICE, NOON)
    assert said == (sentence and f"{sentence}: it starts again at 00:00 UTC.")


async def test_a_budget_starts_again_at_midnight(store: Store) -> None:
    """What was spent yesterday does not count today."""
    rules = Rules.model_validate({"budget": {"user": {"cpu_seconds": 1}}})
    await store.book(user_id=1, guild_id=None, at=NOON, cpu_seconds=5)
    assert await money.used_up(store, rules, ALICE, NOON.replace(hour=23, minute=59)) is not None
    assert await money.used_up(store, rules, ALICE, NOON + timedelta(hours=12)) is None


async def test_anothers_spending_is_not_mine(store: Store) -> None:
    """It counts for the guild that we share, not for me, and not in a DM of mine."""
    await store.book(user_id=2, guild_id=900, at=NOON, cpu_seconds=5)
    mine = Rules.model_validate({"budget": {"user": {"cpu_seconds": 1}}})
    ours = Rules.model_validate({"budget": {"guild": {"cpu_seconds": 1}}})
    assert await money.used_up(store, mine, ALICE, NOON) is None
    assert await money.used_up(store, ours, ALICE, NOON) is not None
    assert await money.used_up(store, ours, Who.of(1, 10, None, ()), NOON) is None


async def test_an_admin_has_no_budget(store: Store) -> None:
    """Whoever runs the bot is never locked out."""
    await store.book(user_id=1, guild_id=None, at=NOON, cpu_seconds=5)
    rules = Rules.model_validate({"admins": [1], "budget": {"user": {"cpu_seconds": 1}}})
    assert await money.used_up(store, rules, ALICE, NOON) is None


async def test_a_budget_of_zero_is_spent_at_once(store: Store) -> None:
    """Nothing may be spent, rather than everything."""
    rules = Rules.model_validate({"budget": {"user": {"tokens": 0}}})
    assert await money.used_up(store, rules, ALICE, NOON) is not None


SECRETS = {"discord_token": "very-secret-token", "openai_api_key": "very-secret-key"}


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of the one who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("SANDGLASS_", "DISCORD_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("_bare")
def test_no_secret_is_ever_printed() -> None:
    """Neither as text, nor as a dump, nor as JSON."""
    settings = BotSettings.load(**SECRETS)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "very-secret" not in shown
    assert settings.discord_token is not None
    assert settings.discord_token.get_secret_value() == "very-secret-token"


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", ["DISCORD_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A line that was left empty in a file of variables says nothing."""
    monkeypatch.setenv(name, "")
    settings = BotSettings.load()
    assert getattr(settings, name.lower()) is None
    assert not settings.has_model


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANDGLASS_MAX_ROUNDS", "0"),
        ("SANDGLASS_MAX_ROUNDS", "51"),
        ("SANDGLASS_MODEL_WINDOW", "10"),
        ("SANDGLASS_OPENAI_TIMEOUT", "0"),
        ("SANDGLASS_OPENAI_API", "telepathy"),
        ("SANDGLASS_MODEL_SEES", "perhaps"),
    ],
)
def test_a_value_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The variable as one writes it, and what to do."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=rf"^{name} is not usable .*: correct it and start again\.$"):
        BotSettings.load()


@pytest.mark.usefixtures("_bare")
def test_the_offered_models_are_distinct_and_the_default_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is offered even where the list leaves it out, and never twice."""
    monkeypatch.setenv("SANDGLASS_OPENAI_MODEL", "b")
    monkeypatch.setenv("SANDGLASS_OPENAI_MODELS", '["a", "b", "a"]')
    assert BotSettings.load().models == ("b", "a")
    monkeypatch.setenv("SANDGLASS_OPENAI_MODELS", "a, c,,b")
    assert BotSettings.load().models == ("b", "a", "c")


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_a_key_or_an_address_is_a_model(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A local server needs no key, the usual one no address."""
    monkeypatch.setenv(name, "http://127.0.0.1:1/v1")
    assert BotSettings.load().has_model
