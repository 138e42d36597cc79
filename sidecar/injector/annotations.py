"""Every label and annotation of ours: its name, what it does, what it may be. Whoever mistypes one is told.

The table below is the one list: `read` takes values by it, and the documents show it.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal

import msgspec

from sidecar.config import values
from sidecar.config.settings import Injector

PREFIX: Final = "entitlement-sidecar.io/"
NAMESPACE_LABEL: Final = f"{PREFIX}injection"
"""On a namespace: its pods are in scope when it is `enabled`."""
OPT_OUT_LABEL: Final = f"{PREFIX}inject"
"""On a pod: `"false"` leaves it alone."""
INJECTED_LABEL: Final = f"{PREFIX}injected"
"""On a pod, by us: what selectors find."""
STATUS: Final = f"{PREFIX}status"
"""On a pod, by us: what was done, as JSON."""

PORTS_MAX: Final = 8


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod asks for, with the settings' values where it asks for nothing."""

    rules: str
    """Name of the ConfigMap with the rules."""
    ports: tuple[str, ...] = ("http",)
    ports_named: bool = False
    """Whether the pod named them itself: then one that is missing is a mistake."""
    upstream_protocol: str = "http"
    mode: Literal["auto", "native", "container"] = "auto"
    image: str = ""
    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""
    shadow: bool = False
    strict: Literal["warn", "deny"] = "warn"
    drain_s: int | None = None
    """None: as long as the pod's grace period allows, at most the settings' time."""


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """One that a pod may have. `take` raises ValueError for a text that is none of its values."""

    name: str
    field: str
    take: Callable[[str], Any]
    right: str
    """What a value is, as the end of a sentence."""
    meaning: str
    default: str

    @property
    def key(self) -> str:
        return PREFIX + self.name


def _of_kind(check: Callable[[str], str | None]) -> Callable[[str], str]:
    def take(text: str) -> str:
        if not text or check(text) is not None:
            raise ValueError(text)
        return text

    return take


def _one_of(*words: str) -> Callable[[str], str]:
    def take(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return take


def _flag(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


def _ports(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > PORTS_MAX or len(set(names)) < len(names) or not all(map(is_port_name, names)):
        raise ValueError(text)
    return names


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 3_600):
        raise ValueError(text)
    return int(text)


def is_port_name(text: str) -> bool:
    """As Kubernetes has them: up to 15 small letters, digits and single hyphens inside, at least one letter."""
    plain = re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", text, re.ASCII) is not None
    return plain and len(text) <= 15 and "--" not in text and not text.replace("-", "").isdigit()


ANNOTATIONS: Final = (
    Annotation(
        name="rules",
        field="rules",
        take=_of_kind(values.object_name),
        right="the name of a ConfigMap",
        meaning="The ConfigMap in the pod's namespace whose files are the rules.",
        default="`injector.rules`",
    ),
    Annotation(
        name="port",
        field="ports",
        take=_ports,
        right=f"one to {PORTS_MAX} different port names with commas between them, such as http or http,web",
        meaning="The named ports to take over: those that a Service targets by name.",
        default="`http`",
    ),
    Annotation(
        name="upstream-protocol",
        field="upstream_protocol",
        take=_one_of("http"),
        right="http: the sidecar speaks no other protocol to the application",
        meaning="What the application speaks on these ports.",
        default="`http`",
    ),
    Annotation(
        name="mode",
        field="mode",
        take=_one_of("auto", "native", "container"),
        right="auto, native or container",
        meaning="Whether the sidecar is a native one, which starts before the application and ends after it, or an "
        "ordinary container. `auto` is native from Kubernetes 1.32 on.",
        default="`injector.mode`",
    ),
    Annotation(
        name="image",
        field="image",
        take=_of_kind(values.image),
        right="an image, such as registry.example.com/sidecar:1.2.3",
        meaning="Another image of the sidecar.",
        default="`injector.image`",
    ),
    Annotation(
        name="cpu-request",
        field="cpu_request",
        take=_of_kind(values.cpu),
        right="an amount of CPU, such as 50m or 0.5",
        meaning="What the sidecar requests of CPU.",
        default="`injector.cpu_request`",
    ),
    Annotation(
        name="cpu-limit",
        field="cpu_limit",
        take=_of_kind(values.cpu),
        right="an amount of CPU, such as 500m or 1",
        meaning="The most CPU that the sidecar gets.",
        default="`injector.cpu_limit`",
    ),
    Annotation(
        name="memory-request",
        field="memory_request",
        take=_of_kind(values.memory),
        right="an amount of memory, such as 64Mi",
        meaning="What the sidecar requests of memory.",
        default="`injector.memory_request`",
    ),
    Annotation(
        name="memory-limit",
        field="memory_limit",
        take=_of_kind(values.memory),
        right="an amount of memory, such as 256Mi",
        meaning="The most memory that the sidecar gets.",
        default="`injector.memory_limit`",
    ),
    Annotation(
        name="shadow",
        field="shadow",
        take=_flag,
        right='"true" or "false"',
        meaning="Refuse nothing: serve and count what would be refused.",
        default="`injector.shadow`",
    ),
    Annotation(
        name="strict",
        field="strict",
        take=_one_of("warn", "deny"),
        right="warn or deny",
        meaning="What to do about ports that nobody can take over, because they have no name, and about a pod "
        "without the port: tell, or deny the pod.",
        default="`injector.strict`",
    ),
    Annotation(
        name="drain",
        field="drain_s",
        take=_seconds,
        right="whole seconds from 1 to 3600",
        meaning="How long the sidecar lets requests finish when the pod ends, in seconds.",
        default="`injector.shutdown_s`, or what the pod's grace period leaves",
    ),
)

_BY_KEY: Final = {annotation.key: annotation for annotation in ANNOTATIONS}


def read(annotations: Mapping[str, str], settings: Injector) -> tuple[Wishes, list[str]]:
    """What the annotations ask for, and a sentence for each that is wrong or unknown."""
    asked: dict[str, Any] = {}
    wrongs: list[str] = []
    for key, text in annotations.items():
        annotation = _BY_KEY.get(key)
        if annotation is not None:
            try:
                asked[annotation.field] = annotation.take(text)
            except ValueError:
                wrongs.append(f'The annotation {key} is "{text[:64]}"; it must be {annotation.right}.')
        elif key.startswith(PREFIX) and key != STATUS:
            wrongs.append(f"There is no annotation {key[:128]}{_hint(key)}.")
    fields = Wishes.__struct_fields__
    defaults = {field: getattr(settings, field) for field in fields if hasattr(settings, field)}
    return Wishes(**defaults | asked, ports_named="ports" in asked), wrongs


def _hint(key: str) -> str:
    if key == OPT_OUT_LABEL:
        return ": it is a label"
    known = [annotation.name for annotation in ANNOTATIONS]
    near = get_close_matches(key.removeprefix(PREFIX), known, n=1)
    return f"; did you mean {PREFIX}{near[0]}" if near else f"; there are {', '.join(known)}"


def as_markdown() -> str:
    """The table of the documents."""
    rows = ["| annotation | default | value | what it does |", "|---|---|---|---|"]
    rows += [f"| `{a.key}` | {a.default} | {a.right} | {a.meaning} |" for a in ANNOTATIONS]
    return "\n".join(rows) + "\n"
