"""What a caller asks for, checked before anything is done about it."""

import re
import secrets
from collections.abc import Sequence

from orchestrator.domain.results import ExecutionRequest
from orchestrator.domain.sandbox import STANDBY_PREFIX
from orchestrator.errors import InvalidRequest

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EXECUTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CODE_BYTES = 1_000_000


def checked_request(
    code: str,
    user_id: str | int,
    user_files: Sequence[str] | None,
    timeout: float | None,
    *,
    max_timeout: float,
) -> ExecutionRequest:
    """The request as a value; raises `InvalidRequest` with what to change."""
    try:
        size = len(code.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest("The code holds a lone surrogate: send valid Unicode text.") from error
    if size > _CODE_BYTES:
        raise InvalidRequest(f"The code has {size} bytes, the limit is {_CODE_BYTES}: put data in a file.")
    if timeout is not None and not 0 < timeout <= max_timeout:
        raise InvalidRequest(
            f"The timeout {timeout:g} is out of bounds: give more than 0 and at most {max_timeout:g} seconds."
        )
    files = None if user_files is None else tuple(user_files)
    return ExecutionRequest(code=code, owner=checked_owner(user_id), user_files=files, timeout=timeout)


def checked_execution_id(wanted: str | None) -> str:
    """The id as wanted, or a new one; raises `InvalidRequest`."""
    if wanted is None:
        return secrets.token_hex(8)
    if not _EXECUTION_ID.fullmatch(wanted) or wanted.startswith(STANDBY_PREFIX):
        raise InvalidRequest(
            f"The execution id {wanted[:80]!r} is not usable: use 1 to 64 letters, digits and dashes."
        )
    return wanted


def checked_owner(user_id: str | int) -> str:
    """The owner's name as the index has it; raises `InvalidRequest`."""
    owner = str(user_id)
    if not _OWNER.fullmatch(owner):
        raise InvalidRequest(
            f"The owner {owner[:80]!r} is not usable: use 1 to 64 letters, digits, dots, dashes, underscores."
        )
    return owner
