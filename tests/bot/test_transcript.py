"""The picture of a conversation in the README is drawn from what the bot really sends."""

import os
import re
from pathlib import Path

from bot.client import SandglassClient
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord

PICTURE = Path(__file__).parents[2] / "bot" / "transcript.svg"
SALES = b"""month,region,units,price
2026-07,north,120,9.5\n2026-07,south,80,9.5\n2026-08,north,150,9.0\n2026-08,south,95,9.0
2026-09,north,90,9.9\n2026-09,south,130,9.9\n2026-10,north,170,9.2\n2026-10,south,160,9.2
"""
CODE = """
import matplotlib.pyplot as plt

sales = load_file("sales.csv")
sales["revenue"] = sales.units * sales.price
table = sales.pivot_table(index="month", columns="region", values="revenue", aggfunc="sum")
table["total"] = table.sum(axis=1)
table.to_csv("revenue.csv")
table[["north", "south"]].plot.bar(stacked=True, rot=0, figsize=(6, 3.2), title="Revenue by month")
plt.tight_layout()
print(table.round(0).astype(int).to_string())
"""
ANSWER = """
**October was the best month**: 3 036 of revenue, 38 % more than August, the second best.
- The north leads in every month but September.
- September fell although the price was the highest: the north sold only `90` units.
"""


async def test_the_picture_in_the_readme_is_what_is_sent(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Drawn anew it differs in ids, times and the plot's bytes alone; TRANSCRIPT=write writes it."""
    model.script([[say("I will add it up."), call("execute_python", {"code": CODE})], say(ANSWER.strip())])
    alice = discord.user("alice")
    question = "here are our sales. Which month was the best? Plot the revenue."
    await alice.ask(discord.general, question, files=[("sales.csv", SALES)])
    await discord.general.wait_for(lambda m: "best month" in m.content and not m.components, 60)
    await discord.general.wait_for(lambda m: "revenue.csv" in m.files, 60)
    drawn = discord.picture(discord.general)
    if os.environ.get("TRANSCRIPT") == "write":
        PICTURE.write_text(drawn, encoding="utf-8")
    assert _steady(drawn) == _steady(PICTURE.read_text(encoding="utf-8"))
    readme = (PICTURE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert "bot/transcript.svg" in readme


def _steady(svg: str) -> str:
    """Without what is another each time."""
    svg = re.sub(r"base64,[A-Za-z0-9+/=]+", "base64,", svg)
    svg = re.sub(r"\d+_\d+_[0-9a-f]{8}", "ID", svg)
    svg = re.sub(r"\d+\.\d\d s · (warm|cold)", "TIME", svg)
    return re.sub(r"image · [\d.]+ KB", "image · SIZE", svg)
