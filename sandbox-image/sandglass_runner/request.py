"""Read the one request line. The sender is the orchestrator, yet nothing of it is taken on trust."""

import os

CONTRACT = 1
LARGEST = 32 * 1024 * 1024  # bytes of one request line


class BadRequest(Exception):
    """No usable request arrived; the message is one sentence for stderr."""


class Request:
    """What the orchestrator asks for: `code`, the `inputs` records and `argv`."""

    __slots__ = ("argv", "code", "inputs")

    def __init__(self, code: str, inputs: list[dict[str, object]], argv: list[str]) -> None:
        self.code = code
        self.inputs = inputs
        self.argv = argv


def parse(line: bytes) -> Request:
    """Return one JSON line as a Request; raise BadRequest when it is unusable."""
    try:
        message = decode(line.decode("utf-8"))
    except (ValueError, StopIteration, RecursionError):
        raise BadRequest("The runner got a request that is not one line of JSON.") from None
    if not isinstance(message, dict) or message.get("contract") != CONTRACT:
        raise BadRequest(f"The runner speaks contract {CONTRACT}; the request does not.")
    code, inputs, argv = message.get("code"), message.get("inputs", []), message.get("argv", [])
    if not isinstance(code, str):
        raise BadRequest("The runner got a request without code.")
    if not isinstance(inputs, list) or not all(is_record(record) for record in inputs):
        raise BadRequest("The runner got a request whose inputs are not records with file_id and filename.")
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise BadRequest("The runner got a request whose argv is not a list of strings.")
    return Request(code, inputs, argv)


def is_record(record: object) -> bool:
    """Tell whether one element of `inputs` can be resolved: it needs an id and a name."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("file_id"), str)
        and isinstance(record.get("filename"), str)
    )


def read_line(descriptor: int) -> bytes:
    """Read up to and including the first newline; raise BadRequest on an early end or an endless line."""
    chunks: list[bytes] = []
    total = 0
    while not chunks or b"\n" not in chunks[-1]:
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            raise BadRequest("The runner got no request: stdin ended before a whole line came.")
        total += len(chunk)
        if total > LARGEST:
            raise BadRequest(f"The runner got a request of more than {LARGEST} bytes.")
        chunks.append(chunk)
    return b"".join(chunks).partition(b"\n")[0]


def decode(text: str) -> object:
    """Parse JSON with the C scanner alone where there is one: `import json` would cost each start 3 ms."""
    try:
        from _json import make_scanner
    except ImportError:  # another Python than the image's
        import json

        return json.loads(text)
    text = text.strip(" \t\r\n")
    value, end = make_scanner(_Strict())(text, 0)  # type: ignore[arg-type]  # it only reads these attributes
    if end != len(text):
        raise ValueError("more than one value")
    return value


class _Strict:
    """The options that json.JSONDecoder would hand to the scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = None
