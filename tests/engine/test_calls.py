"""What an engine may answer, from a real unix socket, and the sentence that it becomes."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine.calls import Calls
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.sandbox import kill, remove
from orchestrator.errors import (
    ConfigurationError,
    EngineFault,
    EngineUnavailable,
    ImageMismatch,
    ImageMissing,
    LockdownMismatch,
    SandglassError,
)

DIGEST = "sha256:" + "c" * 64
GOOD_LABELS = {"org.sandglass.contract": "1", "org.sandglass.packages": "[]", "org.sandglass.lock": "l"}

type Answer = tuple[int, bytes]


def says(status: int, value: object) -> Answer:
    """An answer in JSON."""
    return status, json.dumps(value).encode()


def image(labels: object) -> Answer:
    """The engine's description of an image."""
    return says(200, {"Id": DIGEST, "Config": {"Labels": labels}, "Created": "then", "Size": 12})


class Scripted(ThreadingUnixStreamServer):
    """Answers by the end of the path; without an answer, it closes the connection."""

    daemon_threads = False
    answers: dict[str, Answer]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    """One request after another, until the client goes."""

    protocol_version = "HTTP/1.1"
    server_version = "Docker/99.9"
    sys_version = ""
    server: Scripted

    def handle(self) -> None:
        """A path for a peer has no address, which the base class wants."""
        self.client_address = ("local", 0)
        super().handle()

    def answer(self) -> None:
        """Say what the script says."""
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = next(
            (a for end, a in self.server.answers.items() if f"{self.command} {path}".endswith(end)), None
        )
        if found is None:
            self.close_connection = True
            return
        self.send_response(found[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(found[1])))
        self.end_headers()
        self.wfile.write(found[1])

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  # names that the base class looks up

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """An engine that knows its version and nothing else, until it is told more."""
    with TemporaryDirectory(prefix="sg-") as name:
        server = Scripted(str(Path(name) / "e.sock"), Handler)
        server.answers = {"/version": says(200, {"ApiVersion": "1.44", "Version": "99.9"})}
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
async def calls(scripted: Scripted) -> Any:
    """Calls to it; closed before it goes."""
    calls = Calls(f"unix://{scripted.server_address}")
    yield calls
    await calls.close()


@pytest.fixture
async def engine(scripted: Scripted) -> Any:
    """A whole engine over it."""
    engine = DockerEngine("wanted:latest", "runc", f"unix://{scripted.server_address}")
    yield engine
    await engine.close()


def spec(digest: str = DIGEST) -> SandboxSpec:
    """Any specification."""
    return SandboxSpec(
        execution_id="e9",
        owner="7",
        uid=700_007,
        image=digest,
        runtime="runc",
        limits=Limits(),
        mounts=(),
        instance="here",
    )


def inspect(client: Any) -> Any:
    """The plainest question."""
    return client.inspect_container("abc")


@pytest.mark.parametrize(
    "host", ["tcp://10.0.0.1:2375", "ssh://root@there", "http://x", "npipe:////./pipe/d"]
)
def test_a_far_engine_is_refused(host: str) -> None:
    """Workspaces are mounted by path, so an engine elsewhere is named and refused, with the setting."""
    with pytest.raises(ConfigurationError, match=r"SANDGLASS_DOCKER_HOST") as caught:
        Calls(host)
    assert host in str(caught.value)


def test_the_engines_own_variable_counts_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST decides after the setting, and the usual socket comes last."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    assert Calls(None).socket_path == "/run/other.sock"
    assert Calls("unix:///run/set.sock").socket_path == "/run/set.sock"
    monkeypatch.delenv("DOCKER_HOST")
    assert Calls(None).socket_path == "/var/run/docker.sock"


async def test_no_engine_at_all_is_said_with_the_remedy(tmp_path: Path) -> None:
    """A socket that does not exist: where it was looked for, how to start it, which setting to correct."""
    calls = Calls(f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnavailable, match=r"make engine.*SANDGLASS_DOCKER_HOST") as caught:
        await calls.call(inspect)
    assert "none.sock" in str(caught.value)
    await calls.close()


