"""What the price of a request may depend on."""

import msgspec

from sidecar.domain.fields import Fields


class RequestFacts(msgspec.Struct, frozen=True):
    """All that a quote may see of a request.

    `fields` has lower-case names; `path` is normalised; `body` is None when it was not read or is larger than the
    limit; `body_bytes` is 0 when unknown.
    """

    fields: Fields
    path: bytes
    query: bytes
    body: bytes | None
    body_bytes: int = 0
