"""Identifiers: a prefix that says what it is, then 26 characters that sort by time (ULID, Crockford base 32)."""

import re
import zlib

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
"""Ten bits at a time: an id is made for each request."""
_BODY = r"[0-7][0-9a-hjkmnp-tv-z]{25}"
_CUSTOMER_ID = re.compile(rf"cus_{_BODY}\Z", re.ASCII)

PARTITIONS = 64


def new_id(prefix: str, now_ms: int, entropy: bytes) -> str:
    """`prefix` + 48 bits of time + the first 80 bits of `entropy`."""
    number = (now_ms << 80) | int.from_bytes(entropy[:10], "big")
    body = "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
    return f"{prefix}_{body}"


def is_customer_id(text: str) -> bool:
    return _CUSTOMER_ID.match(text) is not None


def partition_of(tenant: str, environment: str, name: str) -> int:
    """The partition that holds everything of one customer; stable for ever (CRC-32, ISO-HDLC)."""
    return zlib.crc32(f"{tenant}/{environment}/{name}".encode()) % PARTITIONS