async def test_a_file_that_is_no_socket_is_no_engine(tmp_path: Path) -> None:
    """A plain file at the address is as good as nothing."""
    (tmp_path / "plain").write_text("")
    calls = Calls(f"unix://{tmp_path}/plain")
    with pytest.raises(EngineUnavailable, match=r"No Docker Engine answers"):
        await calls.call(inspect)
    await calls.close()


@pytest.mark.parametrize("status", [404, 409])
async def test_gone_and_conflict_are_left_to_who_asked(status: int, calls: Calls, scripted: Scripted) -> None:
    """These two mean something different for each question, so they pass as they are."""
    scripted.answers["/json"] = says(status, {"message": "no such thing"})
    with pytest.raises(APIError) as caught:
        await calls.call(inspect)
    assert caught.value.status_code == status


@pytest.mark.parametrize("status", [400, 403, 500, 503])
async def test_a_refusal_tells_what_the_engine_said(status: int, calls: Calls, scripted: Scripted) -> None:
    """Status and message in one line, however many lines it had."""
    scripted.answers["/json"] = says(status, {"message": "disk\n  is   full"})
    with pytest.raises(EngineFault) as caught:
        await calls.call(inspect)
    assert str(caught.value) == f"The Docker Engine refused ({status}: disk is full): see its log."


