"""The reference page: the OpenAPI document as one HTML file, for people. It needs nothing from elsewhere.

All that varies comes out of the document, and is escaped here; there is no script.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
body { display: grid; grid-template-columns: 19rem minmax(0, 56rem); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; border-right: 1px solid var(--line); }
nav h2 { font-size: .8rem; text-transform: uppercase; margin: 1rem 0 .25rem; opacity: .7; }
nav a { display: block; font-size: .85rem; padding: .1rem 0; color: inherit; text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { padding: 1rem 2rem 4rem; }
section { border-top: 1px solid var(--line); padding-top: .5rem; margin-top: 2rem; }
h3 { overflow-wrap: anywhere; } h3 b { font: 700 .8rem ui-monospace, monospace; padding: .15rem .4rem; }
h3 b { background: var(--soft); border-radius: .25rem; }
code, pre { font: .85rem ui-monospace, monospace; } pre { background: var(--soft); padding: .75rem; overflow: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; } td, th { text-align: left; vertical-align: top; }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); } td:first-child { white-space: nowrap; }
i { opacity: .7; }
@media (max-width: 60rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
"""

Json = Mapping[str, Any]


def page(document: bytes) -> bytes:
    """The page for an OpenAPI document that we have made."""
    content: Json = json.loads(document)
    operations = [
        (path, method, operation)
        for path, methods in content["paths"].items()
        for method, operation in methods.items()
        if not operation["operationId"].endswith("_by_external_id")
    ]
    info = content["info"]
    body = "".join(
        [
            f"<nav><strong>{_text(info['title'])}</strong>{''.join(_menu(operations))}</nav><main>",
            f"<h1>{_text(info['title'])}</h1><p>Version {_text(info['version'])}. {_prose(info['description'])}</p>",
            "<p>What is at <code>/v1/customers/{customer_id}/…</code> is also at ",
            "<code>/v1/customer-by-external-id/{external_customer_id}/…</code>, by your own id. ",
            'The same for programs: <a href="/v1/openapi.json">/v1/openapi.json</a>.</p>',
            *(_section(*each) for each in operations),
            *_records(content),
            "</main>",
        ]
    )
    head = f'<meta name="viewport" content="width=device-width"><title>{_text(info["title"])}</title>'
    start = f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}<style>{_STYLE}</style></head>'
    return f"{start}<body>{body}</body></html>".encode()


def _menu(operations: list[tuple[str, str, Json]]) -> Iterator[str]:
    before = ""
    for path, _, operation in operations:
        group = _group(path)
        if group != before:
            yield f"<h2>{_text(group)}</h2>"
            before = group
        yield f'<a href="#{_text(operation["operationId"])}">{_text(operation["operationId"].replace("_", " "))}</a>'


def _group(path: str) -> str:
    """The first word of a path that says what it is about."""
    words = [word for word in path.removeprefix("/v1").split("/") if word and not word.startswith("{")]
    return words[1] if words[0] == "customers" and len(words) > 1 else words[0]


def _section(path: str, method: str, operation: Json) -> str:
    return "".join(
        [
            f'<section id="{_text(operation["operationId"])}">',
            f"<h3><b>{method.upper()}</b> <code>{_text(path)}</code></h3>",
            f"<p>{_prose(operation['summary'])}</p>",
            f"<p>{_prose(operation['description'])}</p>" if "description" in operation else "",
            _allowed(operation),
            _parameters(operation["parameters"]),
            _body(operation),
            _responses(operation["responses"]),
            "</section>",
        ]
    )


def _allowed(operation: Json) -> str:
    scopes = sorted({role for way in operation["security"] for roles in way.values() for role in roles})
    if not scopes:
        return "<p><i>Served without a key.</i></p>"
    return f"<p><i>A key with the scope <code>{_text(', '.join(scopes))}</code>.</i></p>"


def _parameters(parameters: list[Json]) -> str:
    rows = [
        f"<tr><td><code>{_text(each['name'])}</code></td>"
        f"<td>{_text(each['in'])}{', required' if each['required'] else ''}</td><td>{_kind(each['schema'])}</td>"
        f"<td>{_prose(each.get('description') or each['schema'].get('description', ''))}</td></tr>"
        for each in parameters
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _body(operation: Json) -> str:
    if "requestBody" not in operation:
        return ""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return f"<p>Body: {_kind(schema)}</p>"


def _responses(responses: Json) -> str:
    rows = []
    for status, response in responses.items():
        kinds = [_kind(media["schema"]) for media in response.get("content", {}).values() if "schema" in media]
        rows.append(
            f"<tr><td><b>{_text(status)}</b></td><td>{_prose(response['description'])}</td>"
            f"<td>{', '.join(dict.fromkeys(kinds))}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def _records(content: Json) -> Iterator[str]:
    yield "<h1>Records</h1>"
    for name, schema in sorted(content["components"]["schemas"].items()):
        required = set(schema.get("required", ()))
        rows = [
            f"<tr><td><code>{_text(field)}</code></td>"
            f"<td>{_kind(kind)}{'' if field in required else ', optional'}</td>"
            f"<td>{_prose(kind.get('description', ''))}</td></tr>"
            for field, kind in schema.get("properties", {}).items()
        ]
        about = f"<p>{_prose(schema['description'])}</p>" if "description" in schema else ""
        yield f'<section id="{_text(name)}"><h3>{_text(name)}</h3>{about}<table>{"".join(rows)}</table></section>'


def _kind(schema: Json) -> str:
    """What a value is, in a few words; a record is a link to it."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f'<a href="#{_text(name)}">{_text(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{_text(json.dumps(each))}</code>" for each in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_kind(schema['additionalProperties'])}"
    return _text(str(kind)) + _bounds(schema)


def _bounds(schema: Json) -> str:
    words = {"minimum": "≥", "maximum": "≤", "minLength": "length ≥", "maxLength": "length ≤", "default": "default"}
    said = [f"{word} {json.dumps(schema[name])}" for name, word in words.items() if name in schema]
    return f" <i>({_text(', '.join(said))})</i>" if said else ""


def _prose(text: str) -> str:
    """Text of ours, where `this` is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(text: str) -> str:
    return html.escape(str(text))
