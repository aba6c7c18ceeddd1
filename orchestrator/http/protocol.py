"""HTTP/1.1 for strangers: who does not get on with asking, sending or reading is cut off."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEADER_SECONDS = 10.0
"""From the connection, or from the first byte of a further request, to the end of its headers."""
BODY_SECONDS = 30.0
"""Longest silence in the middle of a body that we are ready to read."""
READER_SECONDS = 60.0
"""For how long a peer may take none of an answer."""


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits for ever in all three cases."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._for_headers: asyncio.TimerHandle | None = None
        self._for_body: asyncio.TimerHandle | None = None
        self._for_reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A peer is there, and now has to say what it wants."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """A piece of a request."""
        super().data_received(data)
        self._expect()

    def pause_writing(self) -> None:
        """The peer reads more slowly than we answer."""
        super().pause_writing()
        if self._for_reader is None:
            self._for_reader = self.loop.call_later(READER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer has read on."""
        super().resume_writing()
        self._for_reader = _disarm(self._for_reader)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        super().connection_lost(exc)
        self._for_headers = _disarm(self._for_headers)
        self._for_body = _disarm(self._for_body)
        self._for_reader = _disarm(self._for_reader)

    def _expect(self) -> None:
        self._for_body = _disarm(self._for_body)
        if self.transport.is_closing():
            self._for_headers = _disarm(self._for_headers)
        elif (cycle := cast("RequestResponseCycle | None", self.cycle)) is None or cycle.response_complete:
            # Not armed anew by every byte: a byte a second is no progress. After an early answer, what is
            # left of the body is discarded for as long, so that the peer can read that answer.
            if self._for_headers is None:
                self._for_headers = self.loop.call_later(HEADER_SECONDS, self.transport.abort)
        else:
            self._for_headers = _disarm(self._for_headers)
            if cycle.more_body:
                self._for_body = self.loop.call_later(BODY_SECONDS, self._body_is_late)

    def _body_is_late(self) -> None:
        if self.flow.read_paused:  # it is us who do not read
            self._for_body = self.loop.call_later(BODY_SECONDS, self._body_is_late)
        elif self.cycle.more_body:
            self.transport.abort()


def _disarm(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """None, to be kept in the timer's place."""
    if timer is not None:
        timer.cancel()
    return None
