"""People at the keyboard: what a test says, uploads, edits, deletes, types, clicks and commands."""

from collections.abc import Sequence

from .hands import Hands
from .interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Desk, Interaction
from .post import Post, dm_channel
from .routes_commands import Commands
from .uploads import store
from .world import Channel, Json, Message, User

type File = tuple[str, bytes]


class Person:
    """One person; everything reaches the bot as it would from Discord's own client."""

    def __init__(self, account: User, desk: Desk, commands: Commands) -> None:
        self.account = account
        self._desk = desk
        self._commands = commands
        self._post: Post = desk.post
        self._hands = Hands(desk.post, account)
        self._world = desk.world

    @property
    def id(self) -> int:
        """The Discord id."""
        return self.account.id

    @property
    def name(self) -> str:
        """The account's name."""
        return self.account.name

    @property
    def mention(self) -> str:
        """The text that mentions this person."""
        return self.account.mention

    @property
    def dm_channel(self) -> Channel:
        """The DM with the bot."""
        return dm_channel(self._world, self.account)

    async def say(
        self,
        channel: Channel,
        text: str = "",
        *,
        files: Sequence[File] = (),
        reply_to: Message | None = None,
        mention: bool = False,
        ping: bool = True,
    ) -> Message:
        """A message; `mention=True` puts the bot's mention in front, `ping` is the reply's own mention."""
        assert channel.shows_itself_to(self.account), (
            f"{self.name} is not in #{channel.name}, which is private"
        )
        if mention:
            text = f"{self._world.me.mention} {text}"
        message = Message(
            id=self._world.clock.snowflake(),
            channel=channel,
            author=self.account,
            content=text,
            at=self._world.clock.now(),
            attachments=[store(self._world, channel, name, data) for name, data in files],
            reference=reply_to.id if reply_to else None,
            kind=19 if reply_to else 0,
        )
        if not ping:
            message.allowed_mentions = {"parse": ["users"], "replied_user": False}
        return self._post.publish(message)

    async def ask(self, channel: Channel, text: str = "", *, files: Sequence[File] = ()) -> Message:
        """A message that mentions the bot."""
        return await self.say(channel, text, files=files, mention=True)

    async def dm(
        self, text: str = "", *, files: Sequence[File] = (), reply_to: Message | None = None
    ) -> Message:
        """A message to the bot alone."""
        return await self.say(self.dm_channel, text, files=files, reply_to=reply_to)

    async def edit(self, message: Message, text: str) -> Message:
        """One's own message with another text."""
        assert message.author is self.account, "people edit only what they wrote"
        message.content = text
        return self._post.edited(message)

    async def delete(self, message: Message) -> None:
        """Delete a message (a moderator may delete anybody's)."""
        self._post.delete(message)

    async def purge(self, *messages: Message) -> None:
        """Delete several messages of one channel at once, as a moderator's bot does."""
        self._post.delete_many(messages[0].channel, messages)

    async def unfurl(self, message: Message, url: str = "https://example.org/") -> None:
        """A link of one's own message gets its preview."""
        assert message.author is self.account, "the preview belongs to who posted the link"
        self._post.unfurl(message, url)

    async def typing(self, channel: Channel) -> None:
        """Be seen typing."""
        from .payloads import member

        now = int(self._world.clock.now().timestamp())
        data = {"channel_id": str(channel.id), "user_id": str(self.id), "timestamp": now}
        if channel.guild:
            data |= {"guild_id": str(channel.guild.id), "member": member(self.account)}
        self._post.gateway.dispatch("TYPING_START", data)

    async def slash(
        self, name: str, *, channel: Channel | None = None, wait: bool = True, **values: object
    ) -> Interaction:
        """A slash command (`"privacy export"` for a subcommand) and its options; in the DM unless told where.

        Comes back with the first answer, which must come within 3 s; `wait=False` does not wait for it.
        """
        word, *words = name.split()
        where = channel or self.dm_channel
        data = self._hands.slash(self._commands.find(word, 1), words, values, where)
        return await self._open(COMMAND, where, data, wait=wait)

    async def context(self, name: str, message: Message, *, wait: bool = True) -> Interaction:
        """A command of a message's context menu."""
        data = self._hands.context(self._commands.find(name, 3), message)
        return await self._open(COMMAND, message.channel, data, wait=wait)

    async def autocomplete(
        self, name: str, option: str, typed: str, *, channel: Channel | None = None, **others: object
    ) -> list[Json]:
        """The choices offered (`name`, `value`) while `typed` stands in an option."""
        word, *words = name.split()
        data = self._hands.focused(self._commands.find(word, 1), words, option, typed, others)
        made = await self._open(AUTOCOMPLETE, channel or self.dm_channel, data, wait=True)
        return made.choices or []

    async def click(self, message: Message, wanted: str, *, wait: bool = True) -> Interaction:
        """A button, by custom id, label, or the beginning of its custom id."""
        self._may_see(message)
        data = self._hands.component(message, wanted, None)
        return await self._open(COMPONENT, message.channel, data, source=message, wait=wait)

    async def select(self, message: Message, wanted: str, *values: str, wait: bool = True) -> Interaction:
        """Choose values of a select."""
        self._may_see(message)
        data = self._hands.component(message, wanted, values)
        return await self._open(COMPONENT, message.channel, data, source=message, wait=wait)

    async def submit_modal(
        self, interaction: Interaction, *, wait: bool = True, **values: str
    ) -> Interaction:
        """Send the modal that an interaction opened; inputs by custom id (or `**{"Label": "text"}`)."""
        data = self._hands.modal(interaction, values)
        return await self._open(MODAL, interaction.channel, data, parent=interaction, wait=wait)

    def _may_see(self, message: Message) -> None:
        assert not message.deleted, "the message is gone"
        seen = not message.ephemeral or message.seen_by is self.account
        assert seen, f"{self.name} cannot see this ephemeral message"

    async def _open(
        self,
        kind: int,
        channel: Channel,
        data: Json,
        *,
        source: Message | None = None,
        parent: Interaction | None = None,
        wait: bool,
    ) -> Interaction:
        # nextcord files a modal's message under the one that the modal was opened from.
        shown = source or (parent.source if parent else None)
        made = self._desk.open(kind, self.account, channel, data, source=shown, parent=parent)
        return await made.answer() if wait else made
