"""An execution run again has the image it had, as long as the engine has it."""

import io
import secrets
from collections.abc import Iterator

import docker
import pytest

from orchestrator import Settings, open_orchestrator


@pytest.fixture
def old_image(docker_client: docker.DockerClient) -> Iterator[str]:
    """A name for an image that is the sandbox's but for its digest."""
    name = f"sandglass-test:{secrets.token_hex(6)}"
    dockerfile = f"FROM {Settings.load().image}\nLABEL older={name[-12:]}\n"
    docker_client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True)
    yield name
    if docker_client.images.list(name):
        docker_client.images.remove(name, force=True)


async def test_a_replay_runs_in_the_image_of_then_while_there_is_one(
    settings: Settings, old_image: str, docker_client: docker.DockerClient
) -> None:
    """The same digest and nothing differs; once the engine has lost it, today's runs and that is said."""
    then = settings.model_copy(update={"image": old_image})
    async with open_orchestrator(then) as orchestrator:
        first = await orchestrator.execute_code("print(1)", "owner", execution_id="first")
    async with open_orchestrator(settings) as orchestrator:
        now = (await orchestrator.engine.image()).digest
        assert first.image != now
        again = await orchestrator.replay("first")
        assert (again.result.image, again.differences) == (first.image, ())
        assert (await orchestrator.execute_code("print(2)", "owner")).image == now
    docker_client.images.remove(old_image, force=True)
    async with open_orchestrator(settings) as orchestrator:
        other = await orchestrator.replay("first")
        assert (other.result.image, other.result.output) == (now, "1\n")
        assert other.differences == (
            f"the engine has no image {first.image} any more: the one of now ran instead",
            f"image was {first.image}, is {now}",
        )
