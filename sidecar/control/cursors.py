"""The cursors of lists: sealed, so that one goes on with the list it came from and nothing else.

The archive and the store make cursors that say where a page ended. What callers see is that, signed for this tenant's
environment, this list of this customer, and this filter: whoever changes one of them begins anew.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Generic

import msgspec

from sidecar.control.endpoint import Endpoint, Query
from sidecar.control.schema import Pagination, said
from sidecar.domain.errors import InvalidInput
from sidecar.domain.tokens import Signer

PURPOSE: Final = "page"
_PLACE: Final = frozenset({"cursor", "limit"})
"""Members of a query that say where to read, not what."""


class _Claims(msgspec.Struct, frozen=True, array_like=True):
    cursor: str
    of: bytes


class Pages(Generic[Query]):
    """The pages of one request to a list; `path` has our id of the customer."""

    def __init__(
        self, signer: Signer, endpoint: Endpoint[Any, Any, Any], path: Mapping[str, str], query: Query
    ) -> None:
        self._signer = signer
        self._endpoint = endpoint
        self._path = path
        self._query = query

    def opened(self) -> Query:
        """The query with the cursor that the list itself made. InvalidInput for one that is not of this list."""
        sealed = getattr(self._query, "cursor", None)
        if not sealed:
            return self._query
        claims = self._signer.read(PURPOSE, sealed, _Claims)
        if claims is None or claims.of != self._what():
            raise InvalidInput("cursor must be the next_cursor of a former page of the same list.", "cursor")
        return msgspec.structs.replace(self._query, cursor=claims.cursor)

    def sealed(self, answer: object) -> object:
        """The answer as callers may see it."""
        pagination = getattr(answer, "pagination", None)
        if not isinstance(pagination, Pagination) or pagination.next_cursor is None:
            return answer
        assert isinstance(answer, msgspec.Struct), "a page is a record"
        cursor = self._signer.sign(PURPOSE, _Claims(pagination.next_cursor, self._what()))
        return msgspec.structs.replace(answer, pagination=Pagination.of(cursor))

    def _what(self) -> bytes:
        wanted = {name: value for name, value in said(self._query).items() if name not in _PLACE}
        what = f"{self._endpoint.path.format_map(self._path)}\n".encode() + msgspec.json.encode(
            wanted, order="sorted"
        )
        return hashlib.sha256(what).digest()[:16]
