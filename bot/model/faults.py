"""Every way in which a model's server fails, as one sentence; nothing of what it was sent is repeated."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai

from bot.model.port import ModelError

_BY_STATUS = {
    400: "The model's server refused the request: start over with /reset, or choose another model.",
    401: "The model's server refused the key: set OPENAI_API_KEY to a valid one.",
    403: "The key may not use this model: choose another with /model, or ask for access.",
    404: "The model's server does not know this model: set SANDGLASS_OPENAI_MODEL to one that it has.",
    408: "The model took too long to answer: ask again.",
    413: "The conversation is too large for the model's server: start over with /reset.",
    429: "The model's server is busy or its quota is used up: ask again in a minute.",
}
_REFUSALS = frozenset({400, 404, 413, 415, 422})
"""How servers answer what they cannot take; some say 404 where a model has no eyes."""


@asynccontextmanager
async def in_one_sentence() -> AsyncIterator[None]:
    """Turn the client's exceptions into `ModelError`."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelError(_BY_STATUS[408]) from error
    except openai.APIConnectionError as error:
        raise ModelError(
            "The model's server does not answer: check OPENAI_BASE_URL, then ask again."
        ) from error
    except openai.APIStatusError as error:
        ours = f"The model's server has a fault (HTTP {error.status_code}): ask again."
        refused = error.status_code in _REFUSALS
        raise ModelError(_BY_STATUS.get(error.status_code, ours), refused=refused) from error
    except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
        # ValueError: an answer that is no JSON, or a value that pydantic refuses.
        raise broken() from error


@asynccontextmanager
async def while_streaming() -> AsyncIterator[None]:
    """The same once the answer has begun: a connection that is lost now was there before."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelError(_BY_STATUS[408]) from error
    except (openai.APIConnectionError, httpx2.HTTPError, ValueError) as error:
        # ValueError: a line of the stream that is no JSON.
        raise broken() from error
    except openai.OpenAIError as error:
        raise failed() from error


def broken() -> ModelError:
    """The stream ended, or became unreadable, before its end."""
    return ModelError("The model's answer broke off before its end: ask again.")


def failed() -> ModelError:
    """The server said that it failed."""
    return ModelError("The model's server failed in the middle of the answer: ask again.")


def too_long() -> ModelError:
    """The model stopped at its own limit."""
    return ModelError("The answer reached the model's length limit: ask for less at once.")


def filtered() -> ModelError:
    """The server's own filter stopped the answer."""
    return ModelError("The answer was stopped by the model's content filter: ask in other words.")
