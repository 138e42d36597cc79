"""AdmissionReview of ``admission.k8s.io/v1``: the question of an API server, and our answer.

There is no published schema for it: these are the fields that its documentation names and that we use.
"""

from typing import Any, Final, Literal

import msgspec

API_VERSION: Final = "admission.k8s.io/v1"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    group: str = ""
    version: str = ""
    kind: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One object that somebody wants to write. `name` and `namespace` may be missing in the object itself."""

    uid: str
    kind: Kind
    operation: str
    sub_resource: str = ""
    name: str = ""
    namespace: str = ""
    dry_run: bool = False
    object: msgspec.Raw = msgspec.Raw(b"null")


class Question(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    request: Request


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Why not, for whoever asked."""

    message: str
    code: int = 403
    reason: str = "Forbidden"


class Response(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    uid: str
    allowed: bool
    status: Status | None = None
    patch_type: Literal["JSONPatch"] | None = None
    patch: bytes | None = None
    """The operations as JSON; base64 on the wire."""
    warnings: list[str] = []
    """kubectl prints them."""
    audit_annotations: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    response: Response
    api_version: str = API_VERSION
    kind: str = "AdmissionReview"


Operation = dict[str, Any]
"""One step of a JSON Patch (RFC 6902)."""

_DECODER = msgspec.json.Decoder(Question)


def decode(document: bytes) -> Request:
    """msgspec.ValidationError, or DecodeError, for what is no review of this version."""
    return _DECODER.decode(document).request


def encode(response: Response) -> bytes:
    return msgspec.json.encode(Answer(response=response))


def patched(operations: list[Operation]) -> bytes:
    """What goes into `Response.patch`."""
    return msgspec.json.encode(operations)
