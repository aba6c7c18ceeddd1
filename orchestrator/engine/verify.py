"""Is the created container what was asked for? Compares what the engine says with the specification.

Every field of `Config` and `HostConfig` must be the one we sent, the image's own, or neutral; a field that a
newer engine adds and fills in is a difference too, until somebody has looked at it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine.lockdown import container_config, container_name, environment, labels

type Json = Mapping[str, Any]

MASKED = frozenset({"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"})
READ_ONLY = frozenset({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"})

_SEPARATE = frozenset({"MaskedPaths", "ReadonlyPaths", "Mounts", "OomKillDisable"})
"""Fields of `HostConfig` with a rule of their own."""
_FROM_IMAGE = ("Entrypoint", "StopSignal", "Shell")
"""Fields of `Config` that are the pinned image's."""


def differences(inspected: Json, spec: SandboxSpec, image_config: Json) -> tuple[str, ...]:
    """One phrase for each way in which a created container is not `spec`; empty when it is.

    `inspected` is the engine's answer about the container, `image_config` the `Config` of its pinned image.
    """
    return tuple(_differences(inspected, spec, image_config))


def _differences(inspected: Json, spec: SandboxSpec, image_config: Json) -> Iterator[str]:
    yield from _identity(inspected, spec)
    yield from _config(inspected.get("Config") or {}, spec, image_config)
    yield from _host_config(inspected.get("HostConfig") or {}, spec)
    yield from _mounts(inspected.get("Mounts"), spec)
    yield from _networks(inspected.get("NetworkSettings") or {})


def _identity(inspected: Json, spec: SandboxSpec) -> Iterator[str]:
    yield from _unlike("Image", inspected.get("Image"), spec.image)
    yield from _unlike("Name", inspected.get("Name"), f"/{container_name(spec)}")
    yield from _unlike("State.Status", (inspected.get("State") or {}).get("Status"), "created")
    yield from _unlike("ExecIDs", inspected.get("ExecIDs") or None, None)
    yield from _unlike("LogPath", inspected.get("LogPath"), "")
    if inspected.get("AppArmorProfile") == "unconfined":
        yield "AppArmorProfile is unconfined"


def _config(config: Json, spec: SandboxSpec, image_config: Json) -> Iterator[str]:
    expected = {
        **container_config(spec),
        "Labels": {**(image_config.get("Labels") or {}), **labels(spec)},
        "Env": sorted({**_pairs(image_config.get("Env")), **environment(spec)}.items()),
        **{name: image_config.get(name) for name in _FROM_IMAGE},
    }
    del expected["HostConfig"]
    actual = {**config, "Env": sorted(_pairs(config.get("Env")).items())}
    if len(config.get("Env") or ()) != len(actual["Env"]):
        yield "Config.Env names a variable twice"
    yield from _fields("Config", actual, expected)


def _host_config(host: Json, spec: SandboxSpec) -> Iterator[str]:
    expected: Any = container_config(spec)["HostConfig"]
    masked, read_only = set(host.get("MaskedPaths") or ()), set(host.get("ReadonlyPaths") or ())
    for path in sorted(MASKED - masked):
        yield f"HostConfig.MaskedPaths lacks {path}"
    for path in sorted(READ_ONLY - read_only):
        yield f"HostConfig.ReadonlyPaths lacks {path}"
    # The kernel's v2 groups know no such switch: the engine drops it, with a warning.
    if host.get("OomKillDisable") not in (False, None):
        yield "HostConfig.OomKillDisable is on"
    mounts = _sorted_mounts(host.get("Mounts"))
    yield from _unlike("HostConfig.Mounts", mounts, _sorted_mounts(expected["Mounts"]))
    yield from _fields(
        "HostConfig",
        {name: value for name, value in host.items() if name not in _SEPARATE},
        {name: value for name, value in expected.items() if name not in _SEPARATE},
    )


def _fields(where: str, actual: Json, expected: Json) -> Iterator[str]:
    for name in sorted(actual.keys() | expected.keys()):
        if name in expected:
            value, wanted = _normal(name, actual.get(name)), _normal(name, expected[name])
            yield from _unlike(f"{where}.{name}", value, wanted)
        elif not _is_neutral(actual[name]):
            yield f"{where}.{name} is {actual[name]!r}, where nothing was asked for"


def _normal(name: str, value: Any) -> Any:
    """Order and the two spellings of nothing are the engine's choice; everything else counts."""
    if name == "Ulimits":
        return sorted(tuple(sorted(limit.items())) for limit in value or ())
    return None if value in ([], {}) else value


def _is_neutral(value: Any) -> bool:
    return value in (None, False, "", 0) or value in ([], {}, [0, 0])


def _mounts(mounts: Any, spec: SandboxSpec) -> Iterator[str]:
    actual = sorted(
        (
            mount.get("Type"),
            mount.get("Source"),
            mount.get("Destination"),
            mount.get("RW"),
            mount.get("Propagation"),
            mount.get("Mode"),
        )
        for mount in mounts or ()
    )
    expected = sorted(
        ("bind", str(mount.source), mount.target, not mount.read_only, "private", "") for mount in spec.mounts
    )
    yield from _unlike("Mounts", actual, expected)


def _sorted_mounts(mounts: Any) -> list[tuple[Any, ...]]:
    """Absent and false are the same to the engine, so each mount is compared without its neutral fields."""
    return sorted(
        tuple(sorted((name, repr(value)) for name, value in mount.items() if not _is_neutral(value)))
        for mount in mounts or ()
    )


def _networks(settings: Json) -> Iterator[str]:
    attached = set(settings.get("Networks") or {}) - {"none"}
    if attached or settings.get("IPAddress") or settings.get("Ports"):
        yield f"NetworkSettings shows a network: {', '.join(sorted(attached)) or 'an address or a port'}"


def _pairs(variables: Any) -> dict[str, str]:
    return dict(variable.partition("=")[::2] for variable in variables or ())


def _unlike(name: str, actual: Any, expected: Any) -> Iterator[str]:
    if actual != expected or type(actual) is not type(expected):
        yield f"{name} is {actual!r} instead of {expected!r}"
