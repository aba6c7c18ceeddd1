"""Discord's own refusals: an HTTP status, Discord's error code and, for a bad form, where the fault lies."""

from typing import Any

UNKNOWN = {
    "channel": (10003, "Unknown Channel"),
    "guild": (10004, "Unknown Guild"),
    "member": (10007, "Unknown Member"),
    "message": (10008, "Unknown Message"),
    "user": (10013, "Unknown User"),
    "webhook": (10015, "Unknown Webhook"),
    "interaction": (10062, "Unknown interaction"),
    "command": (10063, "Unknown application command"),
}


class DiscordError(Exception):
    """An answer that is a refusal; `headers` go out with it."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.body: dict[str, Any] = {"message": message, "code": code, **(extra or {})}
        if errors:
            self.body["errors"] = errors
        self.headers = headers or {}


def unknown(what: str) -> DiscordError:
    """404 with the code that Discord uses for a missing thing of this kind."""
    code, message = UNKNOWN[what]
    return DiscordError(404, code, message)


def unauthorized() -> DiscordError:
    """401 for a missing or wrong bot token."""
    return DiscordError(401, 0, "401: Unauthorized")


def refused(status: int) -> DiscordError:
    """What Discord usually means by this status, 4xx but for 429."""
    code, message = {
        401: (0, "401: Unauthorized"),
        403: (50013, "Missing Permissions"),
        404: UNKNOWN["message"],
        413: (40005, "Request entity too large"),
    }.get(status, (0, "Bad Request"))
    return DiscordError(status, code, message)


def too_large() -> DiscordError:
    """413 for a file over the limit or a request over 25 MiB."""
    return DiscordError(413, 40005, "Request entity too large")


def invalid_form(path: str, code: str, message: str) -> DiscordError:
    """400 / 50035; `path` is dotted (`data.components.0.label`), as Discord nests it."""
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(path.split(".")):
        errors = {key: errors}
    return DiscordError(400, 50035, "Invalid Form Body", errors=errors)


def too_long(path: str, limit: int) -> DiscordError:
    """50035 for a text over its limit."""
    return invalid_form(path, "BASE_TYPE_MAX_LENGTH", f"Must be {limit} or fewer in length.")
