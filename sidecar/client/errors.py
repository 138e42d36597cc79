"""How a call can fail. None of these holds a key."""

from typing import Any

from sidecar.domain.errors import SidecarError


class ClientFailure(SidecarError):
    """Base of all of them; `detail` is one sentence."""


class ApiError(ClientFailure):
    """The API has answered with a problem (RFC 9457): nothing was done, unless it is an `Unclear`."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(str(problem.get("detail", "")))
        self.status = status
        self.problem = problem
        """The whole document."""
        self.problem_code = str(problem.get("code", ""))
        """What to switch on: `insufficient_credits`, `not_found`, …"""
        self.retry_after_s = retry_after_s


class Unreachable(ClientFailure):
    """There was no connection: nothing was sent."""


class Unclear(ClientFailure):
    """The request was sent, and nobody here knows whether it was carried out: send it again with the same key."""


class NotTheApi(ClientFailure):
    """Something answered that is no control API."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status
