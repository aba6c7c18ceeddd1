"""What was really said in a channel, as Markdown for a README or for a failed test's message."""

from .world import Channel, Message


def transcript(channel: Channel) -> str:
    """Every message as people see it: name, text, files, buttons; ephemeral ones say for whom."""
    return "\n\n".join(_shown(message) for message in channel.log if not message.deleted)


def _shown(message: Message) -> str:
    head = f"**{message.author.name}**" + (" `APP`" if message.author.bot else "")
    if message.ephemeral and message.seen_by:
        head += f" *(only {message.seen_by.name} sees this)*"
    if message.thinking:
        head += " *is thinking…*"
    text = [head, *(f"> {line}" for line in message.content.splitlines())]
    for embed in message.embeds:
        for part in ("title", "description"):
            text += [f"> ▌ {line}" for line in str(embed.get(part, "")).splitlines()]
    for attached in message.attachments:
        text.append(f"> 📎 `{attached.filename}` ({attached.size:,} bytes, {attached.content_type})")
    buttons = [str(each.get("label") or each.get("placeholder") or "…") for each in message.widgets()]
    if buttons:
        text.append("> " + " ".join(f"`[{label}]`" for label in buttons))
    return "  \n".join(text)
