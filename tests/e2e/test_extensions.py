"""Every extension that we claim to know, written by a program in a container, comes back in its category."""

from orchestrator import Orchestrator
from orchestrator.storage.extensions import TABLE

MAKE = """
import os
for extension, head in {files!r}:
    os.makedirs(f'made/{{extension}}', exist_ok=True)
    with open(f'made/{{extension}}/same name.{{extension}}', 'wb') as file:
        file.write(head)
"""
BATCH = 90
"""Below the 100 files of one harvest."""


def promised() -> dict[str, tuple[str, str]]:
    """The table as written: extension to category and media type."""
    rows = (line.split() for line in TABLE.splitlines() if line.strip())
    return {row[0]: (row[1], row[2]) for row in rows}


async def test_every_extension_is_captured_in_its_category(orchestrator: Orchestrator) -> None:
    """At least 120 of them, all with the same base name in directories of their own, none lost."""
    table = promised()
    assert len(table) >= 120
    names = sorted(table)
    seen: dict[str, tuple[str, str]] = {}
    for start in range(0, len(names), BATCH):
        files = [(name, f"content of {name}\n".encode()) for name in names[start : start + BATCH]]
        result = await orchestrator.execute_code(MAKE.format(files=files), "all-kinds")
        assert result.success, result.error
        assert result.skipped_files == ()
        for file in result.generated_files:
            extension = file.path.split("/")[1]
            assert file.path == f"made/{extension}/same name.{extension}"
            assert file.filename == f"same name.{extension}"
            seen[extension] = (file.type, file.media_type)
    assert {name: kind for name, (kind, _) in seen.items()} == {
        name: kind for name, (kind, _) in table.items()
    }
    stored = await orchestrator.list_user_files("all-kinds")
    assert len({file.file_id for file in stored}) == len(table)
