"""A budget binds within a question as well, which may be eight rounds of many programs."""

from pathlib import Path

from tests.bot.conftest import OpenBot
from tests.bot.test_turns import ended
from tests.discord.model import LocalModel, call, say, usage
from tests.discord.server import LocalDiscord


async def test_a_turn_ends_when_its_tokens_are_spent(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """The round that is asked after that is the last and has no tools, however much the model wants them."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[budget.user]\ntokens = 50\n")
    model.answer_with(lambda asked: [usage(prompt=60, completion=1), call("list_files")])
    alice = discord.user("alice")
    async with open_bot(policy=policy):
        await alice.ask(discord.general, "go")
        await discord.general.wait_for(
            lambda m: "budget of 50 tokens is used up" in m.content and ended(m), 30
        )
        assert "122 tokens of 50" in (await alice.slash("usage")).message.content
    assert [bool(each.tools) for each in model.requests] == [True, False]


async def test_a_turn_runs_no_more_programs_than_its_seconds_allow(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """Of two programs the first spends the day's seconds: the other does not run, and the model says so."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[budget.user]\ncpu_seconds = 1\n")
    busy = call("execute_python", {"code": "import time\ntime.sleep(1.2)\nprint('ran')"})
    model.script([[busy, busy], say("Only one of them.")])
    alice = discord.user("alice")
    async with open_bot(policy=policy) as bot:
        await alice.ask(discord.general, "go")
        await discord.general.wait_for(lambda m: "Only one of them." in m.content and ended(m), 60)
        assert len(await bot.services.orchestrator.list_executions(alice.id)) == 1
    first, second = model.requests[-1].outputs.values()
    assert "ran" in first
    assert "seconds of computing is used up" in second


async def test_what_is_stopped_is_shown_and_paid_for(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """Stopping the turn keeps what was printed and made until then, with its buttons, and costs its time."""
    code = "print('so', 'far', flush=True)\nopen('half.txt', 'w').write('x')\nimport time\ntime.sleep(60)"
    model.script([call("execute_python", {"code": code}), say("never")])
    alice = discord.user("alice")
    async with open_bot():
        asked = await alice.ask(discord.general, "go")
        await discord.general.wait_for(lambda m: "⏳ running" in m.content, 30)
        answer = await discord.general.wait_for(lambda m: "thinking" in m.content, 5, after=asked)
        await alice.click(answer, "Stop")
        result = await discord.general.wait_for(lambda m: "cancelled" in m.content and m.files, 30)
        assert "so far" in result.content
        assert list(result.files) == ["half.txt"]
        assert result.widget("Run again")
        await discord.general.wait_for(lambda m: "⏹️ stopped" in m.content and ended(m), 20)
        assert "0.0 s of computing" not in (await alice.slash("usage")).message.content
    assert len(model.requests) == 1


async def test_programs_that_wait_in_line_are_counted_one_after_the_other(
    discord: LocalDiscord, open_bot: OpenBot, tmp_path: Path
) -> None:
    """Three at once with the seconds of one: the others were let in while there was room, and do not run."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[cooldown]\nseconds = 0\n[budget.user]\ncpu_seconds = 1\n")
    alice = discord.user("alice")
    async with open_bot(with_model=False, policy=policy) as bot:
        code = "import time\ntime.sleep(1.2)"
        ran = [await alice.slash("run", channel=discord.general, code=code) for _ in range(3)]
        await ran[0].wait_for(lambda m: "✅" in m.content, 30)
        for each in ran[1:]:
            await each.wait_for(lambda m: "is used up" in m.content, 30)
        assert len(await bot.services.orchestrator.list_executions(alice.id)) == 1
