"""A standby is a head start and nothing else: the code cannot tell it from a cold run (real containers)."""

# ruff: noqa: E501  (the programs in strings run inside the sandbox, as they are)

import json

from tests.runner.support import Box, record, run_in

LOOK = """
import numpy, pandas, matplotlib.pyplot, matplotlib.backends.backend_agg, PIL.PngImagePlugin
import gc, json, locale, os, resource, signal, sys, threading, warnings
print(json.dumps({
    "environment": dict(os.environ) | {"HOSTNAME": ""},
    "descriptors": sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in os.listdir("/proc/self/fd")[:-1]),
    "directory": os.getcwd(),
    "umask": os.umask(0o22),
    "threads": (threading.active_count(), len(os.listdir("/proc/self/task"))),
    "path": sys.path,
    "argv": sys.argv,
    "meta_path": [type(finder).__name__ for finder in sys.meta_path],
    "filters": [str(entry) for entry in warnings.filters],
    "signals": [str(signal.getsignal(n)) for n in range(1, 32)],
    "settings": {key: str(value) for key, value in matplotlib.rcParams.items()},
    "figures": matplotlib.pyplot.get_fignums(),
    "backend": matplotlib.get_backend(),
    "numpy errors": numpy.geterr(),
    "print options": str(numpy.get_printoptions()),
    "pandas options": pandas.get_option("display.max_rows"),
    "collector": (gc.isenabled(), gc.get_threshold()),
    "hooks": (sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__),
    "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    "tmp": sorted(os.listdir("/tmp")),
    "workspace": sorted(os.listdir("/workspace")),
    "modules": sorted(set(sys.modules) - {"sandglass_runner.warm"}),
    "globals": sorted(globals()),
}))
"""


def test_a_warm_run_looks_like_a_cold_one(box: Box) -> None:
    """Environment, descriptors, directory, threads, import state, settings and collector are the same
    either way."""
    cold, warm = run_in(box, LOOK), run_in(box, LOOK, warm=True)
    assert (cold.code, cold.err) == (0, "")
    assert (warm.code, warm.err) == (0, "")
    seen, expected = json.loads(warm.out), json.loads(cold.out)
    assert {key: value for key, value in seen.items() if value != expected[key]} == {}


def test_standbys_do_not_share_their_randomness(box: Box) -> None:
    """Two standbys draw different numbers from random, numpy's old global state and hashing."""
    code = "import random, numpy, uuid\nprint(random.random(), numpy.random.rand(), uuid.uuid4(), hash('a'))"
    one, two = (run_in(box, code, warm=True).out.split() for _ in range(2))
    assert len(one) == 4
    assert all(first != second for first, second in zip(one, two, strict=True))


def test_a_standby_without_a_request_is_refused(box: Box) -> None:
    """A request that is no request ends a standby like a cold run, with 120."""
    ran = run_in(box, "1", warm=True, contract=99)
    assert (ran.code, ran.out) == (120, "")


def test_a_failure_in_a_standby_reads_like_any_other(box: Box) -> None:
    """Tracebacks of a warm run have the source although linecache was imported long before."""
    ran = run_in(box, "x = 1\nx / 0", warm=True)
    assert ran.code == 1
    assert ran.err.splitlines()[1:3] == ['  File "<sandglass>", line 2, in <module>', "    x / 0"]


SHADOW = "import calendar, random\nprint(calendar.MINE, random.randint(1, 1))\n1 / 0"


def test_a_module_of_the_users_own_shadows_one_that_was_imported_ahead(box: Box) -> None:
    """A workspace file with the name of a preloaded module is what an import finds, warm as cold."""
    (box.workspace / "calendar.py").write_text("MINE = 'my calendar'\n")
    cold, warm = run_in(box, SHADOW), run_in(box, SHADOW, warm=True)
    assert cold.out.startswith("my calendar 1")
    assert (warm.code, warm.out, warm.err) == (cold.code, cold.out, cold.err)


def test_the_code_arrives_whole_where_a_standby_has_to_begin_anew(box: Box) -> None:
    """A request larger than a pipe holds is handed on, its inputs with it."""
    (box.workspace / "queue").mkdir()
    code = f"text = {'x' * 300_000!r}\nprint(len(text), list_files()[0]['filename'])"
    ran = run_in(box, code, warm=True, inputs=[record("a_1_00000000", "a.csv")])
    assert (ran.code, ran.out, ran.err) == (0, "300000 a.csv\n", "")
