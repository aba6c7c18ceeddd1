"""Which image the name stands for: only what was verified is promoted, and the way back is one command."""

import io
import json
import tarfile
import uuid
from collections.abc import Iterator

import docker
import pytest

from tests.cli.support import Cli

SOUND = b'print(\'{"check": "everything", "error": null}\')\n'


@pytest.fixture
def images(docker_client: docker.DockerClient) -> Iterator[tuple[str, str, str]]:
    """A repository of this test alone, and the digests of two small images whose own check passes."""
    repository = f"sandglass-test-{uuid.uuid4().hex[:8]}"
    digests = []
    for number in range(2):
        files = {
            "Dockerfile": b"FROM sandglass-sandbox:core\nCOPY verify.py /opt/sandglass/verify.py\n",
            "verify.py": SOUND + b"# %d\n" % number,
        }
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
        context.seek(0)
        image, _ = docker_client.images.build(
            fileobj=context, custom_context=True, tag=f"{repository}:{number}", rm=True
        )
        digests.append(str(image.id))
    yield repository, digests[0], digests[1]
    for listed in docker_client.images.list(repository):
        for tag in listed.tags:
            if tag.startswith(f"{repository}:"):
                docker_client.images.remove(tag)


def test_a_sound_candidate_is_promoted_and_rolled_back(
    cli: Cli, docker_client: docker.DockerClient, images: tuple[str, str, str], environment: dict[str, str]
) -> None:
    """The tags move, then move back; executions use the image that the name stands for."""
    repository, old, new = images
    own = environment | {"SANDGLASS_IMAGE": f"{repository}:latest"}

    def digest(tag: str) -> str:
        return str(docker_client.images.get(f"{repository}:{tag}").id)

    docker_client.images.get(old).tag(repository, "latest")
    docker_client.images.get(new).tag(repository, "candidate")
    done = cli("image", "promote", "--json", env=own)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said == {"image": new, "before": old, "checks": 1, "running": {}}
    assert (digest("latest"), digest("previous")) == (new, old)
    ran = json.loads(cli("run", "--json", "-c", "print(1)", env=own).stdout)
    assert (ran["outcome"], ran["image"]) == ("ok", new)

    again = cli("image", "promote", env=own)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "in use already" in again.stderr

    back = cli("image", "rollback", env=own)
    assert back.returncode == 0, back.stderr
    assert "start them again" in back.stdout
    assert (digest("latest"), digest("candidate")) == (old, new)
    assert cli("image", "rollback", env=own).returncode == 2


def test_a_candidate_that_fails_its_check_changes_nothing(
    cli: Cli, docker_client: docker.DockerClient, images: tuple[str, str, str], environment: dict[str, str]
) -> None:
    """Nor does one that is not there, and a name that has no tag to move is refused."""
    repository, old, _ = images
    docker_client.images.get(old).tag(repository, "latest")
    own = environment | {"SANDGLASS_IMAGE": f"{repository}:latest"}
    missing = cli("image", "promote", env=own)
    assert (missing.returncode, f"no image {repository}:candidate" in missing.stderr) == (3, True)
    docker_client.images.get("sandglass-sandbox:core").tag(repository, "candidate")
    failed = cli("image", "promote", env=own)
    assert failed.returncode == 3
    assert "failed its check (plot" in failed.stderr
    assert docker_client.images.get(f"{repository}:latest").id == old
    assert cli("image", "rollback", env=own).returncode == 3
    pinned = cli("image", "rollback", env=environment | {"SANDGLASS_IMAGE": old})
    assert (pinned.returncode, "SANDGLASS_IMAGE" in pinned.stderr) == (2, True)
