"""The route table of the control API: everything that it serves."""

from typing import Any

from sidecar.control import (
    adjustments,
    admin_keys,
    audit_log,
    blocks,
    counters,
    credits,  # noqa: A004  (a thing of ours)
    customers,
    deposits,
    history,
    keys,
    metrics,
    packages,
    pools,
    reports,
    reservations,
    reserve,
    rules,
    service,
    settlements,
    spend_caps,
    tenants,
    topups,
    usage,
)
from sidecar.control.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint[Any, Any, Any], ...] = (
    *customers.ENDPOINTS,
    *credits.ENDPOINTS,
    *adjustments.ENDPOINTS,
    *blocks.ENDPOINTS,
    *counters.ENDPOINTS,
    *pools.ENDPOINTS,
    *spend_caps.ENDPOINTS,
    *topups.ENDPOINTS,
    *deposits.ENDPOINTS,
    *packages.ENDPOINTS,
    *keys.ENDPOINTS,
    *reservations.ENDPOINTS,
    *reserve.ENDPOINTS,
    *metrics.ENDPOINTS,
    *usage.ENDPOINTS,
    *settlements.ENDPOINTS,
    *history.ENDPOINTS,
    *reports.ENDPOINTS,
    *rules.ENDPOINTS,
    *admin_keys.ENDPOINTS,
    *audit_log.ENDPOINTS,
    *tenants.ENDPOINTS,
    *service.ENDPOINTS,
)
