"""Values that cannot be are refused, in words that say which and what would do.

Each file of bad_values has what is wrong and, as `expected`, what the answer must have in it.
"""

from typing import Any

import helm_python
import pytest
import yaml

from sidecar.config.settings import SECRETS
from tests.helm import rendering
from tests.helm.reference import CHART

FILES = sorted((rendering.FOLDER / "bad_values").glob("*.yaml"))
RIGHT = rendering.case_values("minimal")


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for name, value in above.items():
        there = both.get(name)
        both[name] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return both


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(document["values"], document["expected"], id=f"{path.stem}: {document['what']}")
        for path in FILES
        for document in yaml.safe_load_all(path.read_text())
    ],
)
def test_wrong_values_are_refused_with_these_words(values: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        rendering.render(merged(RIGHT, values))
    assert [words for words in expected if words not in str(caught.value)] == [], str(caught.value)


def test_what_they_are_added_to_is_right() -> None:
    assert rendering.render(RIGHT)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secrets_are_no_settings_of_a_config_map(name: str) -> None:
    with pytest.raises(helm_python.HelmError, match=name):
        rendering.render(merged(RIGHT, {"settings": {name: "secret"}}))


@pytest.mark.parametrize("case", rendering.CASES)
def test_lint_has_nothing_against_the_chart(case: str) -> None:
    report = helm_python.lint(CHART, rendering.case_values(case), strict=True, namespace="sidecar")
    said = [each for each in report["messages"] if "icon is recommended" not in each["error"]]
    assert (report["errors"], said) == ([], [])
