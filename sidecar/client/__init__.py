"""A typed, asynchronous client of the control API, on the very records that the server decodes and answers.

    async with SidecarClient("http://127.0.0.1:8081", key) as client:
        await client.grant_credits("alice", GrantCredits(credits=5_000_000), idempotency_key="signup:alice")

Customers are named by either id. A write is sent again by itself, with one Idempotency-Key, while that is safe.
"""

from sidecar.client.client import SidecarClient
from sidecar.client.errors import ApiError, NotTheApi, Unclear, Unreachable

__all__ = ["ApiError", "NotTheApi", "SidecarClient", "Unclear", "Unreachable"]
