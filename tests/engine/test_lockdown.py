"""The lockdown line by line: every test is one defence, and is named after what its loss would mean."""

import json
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.limits import GIB, KIB, MIB, Limits
from orchestrator.domain.sandbox import (
    LABEL_EXECUTION,
    LABEL_FINGERPRINT,
    LABEL_HOLDER,
    LABEL_INSTANCE,
    LABEL_KIND,
    LABEL_OWNER,
    Mount,
    SandboxKind,
    SandboxSpec,
)
from orchestrator.engine.lockdown import (
    THREAD_VARIABLES,
    container_config,
    container_name,
    environment,
    labels,
    lockdown_digest,
)
from orchestrator.engine.seccomp import security_option

WORKSPACE = Mount(source=Path("/data/workspaces/7"), target="/workspace", read_only=False)
INPUTS = Mount(source=Path("/data/staging/7"), target="/inputs", read_only=True)

LIMITS = st.builds(
    Limits,
    memory=st.integers(64 * MIB, 1024 * GIB),
    cpus=st.floats(0.01, 256, allow_nan=False),
    pids=st.integers(8, 1 << 22),
    nofile=st.integers(16, 1 << 20),
    tmpfs=st.integers(1, 64 * GIB),
    shm=st.integers(1, 64 * GIB),
    file_bytes=st.integers(1, 1 << 40),
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00="), min_size=1, max_size=40)


def spec(**fields: Any) -> SandboxSpec:
    """A specification with the documented limits; fields can be given."""
    values: dict[str, Any] = {
        "execution_id": "e1",
        "owner": "7",
        "uid": 700_007,
        "image": "sha256:" + "a" * 64,
        "runtime": "runc",
        "limits": Limits(),
        "mounts": (WORKSPACE, INPUTS),
        "instance": "here",
    }
    return SandboxSpec(**{**values, **fields})


def config(**fields: Any) -> Any:
    """What is sent for it."""
    return container_config(spec(**fields))


def host(**fields: Any) -> Any:
    """The part of it about the host."""
    return config(**fields)["HostConfig"]


def ulimits(**fields: Any) -> dict[str, tuple[int, int]]:
    """Soft and hard limit by name; a name that comes twice is an error."""
    found = [(each["Name"], (each["Soft"], each["Hard"])) for each in host(**fields)["Ulimits"]]
    assert len(found) == len(dict(found))
    return dict(found)


def test_a_moved_tag_is_not_followed() -> None:
    """The container is made of the digest that was pinned, not of a name."""
    assert config(image="sha256:" + "b" * 64)["Image"] == "sha256:" + "b" * 64


def test_code_never_shows_in_the_process_list_of_the_host() -> None:
    """A cold container has no argument at all; a warm one has only its switch."""
    assert config()["Cmd"] == []
    assert config(warm=True)["Cmd"] == ["--warm"]


def test_the_entry_point_is_left_to_the_image() -> None:
    """Nothing that we send replaces what the pinned image runs."""
    assert "Entrypoint" not in config()


def test_the_program_is_not_root() -> None:
    """User and group are the owner's number."""
    assert config(uid=700_123)["User"] == "700123:700123"


def test_no_supplementary_group_opens_a_door() -> None:
    """No group of the host is added."""
    assert "GroupAdd" not in host()


def test_the_name_of_the_host_is_not_told() -> None:
    """Every sandbox has the same host name, whoever owns it."""
    assert {config(owner=owner, execution_id=owner)["Hostname"] for owner in ("1", "2")} == {"sandbox"}


def test_the_program_starts_in_its_workspace() -> None:
    """Relative paths end where files are harvested."""
    assert config()["WorkingDir"] == WORKSPACE.target


def test_no_packet_leaves() -> None:
    """No network twice over: the mode, and the switch that makes no endpoint."""
    assert (config()["NetworkDisabled"], host()["NetworkMode"]) == (True, "none")


def test_no_port_of_the_host_is_published() -> None:
    """Neither a port nor a link, a host entry or a name server is asked for."""
    asked = set(config()) | set(host())
    assert asked.isdisjoint({"ExposedPorts", "PortBindings", "PublishAllPorts", "Links", "ExtraHosts", "Dns"})


def test_a_terminal_takes_no_control_characters() -> None:
    """Without a terminal the two streams stay two."""
    assert config()["Tty"] is False


def test_stdin_ends_with_the_one_client_that_attached() -> None:
    """One request goes in, and then there is an end of file."""
    assert (config()["OpenStdin"], config()["StdinOnce"], config()["AttachStdin"]) == (True, True, True)


def test_both_streams_are_attached() -> None:
    """What the program prints arrives at the attached client, there being no log."""
    assert (config()["AttachStdout"], config()["AttachStderr"]) == (True, True)


def test_the_runtime_is_the_one_that_was_set() -> None:
    """The runtime is sent as it is named, so an engine without it must refuse."""
    assert {host(runtime=runtime)["Runtime"] for runtime in ("runc", "runsc")} == {"runc", "runsc"}


def test_not_one_capability_is_left() -> None:
    """All are dropped and none is added."""
    assert (host()["CapDrop"], host()["CapAdd"]) == (["ALL"], [])


def test_a_setuid_binary_gives_nothing() -> None:
    """No new privileges come with an execve."""
    assert "no-new-privileges" in host()["SecurityOpt"]


def test_the_filter_of_system_calls_is_our_own() -> None:
    """The engine gets the whole filter, and nothing that would unconfine."""
    options = host()["SecurityOpt"]
    assert security_option() in options
    assert not any("unconfined" in option.partition("=")[2][:20] for option in options)


def test_the_filter_refuses_what_it_does_not_name() -> None:
    """The filter that is sent is JSON whose default is a refusal."""
    (filter_,) = (each.partition("=")[2] for each in host()["SecurityOpt"] if each.startswith("seccomp="))
    assert json.loads(filter_)["defaultAction"] == "SCMP_ACT_ERRNO"


def test_the_container_is_not_privileged() -> None:
    """The one flag that would undo most others is off."""
    assert host()["Privileged"] is False


def test_the_image_cannot_be_changed() -> None:
    """The root file system is read-only."""
    assert host()["ReadonlyRootfs"] is True


def test_a_program_at_its_memory_limit_dies_and_does_not_hang() -> None:
    """The kernel's killer stays on, and takes the sandbox before the orchestrator."""
    assert host()["OomKillDisable"] is False
    assert host()["OomScoreAdj"] > 0


def test_a_crash_writes_no_image_of_itself() -> None:
    """Core files have no bytes."""
    assert ulimits()["core"] == (0, 0)


def test_only_the_documented_ulimits_are_sent() -> None:
    """No limit per user is set, which would count across all sandboxes of a uid."""
    assert set(ulimits()) == {"nofile", "fsize", "core"}


def test_nothing_in_tmp_can_be_executed() -> None:
    """The scratch directory takes neither programs, setuid bits nor devices."""
    assert set(host()["Tmpfs"]) == {"/tmp"}
    assert {"rw", "noexec", "nosuid", "nodev"} <= set(host()["Tmpfs"]["/tmp"].split(","))


def test_nothing_is_shared_in_memory_with_other_containers() -> None:
    """The ipc and control group namespaces are the container's own."""
    assert (host()["IpcMode"], host()["CgroupnsMode"]) == ("private", "private")


@pytest.mark.parametrize("namespace", ["PidMode", "UTSMode", "UsernsMode"])
def test_no_other_namespace_of_the_host_is_joined(namespace: str) -> None:
    """The engine's default, a namespace of its own, is left as it is."""
    assert namespace not in host()


@pytest.mark.parametrize(
    "door",
    ["Devices", "DeviceRequests", "DeviceCgroupRules", "Binds", "VolumesFrom", "Sysctls", "CgroupParent"],
)
def test_no_other_door_to_the_host_is_asked_for(door: str) -> None:
    """Devices, volumes of others, kernel settings and foreign groups are never sent."""
    assert door not in host()


def test_a_flood_of_output_fills_no_disk() -> None:
    """The engine keeps no log."""
    assert host()["LogConfig"] == {"Type": "none", "Config": {}}


def test_a_dead_container_is_not_started_again() -> None:
    """A sandbox is used once."""
    assert host()["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}


def test_the_cause_of_death_can_be_read() -> None:
    """The engine does not remove the container before its evidence was read."""
    assert host()["AutoRemove"] is False


def test_no_binary_of_the_host_is_mounted_in() -> None:
    """The engine's own init stays outside."""
    assert host()["Init"] is False


def test_only_the_named_directories_are_mounted() -> None:
    """The mounts are those of the specification, in number and in order."""
    assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in host()["Mounts"]] == [
        ("/data/workspaces/7", "/workspace", False),
        ("/data/staging/7", "/inputs", True),
    ]
    assert host(mounts=())["Mounts"] == []


def test_a_mount_never_becomes_a_volume_nor_shows_on_the_other_side() -> None:
    """Each mount is a bind that does not propagate."""
    kinds = {(m["Type"], json.dumps(m["BindOptions"])) for m in host()["Mounts"]}
    assert kinds == {("bind", '{"Propagation": "private"}')}


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Mount,
            source=TEXT.map(lambda name: Path("/data") / name.strip("/")),
            target=TEXT.map(lambda name: f"/{name}"),
            read_only=st.booleans(),
        ),
        max_size=5,
    )
)
def test_a_read_only_mount_is_never_writable(mounts: list[Mount]) -> None:
    """Whatever the names, each mount has its own source, target and right, and never propagates."""
    sent = host(mounts=tuple(mounts))["Mounts"]
    assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in sent] == [
        (str(m.source), m.target, m.read_only) for m in mounts
    ]
    assert all(m["BindOptions"] == {"Propagation": "private"} and m["Type"] == "bind" for m in sent)


