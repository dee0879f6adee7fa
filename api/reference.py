"""The reference of the API as a page of its own: nothing of it is fetched from anywhere else."""

from html import escape
from typing import Any

from core.formats import strict_json as json

_LOOK = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
padding:0 1rem;color:#1b2430;background:#fff}
summary{cursor:pointer;padding:.35rem 0}code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.75rem;
background:#f4f6f9;border-radius:.375rem}b.m{display:inline-block;min-width:4.5rem;color:#1d4ed8}
@media(prefers-color-scheme:dark){body{color:#e4e9f0;background:#10151c}pre{background:#18202a}b.m{color:#8ab0ff}\
a{color:#8ab0ff}}"""


def page(document: dict[str, Any]) -> str:
    """Each operation of an OpenAPI document with what it takes and gives."""
    parts = [
        _operation(method, path, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="data:,"><title>{escape(info["title"])}: API</title><style>{_LOOK}</style>'
        f"<h1>{escape(info['title'])}: API</h1><p>{escape(info.get('description', ''))}</p>"
        f'<p>The same as <a href="openapi.json">OpenAPI</a>, for tools.</p>{"".join(parts)}</html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    lines = [escape(operation.get("description") or operation.get("summary") or "")]
    takes = [
        f"<li><code>{escape(each['name'])}</code> ({escape(each['in'])}) {escape(each.get('description', ''))}</li>"
        for each in operation.get("parameters", [])
    ]
    lines += [f"<ul>{''.join(takes)}</ul>"] if takes else []
    for label, content in (("Body", operation.get("requestBody", {})), *operation.get("responses", {}).items()):
        for kind, media in content.get("content", {}).items():
            if label == "Body" or str(label).startswith("2"):
                shape = json.dumps(_shape(media.get("schema", {}), document, 0), indent=2, ensure_ascii=False)
                lines.append(f"<p>{escape(str(label))}: {escape(kind)}</p><pre>{escape(shape)}</pre>")
    head = f'<b class="m">{escape(method.upper())}</b> <code>{escape(path)}</code>'
    return f"<details><summary>{head} {escape(operation.get('summary', ''))}</summary>{''.join(lines)}</details>"


def _shape(schema: dict[str, Any], document: dict[str, Any], depth: int) -> Any:
    """A schema as an example would look, with types and descriptions for values."""
    if "$ref" in schema and depth < 6:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return _shape(found, document, depth + 1)
    if "properties" in schema:
        return {name: _shape(each, document, depth + 1) for name, each in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_shape(schema.get("items", {}), document, depth + 1)]
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if options:
        return _shape(options[0], document, depth + 1)
    return " ".join(str(schema[name]) for name in ("type", "enum", "description") if name in schema) or "anything"
