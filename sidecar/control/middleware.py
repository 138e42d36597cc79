"""What surrounds every control request: its id, who may ask, and how an error is answered.

Order, outermost first: `auditing.audited` writes down what writes came to, `answering_problems` gives the request its
id and owns all errors, `authorised` lets in only who has a key. So no handler has a `try`, and what is not in the
route table needs a key too.
"""

import logging
import secrets
from collections.abc import Callable, Collection, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sidecar.control import calling
from sidecar.control.decoding import PRINCIPAL, REQUEST_ID
from sidecar.control.errors import RateLimited, Unidentified
from sidecar.domain.control_keys import Principal
from sidecar.domain.errors import Denied, InvalidInput, SidecarError
from sidecar.domain.ids import new_id
from sidecar.domain.problems import INTERNAL, MEDIA_TYPE, kind_of, problem
from sidecar.services.control_keys import ControlKeys

REALM = "sidecar control"

log = logging.getLogger("sidecar.control")

_OUR_FAULT = "Something failed on our side; the log has the cause under the id of this request."

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def answering_problems(now_ms: Callable[[], int]) -> Middleware:
    """Give each request an id, and answer each error as the one table says."""

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = new_id("req", now_ms(), secrets.token_bytes(10))
        try:
            response = await handler(request)
        except SidecarError as error:
            response = _sidecar_problem(error, request_id)
        except web.HTTPException as error:
            response = _http_problem(error, request, request_id)
        except Exception:
            log.exception("request %s failed: %s %s", request_id, request.method, _route(request))
            response = _problem(INTERNAL.code, _OUR_FAULT, request_id)
        return response

    return answer_problems


async def name_request(request: web.Request, response: web.StreamResponse) -> None:
    """A signal for whatever is about to be answered: say under which id, and how many more may come."""
    response.headers["x-request-id"] = request[REQUEST_ID]
    if limits := calling.headers(request):
        response.headers.update(limits)


def authorised(keys: ControlKeys, open_paths: Collection[str]) -> Middleware:
    """Let in who shows a control key, which the request then knows, and everybody at the routes in `open_paths`."""

    @web.middleware
    async def authorise(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _route(request) not in open_paths:
            request[PRINCIPAL] = await _principal(_shown_keys(request), keys)
        return await handler(request)

    return authorise


async def _principal(shown: list[str], keys: ControlKeys) -> Principal:
    if not shown:
        raise Unidentified(
            "The control API needs a control key: send it as `Authorization: Bearer <key>` or as `X-API-Key: <key>`."
        )
    # All are looked up, so that the time does not tell which one is wrong.
    found = [await keys.find(key) for key in shown]
    principal = found[0]
    if principal is None or any(other != principal for other in found):
        raise Unidentified("This control key is not known here, was revoked or has expired.")
    return principal


def _shown_keys(request: web.Request) -> list[str]:
    shown = request.headers.getall("X-API-Key", [])
    for credentials in request.headers.getall("Authorization", []):
        scheme, _, key = credentials.partition(" ")
        if scheme.lower() == "bearer":
            shown = [*shown, key.strip()]
    return shown


def _route(request: web.Request) -> str:
    """The route's pattern, which holds nothing of the request; empty when there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _sidecar_problem(error: SidecarError, request_id: str) -> web.Response:
    if kind_of(error.code).status == INTERNAL.status:
        log.error("request %s failed: %s", request_id, error.detail, exc_info=error)
        return _problem(error.code, _OUR_FAULT, request_id)
    headers = {}
    if isinstance(error, Unidentified):
        headers["WWW-Authenticate"] = f'Bearer realm="{REALM}"'
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Denied):
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        return _problem(error.code, error.detail, request_id, headers, **error.members)
    if isinstance(error, InvalidInput) and error.field is not None:
        path = f"$.{error.field}" if error.field else "$"
        errors = [{"path": path, "message": error.detail}]
        return _problem(error.code, error.detail, request_id, headers, errors=errors)
    return _problem(error.code, error.detail, request_id, headers)


def _http_problem(error: web.HTTPException, request: web.Request, request_id: str) -> web.Response:
    """What aiohttp itself refuses. Its headers stay: `Allow` names the methods of a 405."""
    code = _HTTP_CODES.get(error.status, "bad_request")
    detail = {
        "not_found": "There is nothing at this path; /v1/openapi.json lists what there is.",
        "method_not_allowed": f"{request.method} is not served here; these are: {error.headers.get('Allow', '')}.",
        "body_too_large": f"The body is larger than {request.client_max_size} bytes.",
    }.get(code, "The request cannot be served as it is.")
    headers = {name: value for name, value in error.headers.items() if name.lower() == "allow"}
    return _problem(code, detail, request_id, headers)


def _problem(
    code: str, detail: str, request_id: str, headers: Mapping[str, str] | None = None, **extension: object
) -> web.Response:
    kind = kind_of(code)
    shown = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"} | dict(headers or {})
    if kind.retry_after_s is not None:
        shown["Retry-After"] = str(kind.retry_after_s)
    return web.Response(status=kind.status, body=problem(code, detail, request_id, **extension), headers=shown)
