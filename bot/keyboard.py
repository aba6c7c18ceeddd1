"""What is typed, edited and pasted at a terminal; from a pipe, its lines."""

import select
import sys
import termios
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Self

# What is between the marks has no width; readline must know that to redraw a long line.
_ASK = "\x01\x1b[1;36m\x02you>\x01\x1b[0m\x02 "
_GO_ON = "\x01\x1b[36m\x02...>\x01\x1b[0m\x02 "
_PASTED = 0.05
"""Seconds between two lines of one paste, at most."""


class Keyboard:
    """Asks for one input after the other; must be used in the main thread, where signals interrupt it."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self.reading = 0
        """Which reading goes on, by its number; 0 for none."""
        self._readings = 0
        self._ended = False
        self._begun = ""
        self._as_found: list[Any] | None = None
        self._readline = _readline() if self.is_terminal else None
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # a TextIOWrapper, or not ours
        if self._readline is not None:
            # Python switches it off: to a program that asks for lines a paste of three is three.
            self._readline.parse_and_bind("set enable-bracketed-paste on")

    def __enter__(self) -> Self:
        if self.is_terminal:
            self._as_found = termios.tcgetattr(sys.stdin)
            self._hush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._speak()

    def interrupt(self) -> bool:
        """For the handler of Ctrl-C: end the reading that goes on; False when there is none."""
        return self._break_off(KeyboardInterrupt)

    def end(self) -> bool:
        """For the handler of a signal that ends us: as if the input were at its end."""
        self._ended = True
        return self._break_off(EOFError)

    def _break_off(self, how: type[BaseException]) -> bool:
        if not self.reading:
            return False
        self.reading = 0  # what handles this is not broken off in its turn
        raise how

    def read(self) -> str | None:
        """The next input: a line, a paste, or lines from an opening fence to the closing one.

        None at the end. Ctrl-C drops what was typed; where nothing was, the second one ends.
        """
        warned = False
        while True:
            try:
                self._speak()
                return self._whole()
            except EOFError:
                if self.is_terminal and not self._takes_pastes():
                    print()  # noqa: T201  (as GNU's readline does)
                return None
            except KeyboardInterrupt:
                typed = self._typed()
                if not self.is_terminal:
                    return None
                print()  # noqa: T201
                if warned and not typed:
                    return None
                warned = not typed
                if warned:
                    print("Ctrl-C again, Ctrl-D or /quit ends.")  # noqa: T201
            finally:
                self._hush()

    def _whole(self) -> str:
        self._begun = ""
        self._readings += 1
        self.reading = self._readings
        try:
            self._begun = self._line(_ASK)
            while self._begun.count("```") % 2:
                self._begun += "\n" + self._line(_GO_ON)
        except EOFError:
            if self._ended or not self._begun:
                raise
        finally:
            self.reading = 0
        return self._begun

    def _line(self, prompt: str) -> str:
        if not self.is_terminal:
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.removesuffix("\n")
        line = input(prompt)
        while not self._takes_pastes() and _more_at_once():
            line += "\n" + input()
        return line

    def _typed(self) -> bool:
        return bool(self._begun or (self._readline is not None and self._readline.get_line_buffer()))

    def _takes_pastes(self) -> bool:
        """GNU's readline knows where a paste ends; libedit, which some Pythons have instead, does not."""
        return self._readline is not None and "libedit" not in (self._readline.__doc__ or "")

    def _hush(self) -> None:
        """While nobody reads, what is typed waits unseen: its echo would break up what is drawn."""
        if self._as_found is not None:
            quiet = list(self._as_found)
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            _set(quiet)

    def _speak(self) -> None:
        if self._as_found is not None:
            _set(self._as_found)


def _set(attributes: list[Any]) -> None:
    with suppress(termios.error):  # the terminal is gone
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, attributes)


def _readline() -> Any:
    """The module that edits lines; None for a Python that was built without it."""
    try:
        return import_module("readline")
    except ModuleNotFoundError:
        return None


def _more_at_once() -> bool:
    return bool(select.select([sys.stdin], [], [], _PASTED)[0])
