"""Many people at once, over a bot in a process of its own; `make soak` is the long one."""

from pathlib import Path

from tests.bot.soak import PEOPLE, soak


async def test_fifty_people_in_fifty_channels_lose_no_turn(data_dir: Path) -> None:
    """Every question gets its own answer, some of them computed, and no 429 is caused by us."""
    found = await soak(data_dir, seconds=25)
    assert found.asked >= PEOPLE
    assert found.lost == 0
    assert found.computed > 0
    assert found.caused == []
