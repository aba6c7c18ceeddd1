"""The benchmark's picture, drawn in a sandbox of ours, and its table between two marks of a document."""

import asyncio
import re
from importlib import resources

from orchestrator.app import open_orchestrator
from orchestrator.bench.figures import Report
from orchestrator.bench.stage import own_directory
from orchestrator.errors import EngineFault
from orchestrator.settings import Settings

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
_OWNER = "bench"


async def draw(settings: Settings, report: Report) -> bytes:
    """A PNG of the report; raises the faults of an execution."""
    program = await asyncio.to_thread(_program)
    async with own_directory() as directory:
        own = settings.model_copy(update={"data_dir": directory})
        async with open_orchestrator(own, maintain=False) as orchestrator:
            await orchestrator.upload_file(_OWNER, report.as_json().encode(), "benchmark.json")
            result = await orchestrator.execute_code(program, _OWNER)
            if not result.success or not result.generated_file_ids:
                last = (result.error.strip().splitlines() or ["it said nothing"])[-1]
                raise EngineFault(
                    f"The picture was not drawn ({last}): check the image with `sandglass image verify`."
                )
            return await orchestrator.load_file(result.generated_file_ids[0], _OWNER)


def _program() -> str:
    return (resources.files("orchestrator.bench") / "programs" / "draw.py").read_text()


def between_marks(text: str, table: str) -> str:
    """The document with `table` between its marks; a document without marks is the table alone."""
    block = f"{BEGIN}\n{table}{END}"
    if BEGIN not in text or END not in text:
        return table
    return re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, count=1, flags=re.DOTALL)
