"""Whole families of departures of a created container, each of which must be told; and what must not be."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import Mount, SandboxSpec
from orchestrator.engine.lockdown import container_config
from orchestrator.engine.reading import read_lockdown, read_sample
from orchestrator.engine.verify import MASKED, READ_ONLY, differences

IMAGE_CONFIG = {
    "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
    "Entrypoint": ["/init"],
    "Labels": {"org.sandglass.contract": "1"},
    "StopSignal": "SIGTERM",
}
SPEC = SandboxSpec(
    execution_id="e1",
    owner="7",
    uid=700_007,
    image="sha256:" + "a" * 64,
    runtime="runc",
    limits=Limits(),
    mounts=(
        Mount(source=Path("/data/w"), target="/workspace", read_only=False),
        Mount(source=Path("/data/i"), target="/inputs", read_only=True),
    ),
    instance="here",
)
EMPTY: tuple[Any, ...] = (None, [], {}, "", 0, False)


def created() -> dict[str, Any]:
    """What an engine says of a container that is just what was asked for."""
    config: Any = container_config(SPEC)
    host = config.pop("HostConfig")
    config["Entrypoint"], config["StopSignal"] = IMAGE_CONFIG["Entrypoint"], IMAGE_CONFIG["StopSignal"]
    config["Env"] = [*config["Env"], "PATH=/usr/bin", "LANG=C.UTF-8"]
    config["Labels"] = {**config["Labels"], "org.sandglass.contract": "1"}
    host |= {"MaskedPaths": sorted(MASKED), "ReadonlyPaths": sorted(READ_ONLY), "ConsoleSize": [0, 0]}
    return copy.deepcopy(
        {
            "Image": SPEC.image,
            "Name": "/sandglass-e1",
            "State": {"Status": "created"},
            "LogPath": "",
            "ExecIDs": None,
            "Config": config,
            "HostConfig": host,
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": str(mount.source),
                    "Destination": mount.target,
                    "RW": not mount.read_only,
                    "Propagation": "private",
                    "Mode": "",
                }
                for mount in SPEC.mounts
            ],
            "NetworkSettings": {"Networks": {"none": {}}, "IPAddress": "", "Ports": {}},
        }
    )


def told(part: str, name: str, value: Any) -> tuple[str, ...]:
    """The differences when one field of a part says something else."""
    changed = created()
    changed[part][name] = value
    return differences(changed, SPEC, IMAGE_CONFIG)


def test_what_was_asked_for_is_no_difference() -> None:
    """Else every test here would prove nothing."""
    assert differences(created(), SPEC, IMAGE_CONFIG) == ()


FIELDS = [
    (part, name)
    for part in ("Config", "HostConfig")
    for name, value in created()[part].items()
    if value not in EMPTY and name not in {"ConsoleSize", "OomKillDisable"}
]


@pytest.mark.parametrize(("part", "name"), FIELDS)
@pytest.mark.parametrize("empty", EMPTY, ids=repr)
def test_a_defence_changed_to_nothing_is_told(part: str, name: str, empty: Any) -> None:
    """No spelling of nothing passes for something."""
    assert any(name in each for each in told(part, name, empty))


@pytest.mark.parametrize("name", ["Privileged", "AutoRemove", "Init", "OomKillDisable"])
@pytest.mark.parametrize("value", [True, "true", 1])
def test_a_switch_that_is_on_is_told(name: str, value: Any) -> None:
    """On is told in any spelling."""
    assert any(name in each for each in told("HostConfig", name, value))


@pytest.mark.parametrize("name", ["Image", "Name", "State", "LogPath", "Mounts", "Config", "HostConfig"])
def test_a_missing_part_is_told(name: str) -> None:
    """An engine that leaves something out has not said that it is right."""
    changed = created()
    del changed[name]
    assert any(name in each for each in differences(changed, SPEC, IMAGE_CONFIG))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Image", "sha256:" + "b" * 64),
        ("Name", "/sandglass-e2"),
        ("State", {"Status": "running"}),
        ("LogPath", "/var/log/x.log"),
        ("ExecIDs", ["abc"]),
        ("AppArmorProfile", "unconfined"),
        ("NetworkSettings", {"Networks": {"bridge": {}}}),
        ("NetworkSettings", {"Networks": {"none": {}, "host": {}}}),
        ("NetworkSettings", {"IPAddress": "172.17.0.2"}),
        ("NetworkSettings", {"Ports": {"80/tcp": []}}),
    ],
)
def test_a_top_level_departure_is_told(name: str, value: Any) -> None:
    """Another image, name, state, log, profile or network: exactly one phrase, which names it."""
    (found,) = differences({**created(), name: value}, SPEC, IMAGE_CONFIG)
    assert found.startswith(name)


@settings(deadline=None)
@given(st.sets(st.sampled_from(["/proc/scsi", "/sys/devices", "/proc/interrupts"])))
def test_more_masked_paths_are_no_difference(more: set[str]) -> None:
    """An engine may hide more than we ask for."""
    assert told("HostConfig", "MaskedPaths", sorted(MASKED | more)) == ()
    assert told("HostConfig", "ReadonlyPaths", sorted(READ_ONLY | more)) == ()


@pytest.mark.parametrize("path", sorted(MASKED | READ_ONLY))
def test_each_uncovered_path_is_named(path: str) -> None:
    """A path of the kernel that is open is told by its name."""
    field, paths = ("MaskedPaths", MASKED) if path in MASKED else ("ReadonlyPaths", READ_ONLY)
    assert told("HostConfig", field, sorted(paths - {path})) == (f"HostConfig.{field} lacks {path}",)


@pytest.mark.parametrize("size", [None, [0, 0], [24, 80]])
def test_only_an_unset_console_is_no_difference(size: Any) -> None:
    """A container without a terminal has no size of one."""
    assert bool(told("HostConfig", "ConsoleSize", size)) is (size == [24, 80])


@settings(deadline=None)
@given(st.from_regex(r"[A-Z][A-Z_]{0,12}", fullmatch=True), st.text(max_size=10))
def test_a_further_variable_is_told(name: str, value: str) -> None:
    """Neither a new variable nor a second value for one passes."""
    assert any(
        "Env" in each for each in told("Config", "Env", [*created()["Config"]["Env"], f"{name}={value}"])
    )


@settings(deadline=None)
@given(st.data())
def test_a_missing_variable_is_told(data: st.DataObject) -> None:
    """Whichever of the image's or ours it is."""
    env = created()["Config"]["Env"]
    env.remove(data.draw(st.sampled_from(env)))
    assert any("Env" in each for each in told("Config", "Env", env))


