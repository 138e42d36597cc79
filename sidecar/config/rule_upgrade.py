"""The protocol that requests of a rule may go over to, and what does not go with it."""

import re
from collections.abc import Mapping

from sidecar.config.cursor import Cursor
from sidecar.domain.conversation import needs_messages
from sidecar.domain.metering import Meters
from sidecar.domain.rules import WEBSOCKET

PROTOCOL = re.compile(r"[a-z0-9!#$&'*+.^_`|~-]{1,64}(?:/[a-z0-9.]{1,16})?\Z", re.ASCII)
_USELESS = {
    "idempotency": "a session is never repeated",
    "on_client_gone": "a session ends when its client goes",
    "settle": "a session is settled when it ends",
}


def read_upgrade(cursor: Cursor) -> bytes:
    """The name of the protocol, in lower case."""
    text = cursor.text("a protocol such as websocket")
    if text is not None and not PROTOCOL.match(text):
        cursor.problem(f"`{text}` is not the name of a protocol", "such as `websocket`, in lower case")
    return (text or "").encode()


def check_upgrade(entries: Mapping[str, Cursor], upgrade: bytes, meters: Meters) -> None:
    """What is right by itself, and wrong together with `upgrade` or without it."""
    if needs_messages(meters) and upgrade != WEBSOCKET:
        entries["usage"].problem(
            "there are no messages: the rule's requests do not go over to a WebSocket",
            "add `upgrade: websocket`",
            at_key=True,
        )
    for key, why in _USELESS.items():
        if upgrade and key in entries:
            entries[key].problem(f"`{key}` has no effect beside `upgrade`: {why}", "leave it out", at_key=True)
