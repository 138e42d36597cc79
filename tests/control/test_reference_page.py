"""The reference page: whole, safe, and on its own."""

import json
import re
from html.parser import HTMLParser

from sidecar.control.openapi import document
from sidecar.control.reference_page import page
from sidecar.control.routes import ENDPOINTS
from tests.support.control import Control

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Follows the tags, and notes what is named and what is linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                assert value not in self.ids
                self.ids.add(value or "")
            if name in {"href", "src"}:
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: bytes) -> Reader:
    reader = Reader()
    reader.feed(html.decode())
    assert reader.open == []
    return reader


def test_it_has_every_call_and_every_record_and_leads_nowhere_else() -> None:
    written = document(ENDPOINTS)
    reader = read(page(written))
    assert {each.name for each in ENDPOINTS} <= reader.ids
    assert set(json.loads(written)["components"]["schemas"]) <= reader.ids
    assert {link.removeprefix("#") for link in reader.links if link.startswith("#")} <= reader.ids
    assert {link for link in reader.links if not link.startswith("#")} == {"/v1/openapi.json"}
    assert not {"script", "img", "link", "iframe"} & reader.tags


def test_what_it_shows_is_text() -> None:
    changed = document(ENDPOINTS).replace(b"Look at a customer.", b"<script>alert(1)</script> & `a<b`")
    html = page(changed)
    assert b"<script>" not in html
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; &amp; <code>a&lt;b</code>" in html
    read(html)


async def test_it_is_served_to_everybody(control: Control) -> None:
    answer = await control.ask("GET", "/v1/reference", key=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert re.search(rb"grant credits", answer.raw)
