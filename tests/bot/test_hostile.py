"""Foreign text that is made to be slow, forged or misread: it is read at once, and as what it is."""

import sys
from types import FrameType

from bot import markdown, render
from tests.bot.test_render import ran


def test_long_output_is_a_file_before_it_is_fenced() -> None:
    """What does not fit by its length or its lines is not read for Discord at all."""
    called: list[str] = []

    def calling(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals.get("__name__") == markdown.__name__:
            called.append(frame.f_code.co_name)

    for output, error in (("</" * 32_768, "</" * 32_768), ("x\n" * 400, ""), ("x" * 990, "x" * 20)):
        run = ran(output=output, error=error)
        sys.setprofile(calling)
        try:
            shown, data = render.output_of(run)
        finally:
            sys.setprofile(None)
        assert shown is None
        assert data is not None
        assert len(data) >= len(output) + len(error) - 1
    assert called == []
