"""What is cut, defused, trimmed and packed, without Discord."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.delivery import file_limit, safe_filename
from bot.markdown import PART, block, fenced_code, name, prose, split
from bot.markdown import program as program_of
from bot.memory import dumped, loaded, tokens, trimmed
from bot.model import Message, Said, Text, ToolCall, ToolResult, Usage
from bot.money import price
from bot.policy import Policy, Rules, Who
from bot.settings import BotSettings, SetupError
from bot.traces import trace


@given(st.lists(st.sampled_from(["word " * 30, "```python", "```", "x = 1", "", "~~~", "y" * 2500])))
def test_no_part_is_too_long_and_no_fence_is_left_open(lines: Sequence[str]) -> None:
    """Whatever comes, each part fits a message."""
    for part in split(prose("\n".join(lines))):
        assert len(part) <= PART
        assert part.count("```") % 2 == 0


@given(st.text())
def test_a_block_is_never_left(text: str) -> None:
    """No output ends its own fence."""
    assert block(text).count("```") == 2


@given(st.text())
def test_prose_mentions_nobody_and_signs_nothing(text: str) -> None:
    """Outside fences no mention and no small print survives."""
    text = text.replace("```", "").replace("~~~", "")
    shown = prose(f"-# {text} @everyone <@1> <#2>")
    assert "@everyone" not in shown
    assert "<@1>" not in shown
    assert not shown.startswith("-#")


@given(st.text())
def test_a_name_is_one_piece_of_inline_code(text: str) -> None:
    """No back-tick or line end of a foreign name gets out."""
    shown = name(text)
    assert shown.count("`") == 2
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nprint(1)\n```", "print(1)"),
        ("```py\na\n``` and ```\nb\n```", "a\nb"),
        ("```print(2)```", "print(2)"),
        ("no code", None),
        ("```json\n{}\n```", None),
        ("```Python\nx\n``` ```PY3\ny\n``` ```ipython \nz\n``` ```python3\r\nw\n```", "x\ny\nz\nw"),
        ("```bash\nls\n``` ```py\nx\n``` ```c++\n{}\n``` ```\ny\n```", "x\ny"),
        ("```pyx = 1\ny = 2\n```", "pyx = 1\ny = 2"),
        ("``` 1 + 1 ```", "1 + 1"),
        ("````py\nx\n````", "x"),
        ("```py\n\n    x\n\n```", "    x"),
        ("```py\nx\n``` ```py\ny", "x"),
        ("```json\n```", None),
        ("```\n \n```", None),
    ],
)
def test_fenced_code_is_found(text: str, code: str | None) -> None:
    """Python and what has no tag, several blocks in order; no other language."""
    assert fenced_code(text) == code


def history(turns: int) -> list[Message]:
    """Questions with a call and its result each."""
    said: list[Message] = []
    for n in range(turns):
        call = ToolCall(call_id=f"c{n}", name="execute_python", arguments='{"code": "1"}')
        said += [
            Text(role="user", text=f"question {n}"),
            Said(text="", calls=(call,)),
            ToolResult(call_id=f"c{n}", output="1"),
            Said(text=f"answer {n}"),
        ]
    return said


def test_memory_comes_back_as_it_was() -> None:
    """Rows and back."""
    said = history(3)
    assert list(loaded(dumped(said))) == said


@given(st.integers(min_value=0, max_value=400))
def test_trimming_keeps_the_newest_whole_turns(room: int) -> None:
    """Never more than the room, never a call without its result."""
    said = history(6)
    kept, left_out = trimmed(said, room)
    assert sum(tokens(each) for each in kept) <= room
    assert kept == said[left_out:]
    assert left_out % 4 == 0


def test_nothing_to_trim_is_nothing() -> None:
    """An empty history stays empty."""
    assert trimmed([], 100) == ([], 0)


def test_a_foreign_file_name_fits_a_header() -> None:
    """No separator, quote, control character or prefix that hides it."""
    assert safe_filename('SPOILER_a/b\\c"\n\u202ed.txt') == "a_b_c___d.txt"
    assert safe_filename("") == "file"


def test_the_size_limit_is_the_tier_or_what_was_told_and_never_over_a_request() -> None:
    """10 MiB, 25 for a whole request, or what Discord says."""
    assert file_limit(None) == 10 * 1024 * 1024
    assert file_limit(0, 500_000) == 500_000
    assert file_limit(3) < 25 * 1024 * 1024


def test_a_price_is_of_the_longest_known_name() -> None:
    """Dated names cost what their family costs; an unknown model costs no dollars."""
    used = Usage(prompt=1_000_000, completion=1_000_000)
    assert price("gpt-4o-mini-2024-07-18", used) == pytest.approx(0.75)
    assert price("gpt-4o", Usage(prompt=1_000_000, cached=1_000_000)) == pytest.approx(1.25)
    assert price("something-else", used) == 0


def test_block_wins_over_allow_and_admins_over_both() -> None:
    """The lists are of ids of any kind."""
    rules = Rules.model_validate({"admins": [1], "allow": {"roles": [7]}, "block": {"users": [2]}})
    assert rules.admits(Who.of(1, 10, None, ()))
    assert rules.admits(Who.of(3, 10, None, (7,)))
    assert not rules.admits(Who.of(2, 10, None, (7,)))
    assert not rules.admits(Who.of(3, 10, None, ()))


async def test_a_bucket_empties_and_says_how_long() -> None:
    """As many as the burst, then a wait."""
    policy = Policy(None, Rules.model_validate({"cooldown": {"burst": 2, "seconds": 30}}))
    assert [await policy.wait_time(1) for _ in range(2)] == [0, 0]
    assert 29 < await policy.wait_time(1) <= 30
    assert await policy.wait_time(2) == 0


def test_a_malformed_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the variable, without the value."""
    monkeypatch.setenv("SANDGLASS_MAX_ROUNDS", "topsecret")
    with pytest.raises(SetupError, match="SANDGLASS_MAX_ROUNDS is not usable") as caught:
        BotSettings.load()
    assert "topsecret" not in str(caught.value)


def test_a_trace_has_lines_and_no_values() -> None:
    """What somebody wrote stays out of the log."""
    try:
        raise ValueError("a prompt")
    except ValueError as error:
        fields = trace(error)
    assert fields["error"] == "ValueError"
    assert "test_text.py:" in fields["where"]
    assert "prompt" not in str(fields)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("print(1)", "print(1)"),
        ("    print(1)", "    print(1)"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("print('```')", "print('```')"),
        ('```json\n{"a": 1}\n```', None),
        (" \n", None),
    ],
)
def test_what_is_given_to_run_is_python_or_nothing(text: str, program: str | None) -> None:
    """With a fence or without; a block of another language is not run with its back-ticks."""
    assert program_of(text) == program
