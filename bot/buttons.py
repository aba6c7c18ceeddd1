"""Buttons that survive a restart: all they know is in their custom id, `sg:<action>:<id>`."""

from dataclasses import dataclass
from typing import Self

from nextcord import ButtonStyle
from nextcord.ui import Button, View

_PREFIX = "sg"


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """What a button does, and to which execution, question or file."""

    verb: str
    target: str

    @property
    def custom_id(self) -> str:
        """At most 100 characters, which Discord allows."""
        return f"{_PREFIX}:{self.verb}:{self.target}"

    @classmethod
    def parse(cls, custom_id: str) -> Self | None:
        """The action of one of our components; None for anything else."""
        prefix, _, rest = custom_id.partition(":")
        verb, _, target = rest.partition(":")
        return cls(verb=verb, target=target) if prefix == _PREFIX and verb and target else None


def buttons(*wanted: tuple[str, str, str, ButtonStyle]) -> View:
    """A row of buttons `(label, verb, target, style)`; we dispatch clicks ourselves, so nothing is stored."""
    view = View(timeout=None)
    for label, verb, target, style in wanted:
        view.add_item(Button(label=label, style=style, custom_id=Action(verb=verb, target=target).custom_id))
    view.stop()
    return view


def none() -> View:
    """No buttons, where a message is given some."""
    return buttons()


def stop_turn(question_id: int) -> View:
    """Under an answer that is being written."""
    return buttons(("Stop", "stop", str(question_id), ButtonStyle.danger))


def stop_run(execution_id: str) -> View:
    """Under an execution that runs."""
    return buttons(("Stop", "kill", execution_id, ButtonStyle.danger))


def after_run(execution_id: str) -> View:
    """Under an execution that ended."""
    return buttons(
        ("Run again", "again", execution_id, ButtonStyle.secondary),
        ("Edit and run", "edit", execution_id, ButtonStyle.secondary),
        ("Code", "code", execution_id, ButtonStyle.secondary),
        ("Delete", "delete", execution_id, ButtonStyle.secondary),
    )