@pytest.mark.parametrize(
    "said", ["unknown or invalid runtime name: runsc", "Unknown runtime specified runsc"]
)
async def test_a_missing_runtime_is_a_setting_to_correct(said: str, calls: Calls, scripted: Scripted) -> None:
    """Not the engine's log but SANDGLASS_RUNTIME is where to look."""
    scripted.answers["/json"] = says(400, {"message": said})
    with pytest.raises(ConfigurationError, match=r"SANDGLASS_RUNTIME") as caught:
        await calls.call(inspect)
    assert said in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>proxy</html>", b"\xff\xfe", b"[1, 2"])
async def test_garbage_in_a_refusal_is_still_a_sentence(
    body: bytes, calls: Calls, scripted: Scripted
) -> None:
    """An error whose body is no JSON becomes one line with the status."""
    scripted.answers["/json"] = (500, body)
    with pytest.raises(EngineFault, match=r"refused \(500: ") as caught:
        await calls.call(inspect)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>proxy</html>", b"[1, 2"])
async def test_garbage_instead_of_an_answer_is_a_sentence(
    body: bytes, calls: Calls, scripted: Scripted
) -> None:
    """An answer that is no JSON says that nothing answers there which is a Docker Engine."""
    scripted.answers["/json"] = (200, body)
    with pytest.raises(EngineUnavailable, match=r"No Docker Engine answers"):
        await calls.call(inspect)


async def test_an_engine_that_hangs_up_is_unavailable(calls: Calls, scripted: Scripted) -> None:
    """A connection closed without a word is no engine."""
    with pytest.raises(EngineUnavailable, match=r"No Docker Engine answers"):
        await calls.call(inspect)
    assert any(each.endswith("/containers/abc/json") for each in scripted.asked)


async def test_an_engine_that_does_not_know_its_version_is_unavailable(
    calls: Calls, scripted: Scripted
) -> None:
    """The first question already tells, and a later call asks anew."""
    known = scripted.answers.pop("/version")
    with pytest.raises(EngineUnavailable):
        await calls.call(inspect)
    scripted.answers |= {"/version": known, "/json": says(200, {"Id": "abc"})}
    assert await calls.call(inspect) == {"Id": "abc"}


async def test_the_servers_name_costs_no_question(calls: Calls, scripted: Scripted) -> None:
    """The version is what the last answer's header says."""
    scripted.answers["/json"] = says(200, {})
    await calls.call(inspect)
    assert calls.server.startswith("Docker/99.9")
    assert len(scripted.asked) == 2


async def test_our_own_errors_pass_untouched(calls: Calls) -> None:
    """A sentence of ours is not wrapped into another one."""

    def fail(_: Any) -> None:
        raise ImageMissing("as it is")

    with pytest.raises(ImageMissing, match=r"^as it is$"):
        await calls.call(fail)


async def test_a_defect_of_ours_is_not_blamed_on_the_engine(calls: Calls) -> None:
    """An error that no library of the engine's raises stays what it is."""
    with pytest.raises(ZeroDivisionError):
        await calls.call(lambda _: 1 // 0)


async def test_waiting_gives_the_exit_code(calls: Calls, scripted: Scripted) -> None:
    """The status code of the answer is the program's."""
    scripted.answers["/wait"] = says(200, {"StatusCode": 137, "Error": None})
    assert await calls.wait("abc") == 137


async def test_an_error_while_waiting_is_no_exit_code(calls: Calls, scripted: Scripted) -> None:
    """An engine that lost the container says so; a 0 beside it means nothing."""
    scripted.answers["/wait"] = says(200, {"StatusCode": 0, "Error": {"Message": "shim is dead"}})
    with pytest.raises(EngineFault, match=r"lost sight of a container .*shim is dead"):
        await calls.wait("abc")


@pytest.mark.parametrize("status", [404, 409])
def test_killing_the_dead_is_no_error(status: int, scripted: Scripted) -> None:
    """A container that is gone or not running is as good as killed."""
    scripted.answers["/kill"] = says(status, {"message": "is not running"})
    calls = Calls(f"unix://{scripted.server_address}")
    calls.blocking(lambda client: kill(client, "abc"))
    assert scripted.asked[-1].startswith("POST /v1.44/containers/abc/kill")
    calls.blocking(lambda client: client.close())


def test_removing_what_is_gone_is_no_error(scripted: Scripted) -> None:
    """A container that somebody else removed is removed; its volumes are asked to go with it."""
    scripted.answers["/abc"] = says(404, {"message": "no such container"})
    calls = Calls(f"unix://{scripted.server_address}")
    calls.blocking(lambda client: remove(client, "abc"))
    assert scripted.asked[-1].startswith("DELETE /v1.44/containers/abc?")
    assert "force=True" in scripted.asked[-1]
    assert "v=True" in scripted.asked[-1]
    calls.blocking(lambda client: client.close())


async def test_a_kill_that_fails_is_said(engine: DockerEngine, scripted: Scripted) -> None:
    """An engine that cannot kill is a fault; nobody may believe the container dead."""
    scripted.answers["/kill"] = says(500, {"message": "cannot kill"})
    with pytest.raises(EngineFault, match=r"cannot kill"):
        await engine.kill("abc")


async def test_a_missing_image_names_the_command_and_the_setting(
    engine: DockerEngine, scripted: Scripted
) -> None:
    """Nothing is pulled: the sentence says how to build it."""
    scripted.answers["/json"] = says(404, {"message": "No such image: wanted:latest"})
    with pytest.raises(ImageMissing, match=r"wanted:latest.*make image.*SANDGLASS_IMAGE"):
        await engine.image()
    assert not any("/images/create" in each for each in scripted.asked)


@pytest.mark.parametrize(
    "labels", [None, {}, {"org.sandglass.contract": "2"}, {"org.sandglass.contract": ""}]
)
async def test_an_image_of_another_contract_is_refused(
    labels: object, engine: DockerEngine, scripted: Scripted
) -> None:
    """No label, an empty and a newer one: each is a mismatch with the command that mends it."""
    scripted.answers["/json"] = image(labels)
    with pytest.raises(ImageMismatch, match=r"contract .*make image-rebuild"):
        await engine.image()


@pytest.mark.parametrize("packages", ["", "[", "{'a': 1}", "nonsense"])
async def test_an_illegible_list_of_packages_is_refused(
    packages: str, engine: DockerEngine, scripted: Scripted
) -> None:
    """A label that is no JSON is a mismatch that names the image."""
    scripted.answers["/json"] = image({**GOOD_LABELS, "org.sandglass.packages": packages})
    with pytest.raises(ImageMismatch, match=r"wanted:latest lists its packages illegibly"):
        await engine.image()


async def test_a_good_image_is_asked_for_once(engine: DockerEngine, scripted: Scripted) -> None:
    """Pinned by digest: a tag that moves later changes nothing."""
    scripted.answers["/json"] = image(GOOD_LABELS | {"org.sandglass.packages": '[{"name": "numpy"}]'})
    first = await engine.image()
    scripted.answers["/json"] = says(404, {"message": "gone"})
    assert await engine.image() is first
    assert (first.digest, first.lock, first.created_at, first.size) == (DIGEST, "l", "then", 12)
    assert first.packages == ({"name": "numpy"},)


async def test_connecting_to_nothing_leaves_nothing_open(tmp_path: Path) -> None:
    """An engine that does not answer raises while connecting, not at the first execution."""
    with pytest.raises(EngineUnavailable):
        await DockerEngine.connect("x", "runc", f"unix://{tmp_path}/none.sock")


@pytest.mark.parametrize("question", ["effective", "sample", "stats"])
async def test_a_question_about_a_gone_container_is_answered(
    question: str, engine: DockerEngine, scripted: Scripted
) -> None:
    """The sentence has the short id, and says where to look for those that are there."""
    scripted.answers |= {end: says(404, {"message": "no"}) for end in ("/json", "/stats")}
    with pytest.raises(EngineFault, match=r"no container 0123456789ab any more: .*sandglass ps"):
        await getattr(engine, question)("0123456789ab" + "f" * 52)


async def test_an_image_that_vanished_is_said_at_the_create(engine: DockerEngine, scripted: Scripted) -> None:
    """A 404 at the create is about the image, and nothing is left behind."""
    scripted.answers |= {
        f"{DIGEST}/json": image(GOOD_LABELS),
        "/containers/create": says(404, {"message": "No such image"}),
        "/sandglass-e9/json": says(404, {"message": "no"}),
    }
    with pytest.raises(ImageMissing, match=r"no longer has the image .*make image"):
        await engine.create(spec())


async def test_a_container_that_differs_is_removed_and_never_started(
    engine: DockerEngine, scripted: Scripted
) -> None:
    """Every difference is named; the container carries our label, so it goes again."""
    scripted.answers |= {
        f"{DIGEST}/json": image(GOOD_LABELS),
        "/containers/create": says(201, {"Id": "made"}),
        "/containers/made/json": says(200, {"Id": "made", "HostConfig": {"Privileged": True}}),
        "/sandglass-e9/json": says(
            200, {"Id": "made", "Config": {"Labels": {"org.sandglass.instance": "here"}}}
        ),
        "DELETE /v1.44/containers/made": (204, b""),
    }
    with pytest.raises(LockdownMismatch, match=r"Privileged is True instead of False"):
        await engine.create(spec())
    assert scripted.asked[-1].startswith("DELETE /v1.44/containers/made")
    assert not any("/start" in each or "/attach" in each for each in scripted.asked)


async def test_a_strangers_container_of_our_name_is_not_removed(
    engine: DockerEngine, scripted: Scripted
) -> None:
    """A name that is taken by what does not carry our label is a fault, not a removal."""
    scripted.answers |= {
        f"{DIGEST}/json": image(GOOD_LABELS),
        "/containers/create": says(409, {"message": "name is in use"}),
        "/sandglass-e9/json": says(200, {"Id": "theirs", "Config": {"Labels": None}}),
    }
    with pytest.raises(SandglassError, match=r"409: name is in use"):
        await engine.create(spec())
    assert not any(each.startswith("DELETE") for each in scripted.asked)


async def test_an_empty_survey_is_empty(engine: DockerEngine, scripted: Scripted) -> None:
    """Only this installation's containers are asked for, dead ones as well."""
    scripted.answers["/containers/json"] = says(200, [])
    assert await engine.survey("mine") == ()
    assert "all=1" in scripted.asked[-1]
    assert "org.sandglass.instance%3Dmine" in scripted.asked[-1]


def test_not_found_is_the_engines_error_for_404(scripted: Scripted) -> None:
    """The error that `gone` is told by is the one that the client raises."""
    scripted.answers["/json"] = says(404, {"message": "no"})
    calls: Callable[..., Any] = Calls(f"unix://{scripted.server_address}").blocking
    with pytest.raises(NotFound):
        calls(inspect)
    calls(lambda client: client.close())
