"""The figures of an installation, under the keys that a user of a code interpreter knows."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class InterpreterStatus(BaseModel):
    """What `get_interpreter_status` returns; sizes in MB of 1 000 000 bytes, -1 hours means for ever."""

    model_config = ConfigDict(frozen=True)

    installed_packages: tuple[str, ...]
    package_count: int
    last_cleanup: datetime | None
    total_user_files: int
    total_file_size_mb: float
    file_expiration_hours: float
    max_file_size_mb: float
    image: str | None
    runtime: str
    running: int
    queued: int
    standby: int


class Bounds(BaseModel):
    """What a caller knows beforehand not to ask for; bytes, seconds, -1 hours means for ever."""

    model_config = ConfigDict(frozen=True)

    max_file_bytes: int
    timeout: float
    max_timeout: float
    file_ttl_hours: float
