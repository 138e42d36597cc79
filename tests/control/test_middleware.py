import logging
from typing import Any

import pytest

from sidecar.control.endpoint import Endpoint
from sidecar.control.routes import ENDPOINTS
from tests.support.control import ADMIN_KEY, Control, assert_problem

ALL = [(endpoint, path) for endpoint in ENDPOINTS for path in endpoint.paths]


def somewhere(path: str) -> str:
    """A path of this pattern; what it names does not exist."""
    return path.replace("{customer_id}", "cus_01arz3ndektsv4rrffq69g5fav").replace("{", "").replace("}", "")


@pytest.mark.parametrize(("endpoint", "path"), ALL, ids=[f"{each.method} {path}" for each, path in ALL])
async def test_everything_that_is_not_open_needs_the_key(
    control: Control, endpoint: Endpoint[Any, Any, Any], path: str
) -> None:
    answer = await control.ask(endpoint.method, somewhere(path), key=None)
    assert (answer.status == 401) == (not endpoint.open)
    answer = await control.ask(endpoint.method, somewhere(path))
    assert answer.status != 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ADMIN_KEY}"},
        {"Authorization": f"bearer {ADMIN_KEY}"},
        {"Authorization": f"Bearer   {ADMIN_KEY}"},
        {"X_API_Key": ADMIN_KEY},
        {"X_API_Key": ADMIN_KEY, "Authorization": f"Bearer {ADMIN_KEY}"},
        {"X_API_Key": ADMIN_KEY, "Authorization": "Basic Zm9vOmJhcg=="},
    ],
)
async def test_the_key_is_taken_from_either_header(control: Control, headers: dict[str, str]) -> None:
    assert (await control.ask("GET", "/v1/units", key=None, **headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": ADMIN_KEY},
        {"Authorization": f"Basic {ADMIN_KEY}"},
        {"Authorization": f"Bearer {ADMIN_KEY}x"},
        {"Authorization": f"Bearer {ADMIN_KEY[:-1]}"},
        {"Authorization": f"Bearer {ADMIN_KEY.upper()}"},
        {"Authorization": "Bearer clé"},
        {"X_API_Key": ""},
        {"X_API_Key": f"Bearer {ADMIN_KEY}"},
        {"X_API_Key": "ck_live_wrong", "Authorization": f"Bearer {ADMIN_KEY}"},
        {"X_API_Key": ADMIN_KEY, "Authorization": "Bearer ck_live_wrong"},
    ],
)
async def test_another_key_is_refused(
    control: Control, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await control.ask("GET", "/v1/units", key=None, **headers)
    assert_problem(answer, 401, "unidentified")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert ADMIN_KEY not in answer.raw.decode() + caplog.text


async def test_what_is_not_there_is_no_business_of_strangers(control: Control) -> None:
    assert_problem(await control.ask("GET", "/v1/nothing", key=None), 401, "unidentified")
    assert_problem(await control.ask("GET", "/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/customers/", "/v1/customers//credits", "/v2/customers"])
async def test_other_paths_are_not_found(control: Control, path: str) -> None:
    assert_problem(await control.ask("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/customers", {"GET", "HEAD", "POST"}),
        ("GET", "/v1/customer-by-external-id/a/rename", {"POST"}),
        ("DELETE", "/v1/customer-by-external-id/a%2Fb/keys", {"GET", "HEAD", "POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_another_method_is_told_which_ones_there_are(
    control: Control, method: str, path: str, allow: set[str]
) -> None:
    answer = await control.ask(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(",")) == allow


async def test_every_answer_has_an_id_of_its_own(control: Control) -> None:
    answers = [await control.ask("GET", path) for path in ("/healthz", "/v1/units", "/v1/units", "/nothing")]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 4
    assert all(each.startswith("req_") for each in ids)


async def test_the_key_is_not_in_the_log_of_a_failure(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str | None:
        raise RuntimeError

    control.readiness.asked = fail
    with caplog.at_level(logging.DEBUG):
        await control.ask("GET", "/readyz", X_API_Key=ADMIN_KEY)
        await control.ask("GET", f"/v1/customers/{ADMIN_KEY}")
    assert caplog.records
    assert ADMIN_KEY not in caplog.text
