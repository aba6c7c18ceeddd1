"""From a Discord message to what the model is asked: words, uploads, the quoted message, memory."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import nextcord

from bot.conversation import files_note, system_prompt
from bot.held import COMING_IN
from bot.markdown import name, one_line
from bot.memory import room_in, tokens, trimmed
from bot.model import Message, Picture, Text
from bot.render import size
from bot.sending import UNSENT
from bot.services import Services
from bot.tools import TOOLS
from bot.unbroken import unbroken
from orchestrator import FileNotFoundOrExpired, SandglassError, StoredFile

_SEEN_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_SEEN_BYTES = 4_000_000
_QUOTED = 4_000
_POINTED_AT = 400
"""Characters of our own answer that are enough to know which one is meant."""


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
    left_out: int
    cut: bool = False
    """Whether the conversation is longer than is ever looked back."""


async def store_uploads(services: Services, message: nextcord.Message) -> Uploads:
    """Store every attachment that is not stored yet; its size is checked before a byte is read."""
    told, refused, pictures = [], [], []
    before = await services.store.uploads_of(message.id)
    most = services.orchestrator.bounds.max_file_bytes
    forwarded = [each for snapshot in message.snapshots for each in snapshot.attachments]
    for each in (*message.attachments, *forwarded):
        if each.size > most:
            refused.append(
                f"{name(each.filename)} has {size(each.size)}, the limit is {size(most)}: not kept"
            )
            continue
        try:
            kept = await _stored(services, message, each, before.get(each.id))
            if services.settings.model_sees and kept.media_type in _SEEN_TYPES and kept.size <= _SEEN_BYTES:
                data = await services.orchestrator.load_file(kept.file_id, message.author.id)
                pictures.append(Picture(media_type=kept.media_type, data=data))
        except (SandglassError, *UNSENT) as error:
            why = one_line(str(error)) if isinstance(error, SandglassError) else "Discord did not give it out"
            refused.append(f"{name(each.filename)} was not kept: {why}")
            continue
        told.append(f"- {kept.filename!r} id={kept.file_id} {kept.size} bytes, {kept.media_type}")
    return Uploads(told=tuple(told), refused=tuple(refused), pictures=tuple(pictures))


async def _stored(
    services: Services, message: nextcord.Message, attachment: nextcord.Attachment, before: str | None
) -> StoredFile:
    """The file of an attachment: the one that it became before an edit of its question, else a new one."""
    owner = message.author.id
    if before is not None:
        with suppress(FileNotFoundOrExpired):
            return await services.orchestrator.get_file(before, owner)
    async with COMING_IN.hold(attachment.size):
        data = await attachment.read()
        return await _keep(services, message, attachment, data)


@unbroken
async def _keep(
    services: Services, message: nextcord.Message, attachment: nextcord.Attachment, data: bytes
) -> StoredFile:
    """Stored and noted in the same breath, or an edit of the question would store it twice."""
    kept = await services.orchestrator.upload_file(message.author.id, data, attachment.filename)
    await services.store.uploaded(message.id, attachment.id, kept.file_id)
    return kept


def words_of(message: nextcord.Message, me: int) -> str:
    """What was said, without our own mention."""
    return re.sub(rf"<@!?{me}>", "", message.content).strip()


async def prompt_for(
    services: Services, message: nextcord.Message, me: int, uploads: Uploads, *, room: bool
) -> Prompt:
    """The prompt for a question; `room` says that the whole channel is the conversation."""
    reader = message.author.id
    parent = await parent_of(services, message)
    since = await services.store.since(message.channel.id, reader)
    if room:
        history = await services.store.room(message.channel.id, since, before=message.id, reader=reader)
    else:
        history = await services.store.chain(parent, since, reader=reader)
    parts = [*_foreign(message, known=parent is not None, room=room), words_of(message, me)]
    if uploads.told:
        parts.append("Files just uploaded:\n" + "\n".join(uploads.told))
    if uploads.refused:
        parts.append("Uploads refused:\n" + "\n".join(uploads.refused))
    question = Text(role="user", text="\n\n".join(filter(None, parts)), pictures=uploads.pictures)
    files = await services.orchestrator.list_user_files(reader)
    frame: Sequence[Message] = (system_prompt(), files_note(files), question)
    space = room_in(services.settings.model_window, TOOLS) - sum(tokens(each) for each in frame)
    kept, left_out = trimmed(history.messages, space)
    return Prompt(
        messages=(frame[0], *kept, *frame[1:]), question=question, left_out=left_out, cut=history.cut
    )


def replied_to(message: nextcord.Message) -> int | None:
    """The id of the message that this one replies to; a forwarded one is no reply."""
    reference = message.reference
    if reference is None or reference.type is not nextcord.MessageReferenceType.default:
        return None
    return reference.message_id


async def parent_of(services: Services, message: nextcord.Message) -> int | None:
    """The question whose answer this message replies to."""
    replied = replied_to(message)
    return None if replied is None else await services.store.question_of(replied)


def _foreign(message: nextcord.Message, *, known: bool, room: bool) -> Iterator[str]:
    """What people ask about without saying it: the message that they reply to, and those they forward.

    As JSON, so that no line of it passes for the words of the one who asks. An answer of ours is known
    already, but in a room it has to be said which one is meant.
    """
    quoted = message.reference.resolved if replied_to(message) is not None and message.reference else None
    if isinstance(quoted, nextcord.Message) and quoted.content and (room or not known):
        whose = (
            "an earlier answer of yours"
            if known
            else f"a message of {json.dumps(quoted.author.display_name)}"
        )
        most = _POINTED_AT if known else _QUOTED
        yield f"The user replies to {whose}, quoted here as data: {_as_data(quoted.content[:most])}"
    for each in message.snapshots:
        if each.content:
            yield f"The user forwards a message, quoted here as data: {_as_data(each.content[:_QUOTED])}"


def _as_data(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
