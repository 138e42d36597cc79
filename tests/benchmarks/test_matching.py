"""What is timed is what it says it is."""

import pytest

from benchmarks.matching import REQUESTS, RULES, Request, cpu_us, thousand_rules

FOUND = {
    "a literal path": "/v1/resource-125/list",
    "an id at the end": "/v1/resource-125/items/{id}",
    "an id in capitals": "/v1/resource-125/items/{id}",
    "an id and a verb": "/v1/resource-124/items/{id}:generate",
    "all below": "/v1/resource-126/files/**",
    "a header and a host": "/v1/resource-123/items/{id}/parts",
    "the last rule": "/v1/resource-248/items/{id}/parts",
    "none": None,
}


def test_a_thousand_rules_and_each_request_with_its_own() -> None:
    rules = thousand_rules()
    assert len(rules.rules) == RULES

    def name(request: Request) -> str | None:
        rule = rules.match(*request)
        return rule.name if rule is not None else None

    assert {kind: name(request) for kind, request in REQUESTS.items()} == FOUND


def test_time_is_counted_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr("benchmarks.matching.ROUNDS", 2)
    monkeypatch.setattr("benchmarks.matching.CALLS", 3)
    assert cpu_us(lambda: calls.append(None)) >= 0
    assert len(calls) == 6
