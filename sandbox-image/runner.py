"""Entry point inside the container: read one request from stdin, run its code, leave as Python would.

Kept tiny because a script is compiled at every start; the rooms beside it are compiled once, in the build.
"""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
from sandglass_runner.session import serve

del sys.path[0]
sys.exit(serve(warm="--warm" in sys.argv[1:]))  # type: ignore[arg-type]  # whatever the code left with
