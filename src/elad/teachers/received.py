"""Taking in what an endpoint sends: bounded in bytes and in time."""

import time
from collections.abc import Iterator, Mapping
from typing import Protocol


class Received(Protocol):
    """A good answer whose head has come."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def iter_bytes(self) -> Iterator[bytes]: ...


def whole(response: Received, *, most_bytes: int, deadline: float) -> bytes:
    """The body. `deadline` is by `time.monotonic`.

    Raises: ValueError when it is longer than `most_bytes`; TimeoutError when it is not there in time; what the client
    raises when the connection breaks.
    """
    received = bytearray()
    for piece in response.iter_bytes():
        received += piece
        if len(received) > most_bytes:
            raise ValueError(f"reply of more than {most_bytes} bytes")
        # the client's own limit is per read, and some servers send blanks while they think
        if time.monotonic() > deadline:
            raise TimeoutError("reply not complete in time")
    return bytes(received)
