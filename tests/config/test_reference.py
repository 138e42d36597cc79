"""The reference file and the page are what the code says."""

from pathlib import Path

from sidecar.config.load import load
from sidecar.config.reference import as_markdown, as_yaml, meanings
from sidecar.config.settings import Settings
from sidecar.config.types import LEAVES

ROOT = Path(__file__).parents[2]


def test_every_setting_has_a_meaning() -> None:
    assert {name: text for name, text in meanings().items() if len(text) < 10} == {}
    assert list(meanings()) == list(LEAVES)


def test_the_file_sets_every_setting_to_its_default() -> None:
    loaded = load(ROOT / "config" / "sidecar.yaml", environ={})
    default = Settings()
    assert loaded.settings == default
    assert {name for name, origin in loaded.origins.items() if origin == "default"} <= {
        "data.dir", "admin.key", "control.url", "upstream.url", "upstream.tls_ca_file", "store.url",
    }  # fmt: skip


def test_the_committed_file_and_page_are_up_to_date() -> None:
    assert (ROOT / "config" / "sidecar.yaml").read_text() == as_yaml(), (
        "sidecar config reference > config/sidecar.yaml"
    )
    assert (ROOT / "docs" / "configuration.md").read_text() == as_markdown(), (
        "sidecar config reference --markdown > docs/configuration.md"
    )
