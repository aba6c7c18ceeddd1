"""Which requests are made again, and how often."""

import aiohttp
import nextcord
import pytest

from bot import sending
from bot.sending import insist


class Answer:
    """As much of an answer as an exception of nextcord's looks at."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.reason = "because"


def refused(status: int) -> nextcord.HTTPException:
    """An answer of Discord's that is none."""
    return nextcord.HTTPException(Answer(status), "no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (refused(503), 4),
        (refused(520), 4),
        (aiohttp.ServerDisconnectedError(), 4),
        (ConnectionResetError(104, "reset"), 4),
        (TimeoutError(), 4),
        (refused(400), 1),
        (refused(403), 1),
        (refused(429), 1),
        (refused(500), 1),
        (refused(504), 1),
    ],
)
async def test_only_what_may_pass_and_was_not_repeated_already_is_made_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    """Nextcord itself repeats 500, 502 and 504 five times; a 429 that comes so far is not asked again."""
    monkeypatch.setattr(sending, "_AGAIN", (0.0, 0.0, 0.0))
    made = 0

    async def send() -> None:
        nonlocal made
        made += 1
        raise error

    with pytest.raises(type(error)):
        await insist(send)
    assert made == tries
