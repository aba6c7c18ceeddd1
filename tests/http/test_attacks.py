"""The service among strangers: who has no token, sends too much, asks too slowly, reads nothing, or lies."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest

from orchestrator import Execution, Orchestrator, Outcome, open_remote
from orchestrator.errors import ConfigurationError, ServiceUnavailable
from orchestrator.http import protocol
from orchestrator.http.guard import REQUEST_BYTES
from orchestrator.http.transfer import disposition
from tests.e2e.support import MovableClock
from tests.http.support import Service

EXECUTE = "/v1/owners/u/executions"
JSON = {"content-type": "application/json"}
EVERYTHING = [
    ("GET", "/v1/bounds"),
    ("GET", "/v1/status"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/executions"),
    ("GET", "/v1/executions/x"),
    ("POST", "/v1/executions/x/cancel"),
    ("POST", "/v1/executions/x/kill"),
    ("POST", EXECUTE),
    ("POST", "/v1/owners/u/prewarm"),
    ("GET", "/v1/owners/u/files"),
    ("PUT", "/v1/owners/u/upload?filename=x"),
    ("GET", "/v1/owners/u/file?ref=x"),
    ("DELETE", "/v1/owners/u/file?ref=x"),
    ("DELETE", "/v1/owners/u/workspace"),
    ("GET", "/v1/owners/u/file/content?ref=x"),
    ("POST", "/v1/owners/u/file/extend?ref=x"),
    ("POST", "/v1/owners/u/file/link?ref=x"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/f/../v1/bounds"),
    ("GET", "/v1/f/x"),
    ("GET", "//v1/bounds"),
    ("OPTIONS", "/v1/bounds"),
]


@asynccontextmanager
async def raw(service: Service) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_without_the_token_nothing_is_answered(service: Service) -> None:
    """Not even whether there is such an address; a wrong, a shorter and a doubled token are none."""
    wrong: list[dict[str, str]] = [
        {"authorization": f"Bearer {service.token[:-1]}x"},
        {"authorization": f"Bearer {service.token[:-1]}"},
        {"authorization": f"Bearer {service.token}, Bearer {service.token}"},
        {"authorization": f"bearer {service.token}"},
        {"authorization": f"Basic {service.token}"},
        {"authorization": "Bearer"},
        {"cookie": f"authorization=Bearer {service.token}"},
    ]
    transport = await asyncio.to_thread(httpx2.AsyncHTTPTransport)
    async with httpx2.AsyncClient(base_url=service.address, timeout=60, transport=transport) as client:
        for method, path in EVERYTHING:
            # The client takes `..` out of a path before it sends it.
            assert (await client.request(method, path)).status_code == 401, path
        for headers in wrong:
            assert (await client.get("/v1/bounds", headers=headers)).status_code == 401, headers


async def test_health_is_open_and_says_nothing_more(service: Service) -> None:
    """One word each, and nothing of engine, owners or figures."""
    assert (await service.ask("GET", "/healthz", token=False)).json() == {"status": "ok"}
    assert (await service.ask("GET", "/readyz", token=False)).json() == {"status": "ready"}


async def test_every_answer_forbids_a_browser_to_make_something_of_it(service: Service) -> None:
    """Data, errors and refusals alike; no cross-origin reading."""
    for path, token in (("/v1/bounds", True), ("/v1/nothing", True), ("/v1/bounds", False), ("/f/x", False)):
        answer = await service.ask("GET", path, token=token, headers={"origin": "https://evil.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert "no-store" in answer.headers["cache-control"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


async def test_a_link_gives_an_attachment_whatever_the_file_is(
    service: Service, orchestrator: Orchestrator, clock: MovableClock
) -> None:
    """A page that its maker wants shown is saved instead; HEAD has the head alone; after its end 404."""
    page = b"<script>alert(1)</script>"
    stored = await orchestrator.upload_file("u", page, 'x";\r\nSet-Cookie: a=b;.html')
    address = await orchestrator.link(stored.file_id, "u")
    assert address is not None
    path = address.removeprefix("https://files.example.org")
    answer = await service.ask("GET", path, token=False)
    assert (answer.status_code, answer.content) == (200, page)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert "set-cookie" not in answer.headers
    head = await service.ask("HEAD", path, token=False)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(page)))
    for broken in (path[:-1], path + "A", path.replace("/f/", "/f/A"), "/f/", "/f/%00", "/f/a/b"):
        answer = await service.ask("GET", broken, token=False)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].endswith("ask for a new one.")
    clock.move(hours=49)
    assert (await service.ask("GET", path, token=False)).status_code == 404


@pytest.mark.parametrize(
    "name",
    ['a"b', "a\r\nX: y", "a;b=c", "\u202e\u2028", "日本語", "a\\b", "%0d%0a", "\ud800", "x" * 255, ""],
)
def test_a_name_cannot_leave_its_place_in_the_header(name: str) -> None:
    """Whatever it holds: printable ASCII, two quotes, and the exact name once more for who can read it."""
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert header.count(";") == 2


async def flood(service: Service, head: str) -> bytes:
    """Send a body without an end, and return what was answered until the connection was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    answer = asyncio.create_task(reader.read(4096))
    writer.write(f"{head} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.token}\r\n".encode())
    writer.write(b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        while True:
            writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            await writer.drain()
    writer.close()
    return await answer


async def test_a_body_is_bounded_whether_it_declares_its_length_or_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON past 8 MB is refused, a malformed one by a sentence, and no field is guessed."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 1.0)
    big = b'{"code": "' + b" " * REQUEST_BYTES + b'"}'
    assert (await service.ask("POST", EXECUTE, content=big, headers=JSON)).status_code == 413
    assert b"more than 8000000 bytes" in await flood(service, f"POST {EXECUTE}")
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"code": 1}',
        b'{"code": "1", "owner": "b"}',
        b'{"code":"\\ud800"}',
        b"\xff",
    ):
        answer = await service.ask("POST", EXECUTE, content=body, headers=JSON)
        assert answer.status_code == 400, body
        error = answer.json()["error"]
        assert error["type"] == "InvalidRequest"
        assert error["message"].endswith(".")


