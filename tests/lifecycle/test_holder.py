"""A dead holder on this host is known at once; everything else is left to the lease."""

import subprocess
import sys

from orchestrator.lifecycle.holder import is_surely_dead, this_process


def test_this_process_is_alive() -> None:
    """Nobody takes its own work away."""
    assert not is_surely_dead(this_process())


def test_a_process_that_ended_is_surely_dead() -> None:
    """Its pid is gone, or belongs to somebody who started later."""
    code = "from orchestrator.lifecycle.holder import this_process; print(this_process())"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert is_surely_dead(ended)


def test_a_holder_on_another_host_is_never_declared_dead() -> None:
    """Another boot id says nothing about its processes."""
    assert not is_surely_dead("another-boot/1:1:1")
    assert not is_surely_dead("nonsense")