@settings(deadline=None)
@given(LIMITS)
def test_memory_cannot_be_stretched_by_swap(limits: Limits) -> None:
    """Memory with swap is memory: there is no swap at any limit."""
    sent = host(limits=limits)
    assert (sent["Memory"], sent["MemorySwap"]) == (limits.memory, limits.memory)


@settings(deadline=None)
@given(LIMITS)
def test_a_fork_bomb_meets_the_limit_of_its_specification(limits: Limits) -> None:
    """The number of processes is the limit's, and never "without limit"."""
    assert host(limits=limits)["PidsLimit"] == limits.pids > 0


@settings(deadline=None)
@given(LIMITS)
def test_a_spinning_program_takes_its_share(limits: Limits) -> None:
    """Processors go out in billionths, within half of one, and never as 0, which means all of them."""
    sent = host(limits=limits)["NanoCpus"]
    assert isinstance(sent, int)
    assert sent > 0
    assert abs(sent - limits.cpus * 1e9) <= 0.5


@settings(deadline=None)
@given(LIMITS)
def test_no_soft_limit_can_be_raised(limits: Limits) -> None:
    """Soft and hard are the same number, so the program cannot help itself."""
    found = ulimits(limits=limits)
    assert found["nofile"] == (limits.nofile, limits.nofile)
    assert found["fsize"] == (limits.file_bytes, limits.file_bytes)