async def test_an_upload_that_never_ends_is_ended(
    service: Service, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound it is refused and the connection cut, and nothing is left on the disk."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 1.0)
    answer = await flood(service, "PUT /v1/owners/u/upload?filename=x")
    assert b"413" in answer.partition(b"\r\n")[0]
    assert b"FileTooLarge" in answer
    assert await orchestrator.list_user_files("u") == []
    assert list((orchestrator.settings.data_dir / "uploads").iterdir()) == []
    declared = await service.ask(
        "PUT",
        "/v1/owners/u/upload?filename=x",
        content=b" " * (orchestrator.settings.max_file_bytes + 1),
    )
    assert declared.status_code == 413
    assert declared.json()["error"]["type"] == "FileTooLarge"


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /hea",
        b"PUT /v1/owners/u/upload?filename=x HTTP/1.1\r\nhost: x\r\nAUTH\r\ncontent-length: 100\r\n\r\nabc",
    ],
    ids=["nothing", "half-a-head", "half-a-second-head", "half-a-body"],
)
async def test_who_does_not_get_on_is_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """A connection that says nothing, or trickles, ends by itself."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.5)
    async with raw(service) as (reader, writer):
        writer.write(begun.replace(b"AUTH", b"authorization: Bearer " + service.token.encode()))
        ended = asyncio.create_task(reader.read(-1))
        while not ended.done():
            if begun.endswith(b"\r\n"):
                writer.write(b"x: y\r\n")  # progress of a kind, for ever
            await asyncio.wait({ended}, timeout=0.1)
        if not ended.exception():
            assert ended.result().count(b"HTTP/1.1 200") == begun.count(b"\r\n\r\nGET")


async def test_who_reads_nothing_is_cut_off(
    service: Service, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link's holder who takes none of a large file does not hold its connection for ever."""
    monkeypatch.setattr(protocol, "READER_SECONDS", 0.3)
    stored = await orchestrator.upload_file("u", b" " * 40_000_000, "big")
    address = await orchestrator.link(stored.file_id, "u")
    assert address is not None
    path = address.removeprefix("https://files.example.org")
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await asyncio.sleep(3)  # ten times its patience: reading earlier would be reading
    size = 0
    try:
        while piece := await reader.read(1 << 20):
            size += len(piece)
    except ConnectionError:
        pass
    assert size < stored.size
    writer.close()


