"""No foreign text is read by Discord as a mention, as our small print, or out of its fence.

`read` is a reader of Discord's markdown after the grammar of its own client: at every place the rules are
tried in this order, and what a bold, struck, hidden or linked stretch holds is read on its own.
"""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot import markdown, render
from bot.render import status_line
from orchestrator import SkippedFile
from tests.bot.test_render import ran, stored

CODE, MARK, LINK = "\0", "\1", "\2"
RULES = [
    ("code", re.compile(r"```(?:([a-zA-Z0-9_+\-.#]+?)\n)?\n*([^\n][\s\S]*?)\n*```")),
    ("escape", re.compile(r"\\([^0-9A-Za-z\s])")),
    ("address", re.compile(r"<([^: >]+:/[^ >]+)>")),
    ("address", re.compile(r"(?:https?|steam)://[^\s<]+[^<.,:;\"'\]\s]")),
    (
        "link",
        re.compile(
            r"\[((?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*)\]\(\s*<?(?:https?://[^\s\\]*?)>?(?:\s[^)]*)?\)"
        ),
    ),
    ("held", re.compile(r"\*\*((?:\\[\s\S]|[^\\])+?)\*\*(?!\*)")),
    ("held", re.compile(r"__((?:\\[\s\S]|[^\\])+?)__(?!_)")),
    ("held", re.compile(r"\*(?=\S)((?:\*\*|\\[\s\S]|[^*\\])+?)\*(?!\*)")),
    ("held", re.compile(r"~~([\s\S]+?)~~")),
    ("held", re.compile(r"\|\|([\s\S]+?)\|\|")),
    ("code", re.compile(r"(`+)([\s\S]*?[^`])\1(?!`)")),
]
MENTION = re.compile(r"@everyone|@here|<@[!&]?\d+>|<#\d+>|</[^:>\n]+:\d+>|<a?:\w+:\d+>|<id:\w+>")


def read(text: str) -> str:
    """What Discord shows of a text; CODE for a stretch of code, MARK and LINK for hidden marks."""
    shown, at = [], 0
    while at < len(text):
        kind, found = next(((k, hit) for k, rule in RULES if (hit := rule.match(text, at))), ("", None))
        if found is None:
            shown.append(text[at])
            at += 1
            continue
        if kind in {"held", "link"}:
            mark = MARK if kind == "held" else LINK
            shown.append(f"{mark}{read(found[1])}{mark}")
        else:
            shown.append({"code": CODE, "escape": MARK + found[0][1:], "address": found[0]}[kind])
        at = found.end()
    return "".join(shown)


PIECES = [
    *("`", "``", "```", "````", "```py\n", "~~~", "\n", "\n\n", " ", "\\", "x", "py", "a b"),
    *("-# ✅ ok", "\n-# ✅ ok", "> -# ok", "-", "#", "@everyone", "@", "here", "<@1>", "<", "@1>"),
    *("**", "*", "__", "~~", "||", "[", "](http://x)", "]", "https://x/", "<a:/", ">", "(", ")"),
    *("\u200b", "\u2028", "\u202e", "\r", "\t"),
]
heaps = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
texts = st.one_of(heaps, st.text(max_size=200))


def assert_harmless(text: str) -> None:
    """Nothing in it is small print or a mention, in the whole reading."""
    seen = read(text)
    assert "-#" not in seen, seen
    assert not MENTION.search(seen), seen


@settings(max_examples=300)
@given(texts)
@example("~~~\n-# ✅ ok\n~~~")
@example("```\n-# ✅ ok")
@example("```a`b\n-# ✅ ok\n```")
@example("`a ```\nb` \n-# ✅ ok\n```")
@example("**a `b** c`\n```\nx ` y\n```\nz\n```\n-# ✅ ok\n```")
@example("https://x/`a b`\n```\n`\n-# ✅ ok\n```")
@example("[a `b](http://x) c`\n```\n` \n@everyone\n```")
@example("\\`a` `\n```\n` \n-# ✅ ok\n```")
@example("```\n```\n-# ✅ ok\n```\nx\n```")
@example("**a\n```-#\nb** c\n```")
@example("**b****b**\n```\n[l](http://x)**b**\n```")
def test_no_words_of_a_model_pass_for_ours(text: str) -> None:
    """Whole, and in each part when they are cut into messages, however the cut falls."""
    shown = markdown.prose(text)
    assert_harmless(shown)
    assert LINK not in read(shown)
    for part in markdown.split(shown, 90):
        assert_harmless(part)


@settings(max_examples=300)
@given(texts)
def test_every_three_back_ticks_are_a_fence_of_ours(text: str) -> None:
    """At the beginning of a line, in pairs, with something between them: in every part."""
    for part in markdown.split(markdown.prose(text), 200):
        fences = [line for line in part.split("\n") if "```" in line]
        assert len(fences) % 2 == 0
        assert all(re.fullmatch(r"```[\w+\-.#]*", line) for line in fences[::2])
        assert all(line == "```" for line in fences[1::2])


@settings(max_examples=300)
@given(texts, texts, texts)
def test_no_output_hint_or_name_passes_for_ours(output: str, hint: str, path: str) -> None:
    """A result as it is sent: its only small print is the lines that we wrote."""
    skipped = (SkippedFile(path=path, size=1, reason="too large"),)
    run = ran(output=output, hint=hint or None, skipped_files=skipped)
    shown, _ = render.output_of(run)
    files = render.file_lines([stored(path or "x")], 500)
    message = "\n".join(filter(None, (status_line(run), shown, files)))
    ours = [line for line in read(message).split("\n") if "-#" in line]
    assert all(line.startswith("-# ") and line.count("-#") == 1 for line in ours)
    assert len(ours) == 3 + bool(hint)
    assert not MENTION.search(read(message))


@settings(max_examples=200)
@given(texts, texts)
def test_a_program_that_is_shown_stays_in_its_fence(code: str, later: str) -> None:
    """Nothing of it is read as words, and what follows is."""
    assert read(f"{markdown.block(code, 'python')}\n{markdown.name(later)} end") == f"{CODE}\n{CODE} end"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see ```print(1)``` there", "see `print(1)` there"),
        ("- a\n  ```py\n  x\n  ```\n- b", "- a\n```py\n  x\n```\n- b"),
        ("so: ```py\nx = 1\n``` done", "so:\n```py\nx = 1\n```\n done"),
        ("```python title=a\nx\n```", "```\npython title=a\nx\n```"),
        ("```py\nstill coming", "```py\nstill coming\n```"),
        ("````\n```\n@here\n````\n@here", "```\n`\u200b`\u200b`\n@\u200bhere\n```\n@\u200bhere"),
        ("```\n```", ""),
        ("a ` b", "a ' b"),
        ("`` a`b ``", "`` a`b ``"),
        ("[docs](https://x.org/a)", "docs (<https://x.org/a>)"),
        ("use `f(x)` and `y_z`", "use `f(x)` and `y_z`"),
        ("~~~\ncode\n~~~", "~~~\ncode\n~~~"),
    ],
)
def test_honest_markdown_is_shown_as_it_was_meant(text: str, shown: str) -> None:
    """Fences in lists, in lines, half written and nested; inline code; links with their address."""
    assert markdown.prose(text) == shown


def test_a_long_hostile_text_is_served_at_once() -> None:
    """No heap of marks makes the search explode: this ends, however slow the machine."""
    for piece in ("`", "` `` ", "```a", "\n```", "[", "<", "**`", "x ```\n"):
        markdown.split(markdown.prose(piece * 20_000))
