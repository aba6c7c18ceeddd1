"""One session is one request: receive it, prepare the process as Python would for a script, run, save
figures."""

import builtins
import os
import sys

from sandglass_runner import figures, files, hooks, program
from sandglass_runner.request import BadRequest, Request, parse, read_line

BAD_REQUEST = 120  # exit code; no signal and no usual program uses it
PACKAGES = "/packages"  # where the owner's own packages are mounted, if there are any
CACHE = "/tmp/.matplotlib"
BAKED_FONTS = "/opt/sandglass/fonts"


def serve(*, warm: bool) -> object:
    """Serve exactly one request from stdin; return what `sys.exit` is to be called with."""
    mend_streams()
    hooks.install()
    hooks.after_import("matplotlib.pyplot", figures.take_over_show)
    lend_font_list()
    if warm:
        from sandglass_runner.warm import is_shadowed, preload, refresh, start_cold

        preload()
        os.write(1, b"sandglass-ready 1\n")
    try:
        line = read_line(0)
        request = parse(line)
    except BadRequest as refusal:
        os.write(2, f"{refusal}\n".encode())
        return BAD_REQUEST
    if warm:
        if is_shadowed():
            start_cold(line)
        refresh()
    become_script(request)
    main_process = os.getpid()
    try:
        return program.run(request.code)
    finally:
        # A child that the code forked and that fell through to here must not save its parent's figures again.
        if os.getpid() == main_process:
            figures.save_open()


def mend_streams() -> None:
    """Under gVisor, which has its own name for a pipe of the host, replace streams that would lose output."""
    if os.readlink("/proc/self/fd/1").startswith("host:"):
        from sandglass_runner.streams import make_whole

        make_whole()


def become_script(request: Request) -> None:
    """Make stdin empty, and give the code its arguments, its import path and its helpers."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    sys.argv[:] = ["main.py", *request.argv]
    sys.path.insert(0, os.getcwd())
    if os.path.isdir(PACKAGES):
        sys.path.append(PACKAGES)
    shelf = files.Shelf(request.inputs)
    for helper in (shelf.load_file, shelf.get_file_path, shelf.list_files):
        setattr(builtins, helper.__name__, helper)


def lend_font_list() -> None:
    """Link matplotlib's baked font list to where it will look; a copy would cost every start.

    Children that import matplotlib on their own find it too, which a hook in this process could not do.
    """
    try:
        names = os.listdir(BAKED_FONTS)
        os.mkdir(CACHE)
        for name in names:
            os.symlink(f"{BAKED_FONTS}/{name}", f"{CACHE}/{name}")
    except OSError:
        return  # no packages in this image, or a /tmp that is not ours: matplotlib then builds its own list
