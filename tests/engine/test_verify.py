"""The lockdown is what the design says, and any departure of a created container is noticed."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.domain.limits import GIB
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.lockdown import container_config
from orchestrator.engine.seccomp import security_option
from orchestrator.engine.verify import MASKED, READ_ONLY, differences


@pytest.fixture
async def created(
    docker_engine: DockerEngine, make_spec: Any, docker_client: Any
) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """A real container's inspection, its specification and its image's config."""
    digest = (await docker_engine.image()).digest
    spec = make_spec(digest)
    sandbox = await docker_engine.create(spec)
    try:
        inspected = dict(await docker_engine.effective(sandbox.container_id))
    finally:
        await sandbox.remove()
    return inspected, spec, docker_client.images.get(digest).attrs["Config"]


def mutants(value: Any) -> Iterator[Any]:
    """Values of the same kind that are not `value`; for a container of values, each single change."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, list):
        yield [*value, {"Name": "x"} if value and isinstance(value[0], dict) else "x"]
        for index, item in enumerate(value):
            yield value[:index] + value[index + 1 :]
            for mutant in mutants(item):
                yield [*value[:index], mutant, *value[index + 1 :]]
    elif isinstance(value, dict):
        for name, item in value.items():
            for mutant in mutants(item):
                yield {**value, name: mutant}
    else:
        yield "x"


TOLERATED = {"MaskedPaths", "ReadonlyPaths"}
"""Engines differ in what they mask beyond the paths that matter."""


async def test_a_good_container_has_no_difference(created: Any) -> None:
    """What the engine makes of our configuration is what we meant."""
    assert differences(*created) == ()


async def test_every_single_change_is_noticed(created: Any) -> None:
    """Whatever one field of Config, HostConfig or Mounts says instead, it is a difference."""
    inspected, spec, image_config = created
    tried = 0
    for part in ("Config", "HostConfig"):
        for name, value in inspected[part].items():
            for mutant in mutants(value):
                if name in TOLERATED and (MASKED | READ_ONLY) & set(value) <= set(mutant):
                    continue
                changed = {**inspected, part: {**inspected[part], name: mutant}}
                if (part, name) == ("HostConfig", "ConsoleSize") or mutant in (None, "", [], {}):
                    continue
                assert differences(changed, spec, image_config), f"{part}.{name} = {mutant!r} went unnoticed"
                tried += 1
    for mutant in mutants(inspected["Mounts"]):
        if mutant and mutant[-1] == {"Name": "x"}:
            mutant[-1] = {**inspected["Mounts"][0], "Destination": "/host"}
        assert differences({**inspected, "Mounts": mutant}, spec, image_config), f"Mounts = {mutant!r}"
        tried += 1
    assert tried > 100


async def test_every_missing_defence_is_noticed(created: Any) -> None:
    """A field that we send and the engine does not show is a difference, not an assumption."""
    inspected, spec, image_config = created
    # An engine on cgroup v2 says nothing about the first; nothing is what the other two ask for.
    unsaid = {"OomKillDisable", "CapAdd", "Binds"}
    for name in set(container_config(spec)["HostConfig"]) - unsaid:  # type: ignore[call-overload]
        changed = copy.deepcopy(inspected)
        del changed["HostConfig"][name]
        assert differences(changed, spec, image_config), f"HostConfig.{name} may be missing"


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("HostConfig", "Privileged", True),
        ("HostConfig", "CapAdd", ["SYS_ADMIN"]),
        ("HostConfig", "SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("HostConfig", "SecurityOpt", ["no-new-privileges"]),
        ("HostConfig", "SecurityOpt", [security_option()]),
        ("HostConfig", "Binds", ["/:/host"]),
        ("HostConfig", "Devices", [{"PathOnHost": "/dev/kmsg"}]),
        ("HostConfig", "PidMode", "host"),
        ("HostConfig", "UsernsMode", "host"),
        ("HostConfig", "UTSMode", "host"),
        ("HostConfig", "CgroupParent", "/elsewhere"),
        ("HostConfig", "MaskedPaths", []),
        ("HostConfig", "AFutureSwitch", "open"),
        ("Config", "User", ""),
        ("Config", "Volumes", {"/data": {}}),
        ("Config", "Env", ["PATH=/usr/bin", "TOKEN=secret"]),
    ],
)
async def test_a_weakness_is_named(created: Any, part: str, name: str, value: Any) -> None:
    """The sentence says which field it is about."""
    inspected, spec, image_config = created
    found = differences({**inspected, part: {**inspected[part], name: value}}, spec, image_config)
    assert any(name in difference for difference in found)


def test_the_documented_defaults_are_sent(make_spec: Any) -> None:
    """The design's numbers are the configuration's."""
    config: Any = container_config(make_spec("sha256:0"))
    host = config["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (GIB, GIB, 128)
    assert (host["NanoCpus"], host["NetworkMode"], config["NetworkDisabled"]) == (10**9, "none", True)
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges", security_option()]