@settings(deadline=None)
@given(LIMITS)
def test_scratch_space_is_bounded(limits: Limits) -> None:
    """Both memory file systems have the limit's size, once."""
    sent = host(limits=limits)
    sizes = [each for each in sent["Tmpfs"]["/tmp"].split(",") if each.startswith("size=")]
    assert sizes == [f"size={limits.tmpfs}"]
    assert sent["ShmSize"] == limits.shm


@settings(deadline=None)
@given(LIMITS, st.sampled_from(SandboxKind), st.booleans())
def test_no_specification_loosens_a_defence(limits: Limits, kind: SandboxKind, warm: bool) -> None:
    """What is not a number of the limits is the same for every kind of sandbox."""
    numbers = {"Memory", "MemorySwap", "NanoCpus", "PidsLimit", "Ulimits", "Tmpfs", "ShmSize"}
    plain, sent = host(), host(limits=limits, kind=kind, warm=warm)
    assert sent.keys() == plain.keys()
    assert {name: sent[name] for name in sent.keys() - numbers} == {
        name: plain[name] for name in plain.keys() - numbers
    }


@settings(deadline=None)
@given(LIMITS, TEXT, TEXT)
def test_the_configuration_is_plain_json(limits: Limits, owner: str, instance: str) -> None:
    """Nothing is lost on the way to the engine, and equal specifications are sent alike."""
    sent = config(limits=limits, owner=owner, instance=instance)
    assert json.loads(json.dumps(sent)) == sent == config(limits=limits, owner=owner, instance=instance)


