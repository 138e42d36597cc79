"""Labels and annotations: what is taken, what is refused with a sentence, and that the documents show them all."""

from pathlib import Path

import pytest

from sidecar.config.settings import Injector
from sidecar.injector import annotations
from sidecar.injector.annotations import ANNOTATIONS, PREFIX, STATUS, Wishes, read

PAGE = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()

GOOD = {
    "rules": "my-rules",
    "port": "http,web, api",
    "upstream-protocol": "http",
    "mode": "native",
    "image": "registry.example.com:5000/a/sidecar@sha256:00ff",
    "cpu-request": "50m",
    "cpu-limit": "1.5",
    "memory-request": "64Mi",
    "memory-limit": "1G",
    "shadow": "true",
    "strict": "deny",
    "drain": "3600",
}
BAD = {
    "rules": ["", "Rules", "a/b", "-a", "a" * 254],
    "port": ["", "8080", "http,", "http,http", "HTTP", "a--b", "-a", "sixteen-letters-", "a,b,c,d,e,f,g,h,i"],
    "upstream-protocol": ["https", "h2c", "grpc", ""],
    "mode": ["", "Native", "always"],
    "image": ["", "a b", "-x", "a" * 513],
    "cpu-request": ["", "50 m", "-1", "1Gi", "1.2345"],
    "cpu-limit": ["much"],
    "memory-request": ["64 Mi", "64MB", "-1"],
    "memory-limit": ["50m", ""],
    "shadow": ["yes", "True", "1", ""],
    "strict": ["no", ""],
    "drain": ["0", "3601", "-1", "1.5", "30s", "", "٣"],
}


def test_every_annotation_is_tried() -> None:
    names = [annotation.name for annotation in ANNOTATIONS]
    assert list(GOOD) == names
    assert list(BAD) == names


def test_good_values() -> None:
    wishes, wrongs = read({PREFIX + name: text for name, text in GOOD.items()}, Injector())
    assert wrongs == []
    assert wishes == Wishes(
        rules="my-rules",
        ports=("http", "web", "api"),
        ports_named=True,
        mode="native",
        image="registry.example.com:5000/a/sidecar@sha256:00ff",
        cpu_request="50m",
        cpu_limit="1.5",
        memory_request="64Mi",
        memory_limit="1G",
        shadow=True,
        strict="deny",
        drain_s=3600,
    )


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_wrong_value_is_named_with_what_would_be_right(name: str, text: str) -> None:
    annotation = next(each for each in ANNOTATIONS if each.name == name)
    _, wrongs = read({PREFIX + name: text}, Injector())
    assert wrongs == [f'The annotation {PREFIX}{name} is "{text[:64]}"; it must be {annotation.right}.']


def test_settings_are_what_is_not_asked_for() -> None:
    settings = Injector(rules="r", image="i", mode="container", strict="deny", shadow=True, cpu_request="1")
    wishes, _ = read({}, settings)
    assert (wishes.rules, wishes.image, wishes.mode, wishes.strict, wishes.shadow, wishes.cpu_request) == (
        "r", "i", "container", "deny", True, "1",
    )  # fmt: skip
    assert (wishes.ports, wishes.ports_named, wishes.drain_s) == (("http",), False, None)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("shadows", f"; did you mean {PREFIX}shadow."),
        ("inject", ": it is a label."),
        ("zzz", "; there are rules, port, upstream-protocol, mode, image, cpu-request, cpu-limit, memory-request, "),
    ],
)
def test_an_unknown_one_under_our_prefix(key: str, hint: str) -> None:
    (said,) = read({PREFIX + key: "1"}, Injector())[1]
    assert said.startswith(f"There is no annotation {PREFIX}{key}{hint}")


def test_others_are_not_ours_to_judge() -> None:
    assert read({"example.com/rules": "!", STATUS: "{}", "prometheus.io/port": "http"}, Injector())[1] == []


def test_the_page_shows_the_table_and_the_labels() -> None:
    assert annotations.as_markdown() in PAGE, "paste what sidecar.injector.annotations.as_markdown() gives"
    for key in (annotations.NAMESPACE_LABEL, annotations.OPT_OUT_LABEL, annotations.INJECTED_LABEL, STATUS):
        assert f"`{key}" in PAGE
