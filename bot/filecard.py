"""A person's stored files as a list with a menu, and one file with what can be done to it."""

from collections.abc import Sequence
from typing import Any

import nextcord

from bot import markdown, render
from bot.buttons import Action, buttons
from bot.delivery import Parcel, pack
from bot.interactions import limit_of, refuse, user_of
from bot.services import Services
from bot.show import as_files
from orchestrator import SandglassError, StoredFile

_PAGE = 10


async def listing(services: Services, user_id: int, page: int = 0) -> tuple[str, nextcord.ui.View | None]:
    """A page of the list: its text, and a menu with buttons to turn pages."""
    files = await services.orchestrator.list_user_files(user_id)
    if not files:
        return "You have no stored files. Attach one to a question, or use /upload.", None
    last = (len(files) - 1) // _PAGE
    page = max(0, min(page, last))
    shown = files[page * _PAGE : (page + 1) * _PAGE]
    total = render.size(sum(each.size for each in files))
    head = f"**{len(files)} files**, {total}" + (f" · page {page + 1} of {last + 1}" if last else "")
    text = f"{head}\n{render.file_lines(shown, markdown.LIMIT - len(head) - 10)}"
    view = nextcord.ui.View(timeout=None)
    view.add_item(_menu(shown))
    if last:
        view.add_item(_turn("Previous", page - 1, disabled=page == 0))
        view.add_item(_turn("Next", page + 1, disabled=page == last))
    view.stop()
    return text, view


def _menu(files: Sequence[StoredFile]) -> nextcord.ui.StringSelect[nextcord.ui.View]:
    options = [
        nextcord.SelectOption(
            label=markdown.visible(each.filename)[:100] or "?",
            value=each.file_id,
            description=f"{each.type}, {render.size(each.size)}",
        )
        for each in files
    ]
    custom_id = Action(verb="pick", target="file").custom_id
    return nextcord.ui.StringSelect(custom_id=custom_id, placeholder="Choose a file", options=options)


def _turn(label: str, page: int, *, disabled: bool) -> nextcord.ui.Button[nextcord.ui.View]:
    custom_id = Action(verb="page", target=str(page)).custom_id
    return nextcord.ui.Button(label=label, custom_id=custom_id, disabled=disabled)


async def clicked(
    services: Services, interaction: nextcord.Interaction[Any], action: Action, values: Sequence[str]
) -> None:
    """A click in a list or on a file; the owner is whoever clicks, so that a foreign id finds nothing."""
    user_id = user_of(interaction)
    try:
        match action.verb:
            case "page":
                text, view = await listing(services, user_id, int(action.target))
                await interaction.response.edit_message(content=text, view=view)
            case "pick":
                file = await services.orchestrator.get_file(values[0], user_id)
                await interaction.response.send_message(
                    render.file_line(file), view=_actions(file), ephemeral=True
                )
            case "get":
                await send_file(services, interaction, action.target)
            case "keep":
                file = await services.orchestrator.extend_file(action.target, user_id)
                await interaction.response.edit_message(content=render.file_line(file), view=_actions(file))
            case "ask":
                file = await services.orchestrator.get_file(action.target, user_id)
                await interaction.response.edit_message(
                    content=f"Delete {markdown.name(file.filename)} for ever?", view=_confirm(file.file_id)
                )
            case "gone":
                file = await services.orchestrator.delete_user_file(action.target, user_id)
                text = f"-# 🗑️ {markdown.name(file.filename)} is deleted."
                await interaction.response.edit_message(content=text, view=None)
    except SandglassError as error:
        await refuse(interaction, str(error))


async def send_file(services: Services, interaction: nextcord.Interaction[Any], ref: str) -> None:
    """Give a file to its owner alone, zipped where that makes it fit; raises `FileNotFoundOrExpired`."""
    await interaction.response.defer(ephemeral=True, with_message=True)
    owner = str(user_of(interaction))
    file = await services.orchestrator.get_file(ref, owner)
    delivery = await pack(services.orchestrator, owner, [file], limit=limit_of(interaction))
    text = "\n".join([render.file_line(file), *delivery.notes])
    parcels: Sequence[Parcel] = delivery.messages[0] if delivery.messages else ()
    await interaction.followup.send(text, files=as_files(parcels), ephemeral=True)


def _actions(file: StoredFile) -> nextcord.ui.View:
    style = nextcord.ButtonStyle
    return buttons(
        ("Download", "get", file.file_id, style.primary),
        ("Keep longer", "keep", file.file_id, style.secondary),
        ("Delete", "ask", file.file_id, style.danger),
    )


def _confirm(file_id: str) -> nextcord.ui.View:
    return buttons(("Delete for ever", "gone", file_id, nextcord.ButtonStyle.danger))
