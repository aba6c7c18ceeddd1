"""Save open matplotlib figures as `figure_N.png` in the directory that the code began in.

Matplotlib is never imported here: who does not plot does not pay.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a type checker reads is not worth its import at every start
    from types import ModuleType
    from typing import BinaryIO

# The code may go elsewhere, and only this directory outlives it.
_began_in = os.getcwd()


def take_over_show(pyplot: "ModuleType") -> None:
    """Make `plt.show()` save and close what is open, whatever backend the code chooses."""

    def show(*_: object, **__: object) -> None:
        """Save every open figure as the next free figure_N.png and close it."""
        save_open()

    pyplot.show = show  # type: ignore[attr-defined]


def save_open() -> None:
    """Save every open figure that shows something, in the order of their numbers, and close all of them."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    managers = sorted(helpers.Gcf.get_all_fig_managers(), key=lambda manager: manager.num)
    for manager in managers:
        figure = manager.canvas.figure
        if shows_something(figure):
            save(figure)
        helpers.Gcf.destroy(manager)


def shows_something(figure: object) -> bool:
    """Tell a figure worth a file from the blank one that `plt.clf()` leaves behind."""
    parts = ("axes", "lines", "patches", "images", "texts", "legends", "artists", "subfigs")
    return any(getattr(figure, part, None) for part in parts)


def save(figure: object) -> None:
    """Save one figure; a failure is one line on stderr and never changes the exit code."""
    path = None
    try:
        path, stream = next_free()
        with stream:
            figure.savefig(stream, format="png", bbox_inches="tight")  # type: ignore[attr-defined]
    # Drawing runs the user's own artists and text: whatever they raise, the remaining figures are still
    # to be saved.
    except Exception as failure:
        if path:
            os.unlink(path)
        reason = getattr(failure, "strerror", None) or f"{type(failure).__name__}: {failure}"
        print(f"A figure could not be saved: {' '.join(str(reason).split())}", file=sys.stderr)


def next_free() -> "tuple[str, BinaryIO]":
    """Create the first figure_N.png that does not exist there; return its path and the open stream."""
    number = 1
    while True:
        path = f"{_began_in}/figure_{number}.png"
        try:
            return path, open(path, "xb")
        except FileExistsError:
            number += 1
