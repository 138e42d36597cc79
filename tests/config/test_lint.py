from pathlib import Path

import pytest

from sidecar.config.lint import READER_PATHS, lint
from sidecar.config.rules import read_rules
from sidecar.domain.meters.named import READERS
from tests.config.linting import UNITS, warnings

ROOT = Path(__file__).parents[2]
TOKENS = "price: {input_tokens: 1 per 1M}"


@pytest.mark.parametrize("path", sorted((ROOT / "rules").glob("*.yaml")), ids=lambda path: path.name)
def test_there_is_nothing_odd_about_the_files_that_we_ship(path: Path) -> None:
    read, errors, *_ = read_rules([path], UNITS)
    assert [problem.render() for problem in [*errors, *lint(read, UNITS)]] == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("hold: 0", "nothing is held: requests at the same time can spend more than there is"),
        ("hold: 3\nmax_charge: 2", "never held: `max_charge` is 2"),
        ("hold: 2\nmax_charge: 2", None),
        ("hold: {cost: 0}\nmax_charge: 2", None),
    ],
)
def test_holds_without_effect(tmp_path: Path, more: str, message: str | None) -> None:
    rule = "match: {path: /a}\nusage: {cost: {duration: ms}}\nprice: {cost: 1}\n"
    assert [said for said, _ in warnings(tmp_path, rule + more)] == ([message] if message else [])


def test_a_price_without_usage_needs_no_hold(tmp_path: Path) -> None:
    assert warnings(tmp_path, "match: {path: /a}\nprice: {flat: 1}", "match: {path: /b}\nfree: true") == []


@pytest.mark.parametrize("reader", READERS)
def test_what_a_reader_brings_holds_for_all_that_it_reads(tmp_path: Path, reader: str) -> None:
    rates = ", ".join(f"{meter}: 1 per 1M" for meter in READERS[reader].meters)
    end = READER_PATHS[reader][0]
    path = f"/x{end}" if end.startswith("/") else f"/x/{{model}}{end}"
    method, more = ("GET", "\nupgrade: websocket") if reader == "openai.realtime" else ("POST", "")
    rule = f"match: {{method: {method}, path: '{path}'}}\nusage: {reader}\nprice: {{{rates}}}{more}"
    assert warnings(tmp_path, rule) == []


def test_every_reader_has_paths() -> None:
    assert set(READER_PATHS) == set(READERS)


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("/v1/chat/completions", True),
        ("/openai/{deployment}/chat/completions", True),
        ("/v1/chat/{what}", True),
        ("/v1/{a}/{b}", True),
        ("/v1/chat/com{rest}", True),
        ("/**", True),
        ("/v1/**", True),
        ("/v1/embeddings", False),
        ("/chat", False),
        ("/v1/chat/{what}/x", False),
        ("/v1/chat/x{what}", False),
    ],
)
def test_a_reader_on_the_path_of_another_api(tmp_path: Path, path: str, *, fits: bool) -> None:
    found = warnings(tmp_path, f"match: {{method: POST, path: '{path}'}}\nusage: openai.chat\n{TOKENS}")
    message = f"`openai.chat` reads answers of …/chat/completions, not of {path}"
    assert found == ([] if fits else [(message, "openai.chat")])


def test_a_reader_of_answers_to_post_on_another_method(tmp_path: Path) -> None:
    rule = f"match: {{method: GET, path: /v1/chat/completions}}\nusage: openai.chat\n{TOKENS}"
    assert warnings(tmp_path, rule) == [
        ("`openai.chat` reads answers to POST, which this rule does not match", "openai.chat")
    ]


@pytest.mark.parametrize(
    ("inner", "outer", "twice"),
    [
        ("/usage/prompt_tokens", "/usage/total_tokens", True),
        ("/usage/prompt_tokens_details/cached_tokens", "/usage/prompt_tokens", True),
        ("/usage/prompt_tokens_details/cached_tokens", "/usage/total_tokens", True),
        ("/usageMetadata/cachedContentTokenCount", "/usageMetadata/promptTokenCount", True),
        ("/usage/prompt_tokens", "/usage/completion_tokens", False),
        ("/a/prompt_tokens", "/b/total_tokens", False),
        ("/usage/cache_read_input_tokens", "/usage/input_tokens", False),
    ],
)
@pytest.mark.parametrize("kind", ["json: {}", "sse: {{pointer: {}}}"])
def test_tokens_that_two_meters_count(tmp_path: Path, inner: str, outer: str, kind: str, *, twice: bool) -> None:
    usage = f"usage: {{inner: {{{kind.format(inner)}}}, outer: {{{kind.format(outer)}}}}}\n"
    rule = f"match: {{path: /a}}\n{usage}hold: 1\n"
    message = "what `inner` counts is counted by `outer` too, and both have a rate: it is charged twice"
    assert [said for said, _ in warnings(tmp_path, f"{rule}price: {{inner: 1, outer: 1}}")] == [message] * twice
    assert warnings(tmp_path, f"{rule}price: {{inner: 1}}") == []


def test_the_same_count_twice(tmp_path: Path) -> None:
    usage = "usage: {a: {json: /usage/total}, b: {json: /usage/total}}\n"
    found = warnings(tmp_path, f"match: {{path: /a}}\n{usage}hold: 1\nprice: {{a: 1, b: 1}}")
    assert len(found) == 1


def test_what_two_rules_share_is_told_once(tmp_path: Path) -> None:
    first = "match: {path: /a}\nprice: &price {flat: 0}"
    assert len(warnings(tmp_path, first, "match: {path: /b}\nprice: *price")) == 2
    shared = "usage: {t: {duration: ms}}\nhold: 1\n"
    nested = (
        f"match: {{path: /a}}\n{shared}price: {{by: request.m, rates: &rates {{a: {{t: 0, flat: 1}}, '*': deny}}}}"
    )
    again = f"match: {{path: /b}}\n{shared}price: {{by: request.m, rates: *rates}}"
    assert [said for said, _ in warnings(tmp_path, nested, again)] == ["`t` costs nothing"]


def test_a_path_that_differs_from_an_earlier_one_in_capitals_alone(tmp_path: Path) -> None:
    message = "no request gets this rule: `r0` before it has the path in other capitals"
    first, second = "match: {path: '/Docs/{id}'}\nfree: true", "match: {path: /docs/x}\nprice: {flat: 1}"
    assert warnings(tmp_path, first, second) == [(message, "/docs/x}")]
    assert warnings(tmp_path, second, first) == []
    assert warnings(tmp_path, first.replace("path", "method: GET, path"), second) == []