async def until(orchestrator: Orchestrator, condition: Callable[[list[Execution]], bool]) -> None:
    """Wait until the executions are as wanted."""
    while not condition(await orchestrator.list_executions("u")):  # noqa: ASYNC110  # rows have no event
        await asyncio.sleep(0.05)


async def test_a_caller_who_goes_away_ends_his_execution(
    service: Service, orchestrator: Orchestrator
) -> None:
    """Streamed or not: a closed connection is a cancellation, and what was written is kept."""
    body = json.dumps(
        {"code": "open('kept','w'); print(1, flush=True)\nimport time\ntime.sleep(60)", "execution_id": "ID"}
    )
    for accept in ("application/json", "application/x-ndjson"):
        execution_id = accept.replace("/", "-")
        async with raw(service) as (_, writer):
            content = body.replace("ID", execution_id).encode()
            writer.write(
                f"POST {EXECUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.token}\r\n"
                f"accept: {accept}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(content)}\r\n\r\n".encode()
                + content
            )
            await until(orchestrator, lambda found: any(each.state == "RUNNING" for each in found))
        await until(orchestrator, lambda found: all(each.state.is_terminal for each in found))
        execution = await orchestrator.get_execution(execution_id)
        assert execution.result is not None
        assert execution.result.outcome is Outcome.CANCELLED


async def test_the_end_of_the_service_answers_who_waits(orchestrator: Orchestrator) -> None:
    """Its executions are ended as `close` does, their callers get the result, and then nobody answers."""
    from orchestrator.http.serve import bind, serving

    begun = asyncio.Event()
    async with serving(orchestrator, bind("127.0.0.1", 0), "t" * 24) as address:
        context = open_remote(address, "t" * 24)
        remote = await context.__aenter__()
        running = asyncio.create_task(
            remote.execute_code(
                "print(1, flush=True)\nimport time\ntime.sleep(60)", "u", on_output=lambda *_: begun.set()
            )
        )
        await asyncio.wait_for(begun.wait(), 60)
    assert (await running).outcome is Outcome.CANCELLED
    with pytest.raises(ServiceUnavailable, match="No service answers at"):
        await remote.list_user_files("u")
    await context.__aexit__(None, None, None)


async def test_a_client_says_what_is_wrong_with_its_address_or_token(service: Service) -> None:
    """Each in one sentence with the setting to correct, and the token is in none of them."""
    for url, token, sentence in (
        (service.address, "wrong" * 8, "SANDGLASS_HTTP_TOKEN"),
        (service.address, None, "SANDGLASS_HTTP_TOKEN"),
        ("http://127.0.0.1:9", service.token, "SANDGLASS_URL"),
        ("unix:/nowhere", None, "SANDGLASS_URL"),
        ("nonsense", service.token, "SANDGLASS_URL"),
        ("ftp://127.0.0.1", service.token, "SANDGLASS_URL"),
        ("http://[", service.token, "SANDGLASS_URL"),
    ):
        with pytest.raises((ConfigurationError, ServiceUnavailable), match=sentence) as raised:
            async with open_remote(url, token):
                pass
        assert service.token not in str(raised.value)


async def test_a_service_that_speaks_another_language_is_said_to() -> None:
    """Something else on the port, or half an answer, is one sentence, never a traceback of a parser."""
    for answer in (
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<html",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy",
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
    ):

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = answer
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ServiceUnavailable):
                async with open_remote(f"http://127.0.0.1:{port}", "t" * 24):
                    pass
