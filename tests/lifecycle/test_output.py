"""A stream is kept at both ends and counted in between."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lifecycle.output import BoundedStream


@given(pieces=st.lists(st.binary(max_size=50)), keep=st.integers(min_value=1, max_value=64))
def test_head_and_tail_are_exact_and_the_rest_is_counted(pieces: list[bytes], keep: int) -> None:
    """However the bytes are cut into pieces, head, tail and counts are those of the whole."""
    stream = BoundedStream(keep)
    for piece in pieces:
        stream.feed(piece)
    whole = b"".join(pieces)
    assert stream.total == len(whole)
    assert stream.dropped == max(0, len(whole) - 2 * keep)
    clean = whole.decode("utf-8", "replace").replace("\0", "\ufffd")
    if not stream.dropped:
        assert stream.text() == clean
    else:
        head = whole[:keep].decode("utf-8", "replace").replace("\0", "\ufffd")
        tail = whole[-keep:].decode("utf-8", "replace").replace("\0", "\ufffd")
        assert stream.text() == f"{head}\n... {stream.dropped} bytes dropped ...\n{tail}"


def test_a_gigabyte_in_small_pieces_is_not_kept() -> None:
    """What a stream holds is bounded by what it keeps, not by what it was fed."""
    stream = BoundedStream(1000)
    for _ in range(20_000):
        stream.feed(b"x" * 300)
    held = len(stream._head) + sum(len(piece) for piece in stream._tail)
    assert held <= 3 * 1000
    assert stream.total == 6_000_000
