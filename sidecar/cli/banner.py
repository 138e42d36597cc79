"""What a serving process prints when it is up: what runs where, and what to try next, ready to be copied."""

import shlex
import sys
from typing import Final

from sidecar import __version__
from sidecar.cli.ink import Ink
from sidecar.config.data_folder import KEY_FILE, data_dir
from sidecar.config.settings import Control, Gateway, Settings
from sidecar.config.values import Endpoint
from sidecar.domain.rules import ApiKey, Rule, RuleSet
from sidecar.wiring import Injecting, Sidecar

NO_RULES: Final = (
    "No rules, so every request will be refused with 403: name a rule file with --rules, such as rules/http.yaml "
    "(any API), rules/openai.yaml or rules/anthropic.yaml."
)

_SAMPLES: Final = {
    "/v1/chat/completions": '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}',
    "/v1/responses": '{"model": "gpt-4o-mini", "input": "Hello"}',
    "/v1/messages": (
        '{"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}'
    ),
}
"""Bodies to try for the paths that the shipped rules are about."""


def print_up(sidecar: Sidecar) -> None:
    """Say what serves where, and if it is the whole product, what to try."""
    settings, ink = sidecar.settings, Ink.of(sys.stdout)
    rows: list[tuple[str, str]] = []
    if sidecar.proxy_port is not None:
        rows += [_proxy(settings, _url(settings.proxy.listen, sidecar.proxy_port))]
        rows += [("rules", _rules(settings, sidecar.rules))]
    if sidecar.admin_port is not None:
        rows += [("admin", _url(settings.proxy.admin_listen, sidecar.admin_port))]
    if sidecar.control_port is not None:
        rows += [("control", _url(settings.control.listen, sidecar.control_port))]
    rows += [("store", f"bundled, in {data_dir(settings)}" if not settings.store.url else sidecar.store)]
    if sidecar.control_port is not None:
        rows += [("admin key", _admin_key(sidecar))]
    _print_rows(f"sidecar {__version__} is running", rows, ink)
    if sidecar.proxy_port is not None and not sidecar.rules.rules:
        print(f"{NO_RULES}\n")
    elif sidecar.proxy_port is not None and sidecar.control_port is not None and _forwards(settings):
        print(f"In another terminal, with what the second command prints for KEY:\n\n{_next_steps(sidecar, ink)}\n")
    print("Ctrl-C stops it.", flush=True)


def print_workers_up(settings: Settings, count: int) -> None:
    """The same for several processes on one port."""
    rows = [
        _proxy(settings, f"http://{settings.proxy.listen}"),
        ("rules", _rules(settings, None)),
        ("workers", str(count)),
    ]
    if settings.proxy.admin_listen:
        rows.insert(2, ("admin", f"http://{settings.proxy.admin_listen}"))
    _print_rows(f"sidecar {__version__} is running", rows, Ink.of(sys.stdout))
    print("Ctrl-C stops it.", flush=True)


def print_injector_up(injecting: Injecting) -> None:
    """The same for the admission webhook."""
    settings = injecting.settings
    rows = [
        ("reviews", f"{_url(settings.listen, injecting.port, 'https')}/inject"),
        ("metrics", f"{_url(settings.metrics_listen, injecting.metrics_port)}/metrics"),
        ("image", settings.image),
    ]
    _print_rows(f"sidecar {__version__} is running", rows, Ink.of(sys.stdout))
    print("Ctrl-C stops it.", flush=True)


def _print_rows(title: str, rows: list[tuple[str, str]], ink: Ink) -> None:
    print(f"{ink.bold(title)}\n")
    for name, value in rows:
        print(f"  {ink.dim(f'{name:<9}')}  {value}")
    print()


def _forwards(settings: Settings) -> bool:
    return settings.proxy.forward_auth is Gateway.NONE


def _proxy(settings: Settings, url: str) -> tuple[str, str]:
    """What becomes of requests."""
    if _forwards(settings):
        return "proxy", f"{url} -> {settings.upstream.url}"
    return "gate", f"{url}, asked by {settings.proxy.forward_auth}"


def _rules(settings: Settings, rules: RuleSet | None) -> str:
    paths = ", ".join(settings.rules.paths) or "none"
    return f"{len(rules.rules)} from {paths}, version {rules.version}" if rules is not None and rules.rules else paths


def _admin_key(sidecar: Sidecar) -> str:
    if sidecar.settings.admin.key:
        return "from the settings"
    return f"{data_dir(sidecar.settings) / KEY_FILE}{' (made now)' if sidecar.admin_key_made else ''}"


def _next_steps(sidecar: Sidecar, ink: Ink) -> str:
    options = _client_options(sidecar)
    commands = [f"sidecar grant alice 100{options}", f"sidecar keys create alice{options}"]
    rule = next((rule for rule in sidecar.rules.rules if not rule.free and _key_header(rule)), None)
    if rule is not None:
        commands.append(_curl(sidecar, rule))
    return "\n".join(f"  {ink.good(command)}" for command in commands)


def _client_options(sidecar: Sidecar) -> str:
    """What the commands of another terminal need to find this one, if it is not where they look first."""
    settings = sidecar.settings
    options = ["--data", shlex.quote(str(data_dir(settings)))] if settings.data.dir and not settings.admin.key else []
    default = Endpoint.parse(Control().listen)
    listen = Endpoint.parse(settings.control.listen)
    assert listen is not None
    assert default is not None
    if settings.control.url or sidecar.control_port != default.port or listen.host not in {default.host, "0.0.0.0"}:  # noqa: S104
        url = settings.control.url or _url(settings.control.listen, sidecar.control_port)
        options += ["--control-url", shlex.quote(url)]
    return "".join(f" {option}" for option in options)


def _key_header(rule: Rule) -> str | None:
    for source in rule.identity:
        if isinstance(source, ApiKey):
            return f"{source.header.decode()}: {source.scheme.decode()} KEY".replace(":  ", ": ")
    return None


def _curl(sidecar: Sidecar, rule: Rule) -> str:
    """A request that `rule` is about, with the key left to fill in."""
    path = rule.match.path.text.removesuffix("**") or "/"
    parts = ["curl", "-i", shlex.quote(_url(sidecar.settings.proxy.listen, sidecar.proxy_port) + path)]
    parts += ["-H", f"'{_key_header(rule)}'"]
    methods = rule.match.methods or {b"GET"}
    if b"POST" in methods:
        parts += ["-H", "'content-type: application/json'", "-d", shlex.quote(_SAMPLES.get(path, "{}"))]
    elif b"GET" not in methods:
        parts += ["-X", min(methods).decode()]
    return " ".join(parts)


def _url(listen: str, port: int | None, scheme: str = "http") -> str:
    """Where a person reaches what listens there: a wildcard address is no destination."""
    endpoint = Endpoint.parse(listen)
    assert endpoint is not None, "the settings have been checked"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(endpoint.host, endpoint.host)  # noqa: S104
    return f"{scheme}://{Endpoint(host, port or endpoint.port)}"
