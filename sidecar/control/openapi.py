"""The OpenAPI 3.1 document, made from the route table and the records that serve the requests."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

import msgspec

import sidecar
from sidecar.control.decoding import ACTOR_HEADERS
from sidecar.control.endpoint import Endpoint, Repeat, Stream
from sidecar.control.schema import Nothing, Problem
from sidecar.domain.problems import MEDIA_TYPE

_REFERENCE = "#/components/schemas/{name}"
_ACTOR = [
    {
        "name": header,
        "in": "header",
        "required": False,
        "description": "Kept in the audit log, and with the ledger's entry where credit moves.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }
    for header in ACTOR_HEADERS.values()
]
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of what is to be changed: if it was changed since, nothing is, and the answer is 412.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of what is known already: if it is still that, the answer is 304.",
    "schema": {"type": "string"},
}
_ETAG = {"ETag": {"description": "The version of what is shown.", "schema": {"type": "string"}}}
_OPAQUE = {bytes, Stream}
"""Answers that are no record."""
_PARAMETER = re.compile(r"{(\w+)}")
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def document(endpoints: Sequence[Endpoint[Any, Any, Any]]) -> bytes:
    """All of `endpoints`, each at all of its paths, as JSON."""
    records: set[type] = {
        Problem,
        *(kind for each in endpoints for kind in (each.body, each.answer) if kind not in _OPAQUE),
    }
    ordered = sorted(records - {Nothing}, key=lambda record: record.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for path in endpoint.paths:
            paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Entitlement sidecar: control API",
                "version": sidecar.__version__,
                "description": "Amounts are integers of base units; `display` says the same as decimals.",
            },
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": _SECURITY},
        }
    )


def _operation(endpoint: Endpoint[Any, Any, Any], path: str) -> dict[str, Any]:
    summary, _, description = inspect.cleandoc(endpoint.work.__doc__ or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.name if path == endpoint.path else f"{endpoint.name}_by_external_id",
        "summary": summary,
        "parameters": [*_path_parameters(path), *_query_parameters(endpoint.query), *_headers(endpoint)],
        "responses": _responses(endpoint),
    }
    if description:
        operation["description"] = description
    if endpoint.body is not Nothing:
        required = any(field.required for field in msgspec.structs.fields(endpoint.body))
        operation["requestBody"] = {"required": required, "content": _content("application/json", endpoint.body)}
    # OpenAPI 3.1, Security Requirement Object: for other schemes than OAuth 2.0 the names are roles.
    roles = [] if endpoint.scope is None else [endpoint.scope.value]
    operation["security"] = [{name: roles} for name in _SECURITY] if roles else []
    return operation


def _responses(endpoint: Endpoint[Any, Any, Any]) -> dict[str, Any]:
    content = {kind: _content(kind, endpoint.answer)[kind] for kind in endpoint.media_types}
    given: dict[str, Any] = {
        str(status): {"description": says, "content": content} for status, says in endpoint.statuses.items()
    }
    if endpoint.versioned:
        given = {status: each | {"headers": _ETAG} for status, each in given.items()}
        if endpoint.repeat is Repeat.READ:
            given["304"] = {"description": "It is what `If-None-Match` says.", "headers": _ETAG}
    return given | {"default": {"description": "A problem.", "content": _content(MEDIA_TYPE, Problem)}}


def _content(media_type: str, record: type) -> dict[str, Any]:
    if record in _OPAQUE:
        return {media_type: {}}
    return {media_type: {"schema": {"$ref": _REFERENCE.format(name=record.__name__)}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = _PARAMETER.findall(path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([query])
    schema = components[query.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": member}
        for name, member in schema["properties"].items()
    ]


def _headers(endpoint: Endpoint[Any, Any, Any]) -> list[dict[str, Any]]:
    condition = [_IF_NONE_MATCH if endpoint.repeat is Repeat.READ else _IF_MATCH] if endpoint.versioned else []
    return [*_repeat_headers(endpoint.repeat), *condition]


def _repeat_headers(repeat: Repeat) -> list[dict[str, Any]]:
    if repeat in {Repeat.READ, Repeat.BY_ITSELF}:
        return []
    schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
    says = "The same when this request is repeated, new for each other one. Kept for 24 hours."
    required = repeat in {Repeat.IN_LEDGER, Repeat.REQUIRED}
    key = {"name": "Idempotency-Key", "in": "header", "required": required, "description": says, "schema": schema}
    return [key, *_ACTOR]
