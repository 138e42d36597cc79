"""Reason phrases, for clients that show them."""

from http import HTTPStatus

_REASONS = {int(status): status.phrase.encode("ascii") for status in HTTPStatus}


def reason_of(status: int) -> bytes:
    return _REASONS.get(status, b"Unknown")