@settings(deadline=None)
@given(st.permutations(created()["Config"]["Env"]))
def test_the_order_of_the_variables_is_the_engines(env: list[str]) -> None:
    """No difference is made of it."""
    assert told("Config", "Env", env) == ()


@pytest.mark.parametrize("name", ["Entrypoint", "Labels", "StopSignal", "Env"])
def test_an_image_with_another_configuration_is_told(name: str) -> None:
    """The container is compared with its pinned image, not with itself."""
    other = {**IMAGE_CONFIG, name: None}
    assert any(f"Config.{name}" in each for each in differences(created(), SPEC, other))


@pytest.mark.parametrize("key", ["Type", "Source", "Destination", "RW", "Propagation", "Mode"])
@pytest.mark.parametrize("number", [0, 1])
def test_every_property_of_a_mount_counts(key: str, number: int) -> None:
    """Type, ends, right, propagation and mode of each."""
    changed = created()
    mount = changed["Mounts"][number]
    mount[key] = not mount[key] if key == "RW" else "shared"
    assert any(each.startswith("Mounts is") for each in differences(changed, SPEC, IMAGE_CONFIG))


def test_a_mount_that_became_writable_is_told() -> None:
    """Even when only the wish shows it."""
    mounts = created()["HostConfig"]["Mounts"]
    mounts[1]["ReadOnly"] = False
    assert any("HostConfig.Mounts" in each for each in told("HostConfig", "Mounts", mounts))


def test_a_running_container_is_read_as_it_was_created() -> None:
    """Reading the lockdown back shows each field, and no difference for having started."""
    running = {**created(), "State": {"Status": "running"}}
    reading = read_lockdown(running, SPEC, IMAGE_CONFIG)
    assert reading.differences == ()
    assert {each.name for each in reading.defences} >= {"HostConfig.CapDrop", "Config.User"}
    running["HostConfig"]["Privileged"] = True
    assert any("Privileged" in each for each in read_lockdown(running, SPEC, IMAGE_CONFIG).differences)


@pytest.mark.parametrize(
    "stats", [{}, {"memory_stats": None, "cpu_stats": None, "pids_stats": {"current": None}}]
)
def test_untold_usage_is_nothing(stats: Any) -> None:
    """A container that is not running uses nothing."""
    sample = read_sample(stats)
    assert (sample.cpu_seconds, sample.memory, sample.memory_limit, sample.pids) == (0, 0, 0, 0)


@settings(deadline=None)
@given(
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    st.sampled_from(["total_inactive_file", "inactive_file"]),
)
def test_the_page_cache_is_nobodys_memory(usage: int, cache: int, name: str) -> None:
    """What can be taken back does not count, and no use is negative."""
    sample = read_sample({"memory_stats": {"usage": usage, "stats": {name: cache}}})
    assert sample.memory == max(0, usage - cache)
