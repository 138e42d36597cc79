"""The chart's README and schema say what values.yaml says, and every value says something."""

import json
import re

import pytest

from tests.helm import reference
from tests.helm.reference import CHART, Value

VALUES = reference.values()
TEMPLATES = "\n".join(
    path.read_text() for path in (CHART / "templates").iterdir() if path.suffix in {".tpl", ".yaml", ".txt"}
)


def test_the_readme_is_made_from_the_values() -> None:
    assert (CHART / "README.md").read_text() == reference.readme(), "run python -m tests.helm"


def test_the_schema_is_made_from_the_values() -> None:
    assert (CHART / "values.schema.json").read_text() == reference.schema(), "run python -m tests.helm"


@pytest.mark.parametrize("value", [each for each in VALUES if not each.is_section], ids=lambda v: ".".join(v.path))
def test_every_value_is_explained_and_used(value: Value) -> None:
    assert value.about.endswith((".", "`.", ")")), "a sentence that says what it does"
    assert re.search(rf"\.{value.path[-1]}\b", TEMPLATES) or f".{value.path[-2]}" in TEMPLATES


def test_no_mapping_takes_just_any_key() -> None:
    def open_mappings(node: object, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        here = [path] if node.get("type") == "object" and "additionalProperties" not in node else []
        below = [each for name, child in node.items() for each in open_mappings(child, f"{path}/{name}")]
        return here + below

    found = open_mappings(json.loads((CHART / "values.schema.json").read_text()), "")
    # Kubernetes itself checks these lists; Helm gives the other two.
    ours = [path for path in found if not path.endswith("/items")]
    assert ours == ["/properties/global", "/properties/sidecar-container"]
