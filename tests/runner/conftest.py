"""Directories that a container of another uid can use."""

from pathlib import Path

import pytest

from tests.runner.support import Box


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A fresh workspace for one container."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    workspace.chmod(0o777)
    return Box(workspace=workspace)
