"""Runs inside the image: import every distribution, draw a plot, look for what must not be there.

Prints one JSON line per distribution (name, version, imports, size in bytes, import_ms, error), then one
per check (check, error, ...). `--list` prints name, version and imports alone, without importing.
Exit code 1 on any error.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator

PLOT = "verify.png"  # in the working directory
GREETINGS = {"Latin": "Zażółć gęślą jaźń", "CJK": "数据 データ 데이터", "emoji": "😀🎉📈"}
BUILDERS = (
    "cc",
    "gcc",
    "g++",
    "c++",
    "clang",
    "ld",
    "as",
    "make",
    "pip",
    "pip3",
    "apt",
    "apt-get",
    "dpkg",
    "perl",
)
RAISES_PRIVILEGES = stat.S_ISUID | stat.S_ISGID


def main() -> int:
    """Print everything there is to say; return the exit code."""
    distributions = sorted(importlib.metadata.distributions(), key=lambda one: one.metadata["Name"].lower())
    if "--list" in sys.argv[1:]:
        print(json.dumps([described(one) for one in distributions], indent=1))
        return 0
    failed = False
    for line in (*map(imported, distributions), *checks()):
        print(json.dumps(line), flush=True)
        failed |= line["error"] is not None
    return 1 if failed else 0


def described(distribution: importlib.metadata.Distribution) -> dict[str, object]:
    """Return name, version and the names to import of one distribution."""
    return {
        "name": distribution.metadata["Name"],
        "version": distribution.version,
        "imports": sorted(import_names(distribution)),
    }


def import_names(distribution: importlib.metadata.Distribution) -> set[str]:
    """Return the top-level modules and packages that the distribution's files make importable.

    A name that begins with an underscore is left out unless the distribution has no other.
    """
    names: set[str] = set()
    hidden: set[str] = set()
    for file in distribution.files or ():
        first = file.parts[0]
        if first in ("..", "__pycache__") or first.endswith((".dist-info", ".data", ".libs", ".egg-info")):
            continue
        name = first if len(file.parts) > 1 else module_name(first)
        # A folder counts only when it has something to import: some distributions leave their tests or
        # data about.
        if not name.isidentifier() or (len(file.parts) > 1 and file.suffix not in (".py", ".so")):
            continue
        (hidden if name.startswith("_") else names).add(name)
    return (names or hidden) - {"tests", "test", "docs", "examples", "scripts", "benchmarks"}


def module_name(filename: str) -> str:
    """Return the module that a top-level file is, or "" when it is none."""
    return filename.partition(".")[0] if filename.endswith((".py", ".so")) else ""


def imported(distribution: importlib.metadata.Distribution) -> dict[str, object]:
    """Import one distribution in a child of its own, so that its time includes all it needs and nothing
    else's."""
    names = sorted(import_names(distribution))
    began = time.perf_counter()
    error = in_child(lambda: [importlib.import_module(name) for name in names])
    took = round((time.perf_counter() - began) * 1000, 1)
    if not names:
        error = "nothing to import"
    return {**described(distribution), "size": size_of(distribution), "import_ms": took, "error": error}


def size_of(distribution: importlib.metadata.Distribution) -> int:
    """Return the bytes that the distribution's files take in this image."""
    paths = {os.path.realpath(str(distribution.locate_file(file))) for file in distribution.files or ()}
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def in_child(action: Callable[[], object]) -> str | None:
    """Run `action` in a forked child; return None when it went well, else one line that says what went
    wrong."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # what a module prints while it is imported must not mix with our lines
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                action()
            os._exit(0)
        # Anything at all may be raised by somebody else's module; the parent reports it and goes on.
        except BaseException as failure:
            os.write(writing, f"{type(failure).__name__}: {failure}".encode()[:2000])
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        words = " ".join(pipe.read().decode(errors="replace").split())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == 0 else words or f"ended with {code}"


def checks() -> Iterator[dict[str, object]]:
    """Yield the outcome of everything that is not about one distribution."""
    yield {"check": "plot", "error": in_child(draw), "path": PLOT}
    yield {"check": "plot in seaborn's theme", "error": in_child(lambda: draw(themed=True)), "path": PLOT}
    yield {"check": "font list baked", "error": in_child(find_baked_fonts)}
    found = list(privileged())
    yield {"check": "no setuid or setgid file", "error": ", ".join(found) or None}
    tools = [f"{folder}/{name}" for folder in (*os.defpath.split(":"), "/usr/local/bin") for name in BUILDERS]
    present = [path for path in tools if os.path.exists(path)]
    yield {"check": "no compiler or installer", "error": ", ".join(present) or None}
    yield {"check": "everything is compiled", "error": ", ".join(uncompiled()) or None}


def draw(*, themed: bool = False) -> None:
    """Draw the greetings; a glyph that no font has is a warning of matplotlib's, and a failure here."""
    import matplotlib.pyplot as plt

    if themed:
        import seaborn as sns

        sns.set_theme()
    warnings.simplefilter("error")
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([1, 3, 2], label="Übermaß")
    for height, (script, words) in enumerate(GREETINGS.items()):
        axes.text(0.1, 1.3 + 0.5 * height, f"{script}: {words}", fontsize=20)
    axes.set_title("Sandglass 标题 📊")
    axes.legend()
    figure.savefig(PLOT)
    if os.path.getsize(PLOT) < 5000:
        raise RuntimeError("the plot is too small to be one")


def find_baked_fonts() -> None:
    """Fail when matplotlib would have to look for fonts itself."""
    from matplotlib import font_manager, get_cachedir

    listed = os.path.join(get_cachedir(), f"fontlist-v{font_manager.FontManager.__version__}.json")
    baked = os.path.join("/opt/sandglass/fonts", os.path.basename(listed))
    if not os.path.isfile(baked):
        raise RuntimeError(f"{baked} is missing")


def privileged() -> Iterator[str]:
    """Yield every file of the image that raises privileges."""
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/dev")]
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue  # not even readable for us
            if stat.S_ISREG(mode) and mode & RAISES_PRIVILEGES:
                yield path


def uncompiled() -> list[str]:
    """Return up to five packages' modules without a baked .pyc."""
    missing = []
    for distribution in importlib.metadata.distributions():
        for name in import_names(distribution):
            source = str(distribution.locate_file(f"{name}/__init__.py"))
            if os.path.isfile(source) and not os.path.isfile(importlib.util.cache_from_source(source)):
                missing.append(source)
    return missing[:5]


if __name__ == "__main__":
    sys.exit(main())
