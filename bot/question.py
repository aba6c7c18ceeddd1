"""From a Discord message to what the model is asked: words, uploads, the quoted message, memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import nextcord

from bot.conversation import files_note, system_prompt
from bot.markdown import name, one_line
from bot.memory import tokens, trimmed
from bot.model import Message, Picture, Text
from bot.render import size
from bot.services import Services
from orchestrator import SandglassError

_SEEN_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_SEEN_BYTES = 4_000_000
_QUOTED = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploads:
    """What became of the attachments: a line for each, for the model and for the person."""

    told: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """Everything for the model, the new question by itself, and what was left out."""

    messages: tuple[Message, ...]
    question: Text
    parent_id: int | None
    left_out: int


async def store_uploads(services: Services, message: nextcord.Message) -> Uploads:
    """Store every attachment; its size is checked before a byte is read."""
    told, refused, pictures = [], [], []
    owner = str(message.author.id)
    most = services.orchestrator.bounds.max_file_bytes
    for each in message.attachments:
        if each.size > most:
            refused.append(
                f"{name(each.filename)} has {size(each.size)}, the limit is {size(most)}: not kept"
            )
            continue
        try:
            data = await each.read()
            kept = await services.orchestrator.upload_file(owner, data, each.filename)
        except (SandglassError, nextcord.HTTPException) as error:
            why = one_line(str(error)) if isinstance(error, SandglassError) else "Discord did not give it out"
            refused.append(f"{name(each.filename)} was not kept: {why}")
            continue
        told.append(f"- {kept.filename!r} id={kept.file_id} {kept.size} bytes, {kept.media_type}")
        if services.settings.model_sees and kept.media_type in _SEEN_TYPES and kept.size <= _SEEN_BYTES:
            pictures.append(Picture(media_type=kept.media_type, data=data))
    return Uploads(told=tuple(told), refused=tuple(refused), pictures=tuple(pictures))


def words_of(message: nextcord.Message, me: int) -> str:
    """What was said, without our own mention."""
    return re.sub(rf"<@!?{me}>", "", message.content).strip()


async def prompt_for(
    services: Services, message: nextcord.Message, me: int, uploads: Uploads, *, room: bool
) -> Prompt:
    """The prompt for a question; `room` says that the whole channel is the conversation."""
    parent = await parent_of(services, message)
    since = await services.store.since(message.channel.id, message.author.id)
    if room:
        history = await services.store.room(message.channel.id, since, before=message.id)
    else:
        history = await services.store.chain(parent, since)
    parts = [words_of(message, me)]
    if quoted := _quoted(message, known=parent is not None):
        parts.insert(0, quoted)
    if uploads.told:
        parts.append("Files just uploaded:\n" + "\n".join(uploads.told))
    if uploads.refused:
        parts.append("Uploads refused:\n" + "\n".join(uploads.refused))
    question = Text(role="user", text="\n\n".join(filter(None, parts)), pictures=uploads.pictures)
    files = await services.orchestrator.list_user_files(message.author.id)
    frame: Sequence[Message] = (system_prompt(), files_note(files), question)
    kept, left_out = trimmed(history, services.settings.model_window - sum(tokens(each) for each in frame))
    return Prompt(
        messages=(frame[0], *kept, *frame[1:]), question=question, parent_id=parent, left_out=left_out
    )


async def parent_of(services: Services, message: nextcord.Message) -> int | None:
    """The question whose answer this message replies to."""
    if message.reference is None or message.reference.message_id is None:
        return None
    return await services.store.question_of(message.reference.message_id)


def _quoted(message: nextcord.Message, *, known: bool) -> str | None:
    """The replied-to message, where it is not ours: people reply to what they ask about."""
    quoted = message.reference.resolved if message.reference else None
    if known or not isinstance(quoted, nextcord.Message) or not quoted.content:
        return None
    return f"The user replies to this message of {quoted.author.display_name!r}:\n{quoted.content[:_QUOTED]}"
