"""How an answer is written: at most one edit a second and message, and in the end every word once."""

from itertools import pairwise

from bot.client import SandglassClient
from tests.bot.test_turns import ended
from tests.discord.model import LocalModel, hang, say
from tests.discord.server import LocalDiscord, Message

SECOND = 1.0
LATE = 0.25
"""Seconds by which a busy machine may bring one request later than it was sent, and the next one not."""


def gaps(message: Message) -> list[float]:
    """Seconds between what was to be seen one after the other."""
    moments = [each.at for each in message.revisions]
    return [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]


async def test_a_message_is_edited_once_a_second_and_ends_whole(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Each of two messages while the words stream, and the last edit when they end just after another."""
    paragraphs = [f"Paragraph {n}: " + f"word{n} " * 25 for n in range(15)]
    model.script([[say("\n\n".join(paragraphs), pieces=50, delay=0.1), hang(), say("The end.")]])
    await discord.user("alice").ask(discord.general, "go")
    await model.until(lambda: model.hanging, 60)
    second = await discord.general.wait_for(lambda m: m.content.count("word14") == 25, 30)
    before = len(second.revisions)
    model.release()
    first = await discord.general.wait_for(lambda m: "Paragraph 0" in m.content and ended(m), 30)
    await discord.world.until(lambda: "The end." in second.content or None, 10, "not ended")
    for message in (first, second):
        assert len(message.revisions) >= 3
        assert min(gaps(message)) >= SECOND - LATE
        assert sum(gaps(message)) >= SECOND * len(gaps(message)) - LATE
        assert message.revisions[-1].content == message.content
    assert len(second.revisions) == before + 1
    words = " ".join(f"{first.content} {second.content}".split())
    assert words == " ".join([*"\n\n".join(paragraphs).split(), "The", "end."])
