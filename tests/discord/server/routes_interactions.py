"""The bot's side of interactions: the callback and the webhook that stays open for 15 minutes."""

from typing import Any

from .errors import DiscordError, invalid_form, unknown
from .forms import check_choices, check_modal
from .interactions import (
    ANSWER,
    AUTOCOMPLETE,
    CHOICES,
    COMMAND,
    DEFER,
    DEFER_UPDATE,
    MODAL,
    SHOW_MODAL,
    UPDATE,
    Desk,
    Interaction,
)
from .rest import NO_CONTENT, Call, Routes
from .uploads import Body
from .world import EPHEMERAL, LOADING, Message

type Json = dict[str, Any]


class Callbacks:
    """The handlers, over the desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.post = desk.post

    def register(self, routes: Routes) -> None:
        """Put the handlers under Discord's templates; the token in the path is the authorization."""
        hook = "/webhooks/{webhook_id}/{webhook_token}"
        callback = "/interactions/{interaction_id}/{interaction_token}/callback"
        routes.add("POST", callback, self.answer, open=True)
        routes.add("POST", hook, self.follow_up, open=True)
        for name in ("@original", "{message_id}"):
            routes.add("GET", f"{hook}/messages/{name}", self.fetch, open=True)
            routes.add("PATCH", f"{hook}/messages/{name}", self.edit, open=True)
            routes.add("DELETE", f"{hook}/messages/{name}", self.delete, open=True)

    async def answer(self, call: Call) -> object:
        """POST: the first answer, once and within 3 s."""
        found = self.desk.find(call.id("interaction_id"), call.parameters["interaction_token"])
        found.ensure_fresh()
        kind, data = call.json["type"], call.json.get("data") or {}
        allowed = {AUTOCOMPLETE: (CHOICES,), COMMAND: (ANSWER, DEFER, SHOW_MODAL)}.get(
            found.kind, (ANSWER, DEFER, DEFER_UPDATE, UPDATE, SHOW_MODAL)
        )
        if found.kind == MODAL:
            allowed = tuple(each for each in allowed if each != SHOW_MODAL)
        # A modal that a command opened may be acknowledged in silence, but there is no message to change.
        without = UPDATE if found.kind == MODAL else DEFER_UPDATE
        needs_source = kind in (without, UPDATE) and self._source(found) is None
        if kind not in allowed or needs_source:
            raise invalid_form("type", "INTERACTION_CALLBACK_TYPE", f"Type {kind} is not allowed here")
        self._apply(found, kind, data, call.body)
        found.answered = kind
        self.desk.world.changed()
        if call.query.get("with_response", "").lower() in ("true", "1"):
            return self._described(found)
        return NO_CONTENT

    def _apply(self, found: Interaction, kind: int, data: Json, body: Body) -> None:
        if kind == CHOICES:
            check_choices(data["choices"], _focused(found.data["options"])["type"])
            found.choices = data["choices"]
        elif kind == SHOW_MODAL:
            check_modal(data)
            found.modal = data
        elif kind == ANSWER:
            found.original = self._message(found, Body(json=data, files=body.files))
        elif kind == DEFER:
            thinking = Message(
                id=self.desk.world.clock.snowflake(),
                channel=found.channel,
                author=self.desk.world.me,
                content="",
                at=self.desk.world.clock.now(),
                flags=LOADING | ((data.get("flags") or 0) & EPHEMERAL),
                webhook_id=self.desk.world.me.id,
                interaction=found.metadata(),
                seen_by=found.user,
            )
            found.original = self.post.publish(thinking)
        else:
            found.original = self._source(found)
            if kind == UPDATE and found.original:
                self.post.edit(found.original, Body(json=data, files=body.files), limit=found.limit)

    async def follow_up(self, call: Call) -> object:
        """POST: one more message; the first one after a deferral is what the deferral waited for."""
        found = self._valid(call)
        original = found.original
        if original and original.thinking and not original.deleted:
            return self.post.payload(self.post.edit(original, call.body, limit=found.limit))
        made = self._message(found, call.body)
        found.followups.append(made)
        self.desk.world.changed()
        return self.post.payload(made)

    async def fetch(self, call: Call) -> object:
        """GET: an answer."""
        return self.post.payload(self._target(call))

    async def edit(self, call: Call) -> object:
        """PATCH: an answer, also an ephemeral one."""
        found = self._valid(call)
        return self.post.payload(self.post.edit(self._target(call), call.body, limit=found.limit))

    async def delete(self, call: Call) -> object:
        """DELETE: an answer."""
        self.post.delete(self._target(call))
        return NO_CONTENT

    def _valid(self, call: Call) -> Interaction:
        if call.id("webhook_id") != self.desk.world.me.id:
            raise unknown("webhook")
        return self.desk.by_token(call.parameters["webhook_token"])

    def _target(self, call: Call) -> Message:
        found = self._valid(call)
        if "message_id" not in call.parameters:
            if found.original is None or found.original.deleted:
                raise unknown("message")
            return found.original
        reachable = [*found.messages, *([found.source] if found.source else [])]
        for message in reachable:
            if message.id == call.id("message_id") and not message.deleted:
                return message
        raise unknown("message")

    def _message(self, found: Interaction, body: Body) -> Message:
        if found.kind == AUTOCOMPLETE:
            raise DiscordError(400, 50035, "Invalid Form Body")
        return self.post.create(
            found.channel,
            self.desk.world.me,
            body,
            limit=found.limit,
            interaction=found.metadata(),
            seen_by=found.user,
        )

    def _source(self, found: Interaction) -> Message | None:
        """The message whose component was used, also through a modal."""
        return found.source or (found.parent.source if found.parent else None)

    def _described(self, found: Interaction) -> Json:
        body: Json = {"id": str(found.id), "type": found.kind}
        answer: Json = {"interaction": body}
        if found.original and found.answered in (ANSWER, DEFER, UPDATE, DEFER_UPDATE):
            body["response_message_id"] = str(found.original.id)
            body["response_message_loading"] = found.original.thinking
            body["response_message_ephemeral"] = found.original.ephemeral
            if found.answered in (ANSWER, UPDATE):
                answer["resource"] = {"type": found.answered, "message": self.post.payload(found.original)}
        return answer


def _focused(options: list[Json]) -> Json:
    """The option that is being typed, in whatever subcommand."""
    for each in options:
        if each.get("focused"):
            return each
        if "options" in each:
            return _focused(each["options"])
    raise AssertionError("nothing is being typed")
