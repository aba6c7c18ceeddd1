"""A conversation from a mention to the files, with the real clients and real containers."""

import pytest

from tests.bot.conftest import OpenBot
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord

PLOT_AND_FILES = """
import matplotlib.pyplot as plt
plt.plot([1, 4, 9])
plt.savefig("plot.png")
plt.close()
for name in ("a.csv", "b.json", "c.txt", "d.md"):
    open(name, "w").write("1")
print("six times seven is", 6 * 7)
"""


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_plot_and_four_files_come_in_one_answer(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, api: str
) -> None:
    """Mention, tool call, execution, a plot and four files in one message, words above them."""
    model.script([[say("Let me see."), call("execute_python", {"code": PLOT_AND_FILES})], say("It is 42.")])
    alice = discord.user("alice")
    async with open_bot(openai_api=api):
        asked = await alice.ask(discord.general, "what is six times seven?")
        answer = await discord.general.wait_for(lambda m: "It is 42." in m.content and not m.components, 60)
    result = await discord.general.wait_for(lambda m: m.files)
    assert answer.reference == asked.id
    assert "Let me see." in answer.content
    assert set(result.files) == {"plot.png", "a.csv", "b.json", "c.txt", "d.md"}
    assert result.files["plot.png"].startswith(b"\x89PNG")
    assert "✅ ok" in result.content
    assert "six times seven is 42" in result.content
    assert "<t:" in result.content
    (sent,) = model.requests[1].outputs.values()
    assert "six times seven is 42" in sent
    assert model.requests[1].images, "the plot is shown to a model that sees"
