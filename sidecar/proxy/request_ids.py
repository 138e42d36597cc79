"""Ids of requests that we answer ourselves: a random prefix of the process and a counter, for a support's search."""

import itertools
import secrets


class RequestIds:
    """Unique without a store, and cheap."""

    def __init__(self) -> None:
        self._prefix = f"req_{secrets.token_hex(6)}_"
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self._prefix}{next(self._numbers):x}"
