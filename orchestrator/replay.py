"""An execution run again: with what it had as far as that is still there, and what came out differently."""

from collections.abc import Sequence
from itertools import zip_longest

from orchestrator.domain.files import StoredFile
from orchestrator.domain.operations import RecordedInput, Replay
from orchestrator.domain.results import Execution, ExecutionResult
from orchestrator.domain.sandbox import ImageInfo
from orchestrator.errors import ImageMismatch, ImageMissing
from orchestrator.lifecycle.ports import Engine, Inspectable


async def choose_image(engine: Engine, digest: str | None) -> tuple[ImageInfo | None, list[str]]:
    """The image of then, or None and a phrase where the engine has it no more or cannot run it any more."""
    if not digest or not isinstance(engine, Inspectable):
        return None, []
    try:
        return await engine.image_of(digest), []
    except ImageMissing:
        return None, [f"the engine has no image {digest} any more: the one of now ran instead"]
    except ImageMismatch:
        return None, [f"the image {digest} speaks another runner contract: the one of now ran instead"]


def choose_inputs(
    recorded: Sequence[RecordedInput], live: Sequence[StoredFile]
) -> tuple[list[str], list[str]]:
    """Live files with the hashes of then, by id first, and a phrase for each that is not what it was."""
    by_id = {file.file_id: file for file in live}
    by_hash = {file.sha256: file for file in live}
    chosen, changed = [], []
    for one in recorded:
        same = by_id.get(one.file_id)
        if same is None or same.sha256 != one.sha256:
            same = by_hash.get(one.sha256)
            changed.append(
                f"input {one.file_id} is gone"
                if same is None
                else f"input {one.file_id} is now {same.file_id}, with the same content"
            )
        if same is not None:
            chosen.append(same.file_id)
    return chosen, changed


def compare_replay(original: Execution, result: ExecutionResult, changed: Sequence[str]) -> Replay:
    """What came out differently: image, runtime, outcome, exit code, output and files by content."""
    found = list(changed)
    then = original.result
    pairs: list[tuple[str, object, object]] = [
        ("image", original.image, result.image),
        ("runtime", original.runtime, result.runtime),
    ]
    if then is None:
        found.append(f"the original has no result: it is {original.state}")
    else:
        pairs += [("outcome", then.outcome, result.outcome), ("exit code", then.exit_code, result.exit_code)]
    found += [f"{name} was {was}, is {now}" for name, was, now in pairs if was != now]
    if then is not None:
        found += [
            f"{name} differs from line {_first_difference(was, now)} on"
            for name, was, now in (
                ("output", then.output, result.output),
                ("error output", then.error, result.error),
            )
            if was != now
        ]
        found += _file_differences(then.generated_files, result.generated_files)
    return Replay(original=original, result=result, differences=tuple(found))


def _first_difference(was: str, now: str) -> int:
    lines = zip_longest(was.splitlines(keepends=True), now.splitlines(keepends=True))
    return next((number for number, (one, other) in enumerate(lines, 1) if one != other), 1)


def _file_differences(was: Sequence[StoredFile], now: Sequence[StoredFile]) -> list[str]:
    old, new = ({file.path: file.sha256 for file in files} for files in (was, now))
    found = [f"file {path} was not made again" for path in old.keys() - new.keys()]
    found += [f"file {path} is new" for path in new.keys() - old.keys()]
    found += [f"file {path} has other content" for path in old.keys() & new.keys() if old[path] != new[path]]
    return sorted(found)