@settings(deadline=None)
@given(st.lists(TEXT, min_size=5, max_size=5, unique=True))
def test_the_reaper_finds_what_is_ours(names: list[str]) -> None:
    """Six labels, each with its own value and no other."""
    instance, owner, execution, runtime, holder = names
    fields = {"instance": instance, "owner": owner, "execution_id": execution, "runtime": runtime}
    assert labels(spec(**fields, uid=9, holder=holder)) == {
        LABEL_INSTANCE: instance,
        LABEL_OWNER: owner,
        LABEL_EXECUTION: execution,
        LABEL_KIND: "execution",
        LABEL_FINGERPRINT: f"9/{runtime}",
        LABEL_HOLDER: holder,
    }


@pytest.mark.parametrize("kind", list(SandboxKind))
def test_the_kind_is_on_the_container(kind: SandboxKind) -> None:
    """A standby and a probe are told from an execution by their label."""
    assert config(kind=kind)["Labels"][LABEL_KIND] == kind.value


def test_another_uid_or_runtime_is_another_fingerprint() -> None:
    """Neither a changed uid nor a changed runtime can be mistaken for the old one."""
    found = {labels(spec(**fields))[LABEL_FINGERPRINT] for fields in ({}, {"uid": 8}, {"runtime": "runsc"})}
    assert len(found) == 3


def test_the_name_follows_from_the_execution_alone() -> None:
    """A create whose reply was lost is found again by its name, and no two executions share one."""
    assert container_name(spec(execution_id="abc", owner="x")) == container_name(spec(execution_id="abc"))
    assert container_name(spec(execution_id="abc")) == "sandglass-abc"
    assert container_name(spec(execution_id="abd")) != "sandglass-abc"


def test_the_environment_holds_nothing_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret and a proxy of the orchestrator's environment do not reach the sandbox."""
    before = config()
    for name in ("DISCORD_TOKEN", "HTTPS_PROXY", "SANDGLASS_DATA_DIR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "from-the-host")
    assert config() == before
    assert "from-the-host" not in json.dumps(config())


def test_only_threads_are_told_where_nothing_was_asked_for() -> None:
    """The variables are those of the libraries that start threads, and no others."""
    assert set(environment(spec())) == set(THREAD_VARIABLES)


@settings(deadline=None)
@given(st.floats(0.01, 256, allow_nan=False))
def test_libraries_start_as_many_threads_as_they_have_processors(cpus: float) -> None:
    """The share rounded up, at least one; the host's cores count for nothing."""
    assert set(environment(spec(limits=Limits(cpus=cpus))).values()) == {str(max(1, ceil(cpus)))}


@settings(deadline=None)
@given(st.dictionaries(TEXT, TEXT, max_size=6))
def test_the_variables_of_the_specification_arrive(variables: dict[str, str]) -> None:
    """Each goes out once, and the threads cannot be asked for."""
    hostile = {**variables, THREAD_VARIABLES[0]: "4096"}
    sent = config(environment=hostile)["Env"]
    names = [each.partition("=")[0] for each in sent]
    assert len(names) == len(set(names)) == len(variables.keys() | set(THREAD_VARIABLES))
    assert f"{THREAD_VARIABLES[0]}=1" in sent
    assert all(f"{name}={value}" in sent for name, value in variables.items() if name not in THREAD_VARIABLES)


def test_making_the_configuration_does_not_change_the_specification() -> None:
    """What is sent is a copy: changing it changes neither the next one nor the variables."""
    given_ = {"A": "1"}
    first = config(environment=given_)
    first["HostConfig"]["Privileged"] = True
    first["Env"].append("B=2")
    assert host(environment=given_)["Privileged"] is False
    assert given_ == {"A": "1"}


def test_the_digest_is_of_the_lockdown_and_stays() -> None:
    """The digest is 64 hex digits and the same each time; an attestation hangs on it."""
    assert lockdown_digest() == lockdown_digest.__wrapped__()
    assert len(bytes.fromhex(lockdown_digest())) == 32


def test_the_smallest_share_is_not_rounded_to_no_limit() -> None:
    """A thousandth of a processor is a million billionths."""
    assert host(limits=Limits(cpus=0.001))["NanoCpus"] == 1_000_000


def test_sizes_are_bytes() -> None:
    """The documented scratch sizes go out in bytes, not in kilobytes."""
    assert host()["Tmpfs"]["/tmp"].count(f"size={256 * 1024 * KIB}") == 1
    assert host()["ShmSize"] == 64 * 1024 * KIB
