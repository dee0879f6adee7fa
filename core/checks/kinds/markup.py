"""Checks of markup in an answer: is-xml, contains-xml, is-html, contains-html. Pure."""

import re
from html.parser import HTMLParser
from typing import Any
from xml.parsers import expat

from core.checks import javascript as js
from core.checks.model import ABSENT, CheckError, Given, Outcome, shown, yes_no

_NAME = r"[A-Za-z_:\u00c0-\ud7ff\uf900-\ufffd][\w.:\u00b7-]*"
_MARK = re.compile(
    rf"<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<[!?][^>]*>|</({_NAME})[^<>]*>"
    rf"|<({_NAME})((?:\"[^\"]*\"|'[^']*'|[^<>\"'])*?)(/?)\s*>"
)
_ATTRIBUTE = re.compile(rf"({_NAME})(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'))?")


def is_xml(given: Given) -> Outcome:
    """The whole answer is one well-formed document; with a value, one that has these elements (a.b, c)."""
    elements = _elements(given.value)
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")

    def refuse(_name: str, _system: str | None, _public: str | None, has_inside: bool) -> None:
        if has_inside:
            raise CheckError("a document type with declarations inside is not read")

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(given.text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        return yes_no(False, f"the answer is no XML: {error}")
    except CheckError as error:
        return yes_no(False, str(error))
    missing = [path for path in elements if not _has(_tree(given.text), path.split("."))]
    return yes_no(not missing, f"the answer lacks the elements {', '.join(missing)}", f"the answer is {_xml(elements)}")


def contains_xml(given: Given) -> Outcome:
    """Some balanced element in the answer; with a value, one that has these elements."""
    elements = _elements(given.value)
    roots = _balanced(given.text)
    trees = [_tree(given.text[start:end]) for start, end in roots]
    if len(roots) > 1:
        trees.append(_tree("".join(given.text[start:end] for start, end in roots)))
    found = any(all(_has(tree, path.split(".")) for path in elements) for tree in trees)
    return yes_no(found, f"the answer holds no {_xml(elements)}", f"the answer holds {_xml(elements)}")


def _xml(elements: list[str]) -> str:
    return f"XML with {', '.join(elements)}" if elements else "XML"


def _elements(value: Any) -> list[str]:
    if isinstance(value, str):
        return [js.trim(part) for part in value.split(",")]
    if isinstance(value, dict) and value:
        value = value.get("requiredElements")
        if not isinstance(value, list):
            raise CheckError("the elements required are a text with commas, a list, or {requiredElements: […]}")
    if isinstance(value, list):
        return [js.text_of(each) for each in value]
    if value in (None, {}) or value is ABSENT or isinstance(value, bool | int | float):
        return []
    raise CheckError(f"{shown(value)} names no elements")


def _balanced(text: str) -> list[tuple[int, int]]:
    """Start and end of the outermost elements that close what they open."""
    stack: list[tuple[str, int]] = []
    found: list[tuple[int, int]] = []
    for mark in _MARK.finditer(text):
        _, closing, opening, _, is_empty = mark.groups()
        if opening and not is_empty:
            stack.append((opening, mark.start()))
        elif opening or (closing and stack and stack[-1][0] == closing):
            start = mark.start() if opening else stack.pop()[1]
            found = [each for each in found if each[0] < start] + [(start, mark.end())]
        elif closing:
            stack.clear()
    return found


def _tree(text: str) -> dict[str, Any]:
    """Elements as nested objects, those of one name as a list; attributes as @_name, a text beside them as #text."""
    root: dict[str, Any] = {}
    stack, names = [root], [""]
    at = 0
    for mark in [*_MARK.finditer(text), None]:
        piece = js.trim(text[at : mark.start() if mark else len(text)])
        cdata, closing, opening, attributes, is_empty = mark.groups() if mark else ("",) * 5
        if piece or cdata:
            stack[-1]["#text"] = stack[-1].get("#text", "") + piece + (cdata or "")
        at = mark.end() if mark else at
        if opening:
            stack.append({f"@_{each[1]}": each[2] or each[3] or "" for each in _ATTRIBUTE.finditer(attributes)})
            names.append(opening)
        if (closing or (opening and is_empty)) and len(stack) > 1:
            node, name = stack.pop(), names.pop()
            value: Any = node.get("#text", "") if set(node) <= {"#text"} else node
            known = stack[-1].get(name, ABSENT)
            stack[-1][name] = value if known is ABSENT else [*(known if isinstance(known, list) else [known]), value]
    return root


def _has(value: Any, path: list[str]) -> bool:
    for key in path:
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else ABSENT
        elif isinstance(value, dict):
            value = value.get(key, ABSENT)
        else:
            return False
        if value is ABSENT:
            return False
    return True


_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_HEAD = frozenset("title base link meta style script noscript template".split())
_IN_TABLE = frozenset("caption col colgroup tbody td tfoot th thead tr".split())
_REOPENED = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_CLOSES_P = frozenset(
    "address article aside blockquote details dialog dl dt dd fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6"
    " header hr li main menu nav ol p pre section summary table ul div".split()
)
_KNOWN = (
    _VOID | _HEAD | _IN_TABLE | _CLOSES_P
    | frozenset(
        "a em strong small s cite q dfn abbr ruby rt rp data time code var samp kbd sub sup i b u mark bdi bdo span"
        " iframe image object picture video audio map svg math canvas ins del label button select datalist"
        " optgroup option textarea output progress meter legend slot".split()
    )
)  # fmt: skip
_INDICATORS = (
    (re.compile(r"<[a-zA-Z][a-zA-Z0-9-]*(?:\s[^>]*)?>"), 1),
    (re.compile(r"</[a-zA-Z][a-zA-Z0-9-]*\s*>"), 1),
    (re.compile(r"<[a-zA-Z][a-zA-Z0-9-]*(?:\s[^>]*)?/>"), 1),
    (re.compile(r"&(?:[a-zA-Z]+|#[0-9]+|#x[0-9a-fA-F]+);"), 1),
    (re.compile(r"<!DOCTYPE\s+html", re.IGNORECASE), 2),
    (re.compile(r"<!--[^-]*(?:-[^-]+)*-->"), 1),
    (re.compile(r"\s[a-zA-Z-]+=\s*[\"'][^\"']*[\"']"), 1),
    (
        re.compile(
            r"<(html|head|body|div|span|p|a|img|h[1-6]|ul|ol|li|table|tr|td|th|form|input|button|script|style|link|meta"
            r"|br|hr)\b",
            re.IGNORECASE | re.ASCII,
        ),
        2,
    ),
)


def contains_html(given: Given) -> Outcome:
    """Two signs of HTML are enough: tags, entities, a comment, an attribute; a well-known element alone counts two."""
    n = sum(weight for pattern, weight in _INDICATORS if pattern.search(given.text))
    return yes_no(n >= 2, "the answer holds no HTML", "the answer holds HTML")


def is_html(given: Given) -> Outcome:
    """The answer has a known element, and no text outside of elements unless in a <body> of its own."""
    text = js.trim(given.text)
    if not text or text[:5].lower() == "<?xml":
        return yes_no(False, "the answer is empty" if not text else "the answer is XML, not HTML")
    page = _Page()
    page.feed(text)
    page.close()
    if page.has_text_outside and not re.search(r"<body(?=[\s>/])", text.lower()):
        return yes_no(False, "the answer has text outside of its elements")
    return yes_no(page.has_element, "the answer has no element of HTML", "the answer is HTML")


class _Page(HTMLParser):
    """The little of HTML's tree that tells a text outside of elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.has_text_outside = self.has_element = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("html", "head", "body"):
            self.has_element = True
            return
        if tag in _IN_TABLE and "table" not in self.open:
            return
        self.has_element |= tag in _KNOWN or "-" in tag
        if tag in _CLOSES_P and "p" in self.open:
            del self.open[self.open.index("p") :]
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("textarea", "title"):
            self.set_cdata_mode(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # a slash means nothing in HTML

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            at = len(self.open) - 1 - self.open[::-1].index(tag)
            self.open[at:] = [inner for inner in self.open[at + 1 :] if inner in _REOPENED]

    def handle_data(self, data: str) -> None:
        self.has_text_outside |= not self.open and bool(js.trim(data))
