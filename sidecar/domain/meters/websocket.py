"""Messages of a WebSocket (RFC 6455) cut out of the bytes of one direction: counted, and text handed out whole.

It only looks: what passes is never changed. A message that is too large is counted and not handed out. What breaks
the protocol, or is compressed though the extension was not offered, ends the reading: nothing after it can be told.
"""

from collections.abc import Iterator

from sidecar.domain.meters.endings import CODE
from sidecar.domain.meters.events import EVENT_MAX_BYTES, Unfollowable
from sidecar.domain.price import Usage

TEXT, BINARY, CONTINUATION, CLOSE = 0x1, 0x2, 0x0, 0x8
_CONTROL, _FIN, _RESERVED, _MASKED = 0x8, 0x80, 0x70, 0x80
_CONTROL_MAX_BYTES = 125


class MessageBroken(Unfollowable):
    """The bytes are no frames of this protocol."""


class MessageBuffer:
    """Collects pieces and gives out the whole text messages; `messages` counts those of data, as they end."""

    __slots__ = ("_fin", "_kept", "_left", "_mask", "_masked_at", "_opcode", "_text", "messages", "pending")

    def __init__(self) -> None:
        self.pending = bytearray()
        """The part of a frame's head that has arrived."""
        self.messages = 0
        self._kept: bytearray | None = None
        self._text = False
        self._left = -1
        self._fin = False
        self._opcode = 0
        self._mask = b""
        self._masked_at = 0

    def add(self, data: bytes) -> Iterator[bytes]:
        """The text messages that `data` completes; MessageBroken."""
        at, size = 0, len(data)
        while at < size or self._left == 0:
            if self._left < 0:
                at += self._read_head(data, at)
                continue
            end = min(size, at + self._left)
            self._take(data[at:end])
            self._left -= end - at
            at = end
            if self._left == 0:
                self._left = -1
                message = self._end_frame()
                if message is not None:
                    yield message

    def rest(self) -> bytes:
        """Nothing: a part of a message says nothing. The buffer is empty afterwards."""
        self.pending.clear()
        self._kept = None
        return b""

    def _read_head(self, data: bytes, at: int) -> int:
        """Collect the head of the next frame; how many bytes of `data` were it."""
        pending, start = self.pending, at
        while at < len(data):
            wanted = _head_size(pending) - len(pending)
            pending += data[at : at + wanted]
            at = min(len(data), at + wanted)
            if len(pending) >= 2 and len(pending) == _head_size(pending):
                self._begin_frame(bytes(pending))
                pending.clear()
                break
        return at - start

    def _begin_frame(self, head: bytes) -> None:
        first, second = head[0], head[1]
        opcode = first & 0x0F
        at, length = _payload(head)
        control = opcode & _CONTROL
        if first & _RESERVED or length >> 63 or (control and (length > _CONTROL_MAX_BYTES or not first & _FIN)):
            raise MessageBroken
        if not control:
            self._begin_data(opcode)
        self._opcode, self._fin, self._left = opcode, bool(first & _FIN), length
        self._mask, self._masked_at = (head[at:], 0) if second & _MASKED else (b"", 0)

    def _begin_data(self, opcode: int) -> None:
        """A message begins, or goes on: the one exactly when the other does not."""
        begun = self._kept is not None
        if opcode not in (TEXT, BINARY, CONTINUATION) or begun is not (opcode == CONTINUATION):
            raise MessageBroken
        if not begun:
            self._kept, self._text = bytearray(), opcode == TEXT

    def _take(self, payload: bytes) -> None:
        """Keep a piece of a text message."""
        if self._opcode & _CONTROL or not self._text or not payload:
            return
        kept = self._kept
        assert kept is not None
        if len(kept) + len(payload) > EVENT_MAX_BYTES:
            self._text = False
            kept.clear()
            return
        if self._mask:
            turned = self._masked_at % 4
            mask = self._mask[turned:] + self._mask[:turned]
            self._masked_at += len(payload)
            count = len(payload)
            key = (mask * (count // 4 + 1))[:count]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(count, "big")
        kept += payload

    def _end_frame(self) -> bytes | None:
        """The text message that the frame has ended, if it has."""
        if self._opcode & _CONTROL or not self._fin:
            return None
        kept, self._kept = self._kept, None
        assert kept is not None
        self.messages += 1
        return bytes(kept) if self._text else None


class FrameEnds:
    """Finds where frames end, whatever is in them, so that something can be put between two."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0

    def cut(self, data: bytes) -> list[tuple[bytes, bool]]:
        """`data` in pieces, and whether each ends with a frame: all do but perhaps the last."""
        pieces, start, at, size = [], 0, 0, len(data)
        head = self._head
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
            else:
                step = min(_head_size(head) - len(head), size - at)
                head += data[at : at + step]
                if len(head) >= 2 and len(head) == _head_size(head):
                    self._left = _payload(head)[1]
                    head.clear()
            at += step
            if not self._left and not head:
                pieces.append((data[start:at], True))
                start = at
        if start < size:
            pieces.append((data[start:], False))
        return pieces


def _head_size(head: bytearray) -> int:
    """How long the head of a frame is, as far as it is known."""
    if len(head) < 2:
        return 2
    return 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0) + (4 if head[1] & _MASKED else 0)


def _payload(head: bytes | bytearray) -> tuple[int, int]:
    """Where the length of the payload ends in a whole head, and the length."""
    length = head[1] & 0x7F
    at = {126: 4, 127: 10}.get(length, 2)
    return at, int.from_bytes(head[2:at], "big") if length >= 126 else length


CREDIT_EXHAUSTED, GOING_AWAY = 4402, 1001
"""Codes of a close: ours for HTTP's 402, and that of a server that goes."""


class Goodbye:
    """The end of a session whose credit has ended: a close with a code of ours, as the protocol has none for it."""

    framing = "messages"

    def pass_on(self, events: bytes) -> None:
        """What passed says nothing about the end."""

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        return close_frame(CREDIT_EXHAUSTED, f"{CODE}: the credit of {reservation_id} was used up")


def close_frame(code: int, reason: str) -> bytes:
    """The frame with which a server says goodbye; `reason` is cut to the 123 bytes that fit."""
    text = reason.encode()[: _CONTROL_MAX_BYTES - 2].decode(errors="ignore")
    payload = code.to_bytes(2, "big") + text.encode()
    return bytes((_FIN | CLOSE, len(payload))) + payload
