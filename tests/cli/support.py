"""What the tests of the command line share."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SANDGLASS = Path(sys.executable).parent / "sandglass"

type Cli = Callable[..., subprocess.CompletedProcess[str]]
"""Takes arguments, and `subprocess.run`'s own by keyword."""
