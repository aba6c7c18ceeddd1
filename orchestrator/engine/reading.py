"""Reads the engine's answers about a container: its lockdown beside the one asked for, and what it uses."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.operations import Defence, LockdownReading, Sample
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine.lockdown import container_config
from orchestrator.engine.verify import differences

type Json = Mapping[str, Any]


def read_lockdown(inspected: Json, spec: SandboxSpec, image_config: Json) -> LockdownReading:
    """Each field that `spec` asks for beside what the engine has, and where the two are not the same."""
    # The comparison is for a container that was just created; that it has started is no difference.
    as_created = {**inspected, "State": {**(inspected.get("State") or {}), "Status": "created"}}
    return LockdownReading(
        defences=tuple(_defences(inspected, spec)),
        differences=differences(as_created, spec, image_config),
    )


def _defences(inspected: Json, spec: SandboxSpec) -> Iterator[Defence]:
    wished: Any = container_config(spec)
    for where, fields in (("HostConfig", wished.pop("HostConfig")), ("Config", wished)):
        effective = inspected.get(where) or {}
        for name, value in fields.items():
            yield Defence(name=f"{where}.{name}", wished=value, effective=effective.get(name))


def read_sample(stats: Json) -> Sample:
    """Cpu, memory without the page cache that can be taken back, and pids; 0 where nothing is told."""
    memory = stats.get("memory_stats") or {}
    detail = memory.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    cpu = ((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage", 0)
    return Sample(
        cpu_seconds=cpu / 1e9,
        memory=max(0, memory.get("usage", 0) - cache),
        memory_limit=memory.get("limit", 0),
        pids=(stats.get("pids_stats") or {}).get("current") or 0,
    )
