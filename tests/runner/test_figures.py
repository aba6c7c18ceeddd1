"""Open figures become files: in order, whatever happened, and never at the price of the exit code (real
containers)."""

# ruff: noqa: E501  (the programs in strings run inside the sandbox, as they are)

from pathlib import Path

import pytest

from tests.runner.support import USER, Box, Ran, run_in

PLOT = "import matplotlib.pyplot as plt\n"
PNG = b"\x89PNG"


def saved(box: Box) -> list[str]:
    """Return the names in the workspace that are PNG files."""
    return sorted(path.name for path in box.workspace.iterdir() if path.read_bytes().startswith(PNG))


def width_of(path: Path) -> int:
    """Return the width in pixels that a PNG's header gives."""
    return int.from_bytes(path.read_bytes()[16:20])


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_open_figures_are_saved_in_order(box: Box, warm: bool) -> None:
    """Two open figures are saved as figure_1 and figure_2 at the end, and closed ones are not."""
    code = PLOT + (
        "plt.figure(2, figsize=(9, 1)); plt.plot([1, 2])\n"
        "plt.figure(1, figsize=(3, 1)); plt.plot([2, 1])\n"
        "plt.figure(3); plt.plot([1]); plt.close()"
    )
    ran = run_in(box, code, warm=warm)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert saved(box) == ["figure_1.png", "figure_2.png"]
    assert width_of(box.workspace / "figure_1.png") < width_of(box.workspace / "figure_2.png")


@pytest.mark.parametrize(
    ("ending", "code"), [("1/0", 1), ("raise SystemExit(4)", 4), ("raise KeyboardInterrupt", 130)]
)
def test_figures_survive_a_failure(box: Box, ending: str, code: int) -> None:
    """Whatever ends the code, what it had drawn is saved and the exit code is its own."""
    assert run_in(box, f"{PLOT}plt.plot([1, 2])\n{ending}").code == code
    assert saved(box) == ["figure_1.png"]


@pytest.mark.parametrize("choice", ["", "import matplotlib\nmatplotlib.use('Agg')\n", "import pylab\n"])
def test_show_saves_and_closes(box: Box, choice: str) -> None:
    """plt.show() saves what is open then and there, in any backend, and a second figure gets the next
    number."""
    code = (
        f"{choice}{PLOT}import os\n"
        "plt.plot([1, 2]); plt.show()\n"
        "print(sorted(os.listdir()), plt.get_fignums())\n"
        "plt.plot([2, 1]); plt.show(block=False)\n"
        "print(sorted(os.listdir()))"
    )
    ran = run_in(box, code)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "['figure_1.png'] []\n['figure_1.png', 'figure_2.png']\n"


def test_existing_files_are_never_written_over(box: Box) -> None:
    """The next free number is taken; links and directories of that name count as taken."""
    (box.workspace / "figure_1.png").write_bytes(b"mine")
    (box.workspace / "figure_2.png").symlink_to("/nowhere")
    (box.workspace / "figure_3.png").mkdir()
    assert run_in(box, PLOT + "plt.plot([1, 2])").code == 0
    assert (box.workspace / "figure_1.png").read_bytes() == b"mine"
    assert (box.workspace / "figure_4.png").read_bytes().startswith(PNG)


def test_a_blank_figure_is_no_file(box: Box) -> None:
    """What plt.clf() leaves behind is not saved."""
    assert run_in(box, PLOT + "plt.plot([1]); plt.savefig('own.png'); plt.clf()").code == 0
    assert saved(box) == ["own.png"]


def test_a_figure_as_last_value_is_saved_not_printed(box: Box) -> None:
    """A figure that is the last expression's value shows up once, as a file."""
    ran = run_in(box, PLOT + "fig, ax = plt.subplots()\nax.plot([1, 2])\nfig")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert saved(box) == ["figure_1.png"]


def test_a_full_workspace_is_one_line_on_stderr(tmp_path: Path) -> None:
    """A figure that does not fit leaves no partial file, one line on stderr, and the exit code as it was."""
    inside = f"--tmpfs=/tiny:rw,size=8k,uid={USER}"
    box = Box(workspace=tmp_path, extra=(inside, "--workdir", "/tiny"))
    ran = run_in(
        box,
        PLOT + "import atexit, os\natexit.register(lambda: print(os.listdir('/tiny')))\nplt.plot([1, 2]);",
    )
    assert (ran.code, ran.out) == (0, "[]\n")
    assert ran.err == "A figure could not be saved: No space left on device\n"


def test_figures_are_saved_where_the_code_began(box: Box) -> None:
    """A code that changes its directory does not lose its figures with the container."""
    assert run_in(box, PLOT + "import os\nos.chdir('/tmp')\nplt.plot([1, 2]);").code == 0
    assert saved(box) == ["figure_1.png"]


def test_a_figure_that_cannot_be_drawn_does_not_hold_up_the_next(box: Box) -> None:
    """Text that matplotlib refuses costs its own figure only."""
    ran = run_in(box, PLOT + "plt.figure(); plt.title('$\\\\frac{$')\nplt.figure(); plt.plot([1, 2])")
    assert ran.code == 0
    assert ran.err.startswith("A figure could not be saved: ")
    assert ran.err.count("\n") == 1
    assert saved(box) == ["figure_1.png"]


def test_a_forked_child_does_not_save_its_parents_figures(box: Box) -> None:
    """A child that falls through to the end of the code leaves the figures to its parent."""
    ran = run_in(box, PLOT + "import os\nplt.plot([1, 2])\nif os.fork():\n    os.wait()")
    assert ran.code == 0
    assert saved(box) == ["figure_1.png"]


def test_glyphs_of_all_scripts_are_there_also_in_seaborns_theme(box: Box) -> None:
    """No glyph is missing for Latin, CJK and emoji, by default, in a style, in seaborn's theme, on the
    baked list."""
    code = (
        "import warnings; warnings.simplefilter('error')\n" + PLOT + "import seaborn\n"
        "def draw():\n    plt.figure(); plt.title('ź 数据 データ 데이터 😀📈'); plt.savefig('a.png'); plt.close()\n"
        "draw(); plt.style.use('seaborn-v0_8'); draw(); plt.rcdefaults(); seaborn.set_theme(); draw()\n"
        "import matplotlib, os\n"
        "lists = [n for n in os.listdir(matplotlib.get_cachedir()) if n.startswith('fontlist')]\n"
        "[os.path.islink(os.path.join(matplotlib.get_cachedir(), n)) for n in lists]"
    )
    ran = run_in(box, code)
    assert (ran.code, ran.out, ran.err) == (0, "[True]\n", "")


def test_matplotlib_is_not_imported_for_code_without_it(box: Box) -> None:
    """The hook on plt.show costs nothing when nobody plots."""
    ran: Ran = run_in(
        box, "import sys\n[name for name in sys.modules if name.startswith(('matplotlib', 'numpy'))]"
    )
    assert ran.out == "[]\n"
