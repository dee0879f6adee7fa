"""A model's text as Markdown that Streamlit shows as it is meant. Pure; no streamlit here.

An answer is read as CommonMark with tables and written anew, every text escaped, so that none of Streamlit's own signs
(colours, icons, emoji, arrows, `$`) acts in it. Line breaks and indentation stay; HTML is text; LaTeX stands between
`$$` or `\\[ \\]`; a picture becomes a link, because a browser that fetched it would tell its server what was asked.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from dashboard.formatting import escaped, plain

SCHEMES = ("http", "https", "mailto")
MAX_NESTING = 100
MAX_CHARACTERS = 300_000  # more would take seconds to read as Markdown, and is shown as it came
MAX_SIGNS = 2_000  # of one paragraph: the time to read it grows with their square
_SIGN = re.compile(r"[*_~\[\]<]")
_MATH = {"$$": "$$", "\\[": "\\]"}
_LOOKS_LIKE_MATH = re.compile(r"[\\^_={}]|\A\S(?:.*\S)?\Z", re.DOTALL)
# LaTeX that would draw over what stands around it, which may be anything of the page.
_LEAVES_ITS_PLACE = re.compile(
    r"\\(?:rule|raisebox|m?kern|[hm]skip|(?:math)?[lrc]lap|smash|genfrac|above)(?![a-zA-Z])"
    r"|(?:\\hspace\*?(?![a-zA-Z])|\\\\\s*(?=\[))(?!\s*[{\[]\s*\d?(?:\.\d*)?\s*(?:em|ex|mu|pt)\s*[}\]])"
)
_ICON = ":material/"  # Streamlit replaces this even inside code


class Part(NamedTuple):
    """code: To be shown by an element of its own, verbatim; language '' = none."""

    kind: Literal["markdown", "code"]
    text: str
    language: str = ""


@lru_cache(maxsize=128)
def parts(text: str) -> tuple[Part, ...]:
    """An answer in parts, most often one; the whole of it is in them."""
    if len(text) > MAX_CHARACTERS:
        return (Part("code", text),)
    environment: dict[str, Any] = {}
    tokens = _PARSER.parse(text.replace("\t", "    "), environment)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):  # what lies deeper is not in the tokens
        return (Part("code", text),)
    root, lines = SyntaxTreeNode(tokens), text.splitlines()
    found: list[Part] = []
    for node in root.children:
        if node.type in ("fence", "code_block") and _ICON in node.content:
            found.append(Part("code", node.content.removesuffix("\n"), _language(node)))
        elif any(each.type in ("fence", "code_block") and _ICON in each.content for each in node.walk()) and node.map:
            found.append(Part("code", "\n".join(lines[slice(*node.map)])))
        else:
            found.append(Part("markdown", _block(node)))
    if unused := _unused_references(text, environment, root):
        found.append(Part("markdown", plain("\n".join(unused))))
    return _joined(found)


def _joined(found: Sequence[Part]) -> tuple[Part, ...]:
    joined: list[Part] = []
    for part in found:
        if joined and joined[-1].kind == part.kind == "markdown":
            joined[-1] = Part("markdown", f"{joined[-1].text}\n\n{part.text}")
        else:
            joined.append(part)
    return tuple(joined)


def _unused_references(text: str, environment: dict[str, Any], root: SyntaxTreeNode) -> list[str]:
    """The lines of link definitions that nothing refers to: models list their sources so."""
    used = {
        normalizeReference(str(node.meta["label"])) for node in root.walk(include_self=False) if node.meta.get("label")
    }
    left = set(environment.get("references", {})) - used
    lines = re.finditer(r"^[ >]{0,9}(?:[-*+] |\d+[.)] )?(\[([^\]\n]{1,200})\]:.*)$", text, re.MULTILINE)
    return [line[1] for line in lines if normalizeReference(line[2]) in left]


# Reading


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """$$ … $$ or \\[ … \\] that begins a line and ends one."""
    opening = state.src[state.bMarks[start] + state.tShift[start] :][:2]
    if opening not in _MATH or state.is_code_block(start) or (opening, end) in state.env.setdefault("unclosed", set()):
        return False
    lines: list[str] = []
    for at in range(start, end):
        line = state.getLines(at, at + 1, state.blkIndent, False).strip()
        before, closing, after = (line[2:] if at == start else line).partition(_MATH[opening])
        lines.append(before)
        if closing or (at > start and line and state.sCount[at] < state.blkIndent):
            break
    else:
        state.env["unclosed"].add((opening, end))
        return False
    content = "\n".join(lines).strip("\n")
    is_none = not content.strip() or "$$" in content or content.startswith("$") or _LEAVES_ITS_PLACE.search(content)
    if not closing or after.strip() or is_none:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content, token.map = content, [start, at + 1]
        state.line = at + 1
    return True


def _math_inline(state: StateInline, silent: bool) -> bool:
    opening = state.src[state.pos : state.pos + 2]
    if opening not in _MATH or state.src[state.pos - 1 : state.pos] == "$":
        return False
    end = state.src.find(_MATH[opening], state.pos + 2, state.posMax)
    content = state.src[state.pos + 2 : max(end, 0)]
    is_price = opening == "$$" and (
        content.startswith("$") or state.src[end + 2 : end + 3] == "$" or not _LOOKS_LIKE_MATH.search(content)
    )
    if end < 0 or is_price or "$$" in content or not content.strip():
        return False
    if not silent and _LEAVES_ITS_PLACE.search(content):
        state.push("code_inline", "code", 0).content = " ".join(state.src[state.pos : end + 2].split())
    elif not silent:
        state.push("math_inline", "math", 0).content = " ".join(content.split())
    state.pos = end + 2
    return True


def _kept_backslash(state: StateInline, silent: bool) -> bool:
    """\\( and \\) are no LaTeX here, and no escapes: they stay as they are; so do \\[ and \\] without a partner."""
    if not re.match(r"\\[()\[\]]", state.src[state.pos : state.pos + 2]):
        return False
    if not silent:
        state.pending += state.src[state.pos : state.pos + 2]
    state.pos += 2
    return True


def _line_break(state: StateInline, silent: bool) -> bool:
    """Every line end is one, and the next line keeps its indentation."""
    if state.src[state.pos] != "\n":
        return False
    indented = re.compile(" *").match(state.src, state.pos + 1)
    if not silent and indented:
        state.pending = state.pending.rstrip(" ")
        state.push("hardbreak", "br", 0).meta["indent"] = len(indented[0])
    state.pos = indented.end() if indented else state.pos + 1
    return True


def _inlines(state: StateCore) -> None:
    """Read what stands in paragraphs, headings and cells; one that is made of signs is a text."""
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        if len(_SIGN.findall(token.content)) <= MAX_SIGNS:
            state.md.inline.parse(token.content, state.md, state.env, token.children)
            continue
        for line in token.content.split("\n"):
            token.children += [Token("text", "", 0, content=line), Token("hardbreak", "br", 0)]
        token.children.pop()


def _parser() -> MarkdownIt:
    options = {"html": False, "store_labels": True, "maxNesting": MAX_NESTING}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.block.ruler.before(
        "fence", "math_block", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    parser.inline.ruler.before("escape", "math_inline", _math_inline)
    parser.inline.ruler.before("escape", "kept_backslash", _kept_backslash)
    parser.inline.ruler.at("newline", _line_break)
    parser.core.ruler.at("inline", _inlines)
    return parser


_PARSER = _parser()


# Writing


def _block(node: SyntaxTreeNode, separator: str = "\n\n") -> str:
    match node.type:
        case "heading":
            return f"{'#' * int(node.tag[1])} {_inline(node.children, ' ')}"
        case "paragraph":
            return _inline(node.children)
        case "blockquote":
            return _indented(_blocks(node, separator), "> ", "> ")
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "fence" | "code_block":
            return _code_block(node)
        case "math_block":
            return f"$$\n{node.content}\n$$"
        case "table":
            return _table(node)
        case _:
            return "***" if node.type == "hr" else plain(node.content)


def _blocks(node: SyntaxTreeNode, separator: str) -> str:
    written = ""
    for child in node.children:
        between = "\n\n" if child.type == "table" else separator
        written += (between if written else "") + _block(child, separator)
    return written


def _indented(text: str, first: str, rest: str) -> str:
    lines = text.split("\n")
    starts = [first, *[rest] * (len(lines) - 1)]
    return "\n".join(start + line if line else start.rstrip() for start, line in zip(starts, lines, strict=True))


def _list(node: SyntaxTreeNode) -> str:
    parts = [part for item in node.children for part in item.children]
    is_tight = any(part.hidden for part in parts if part.type == "paragraph")
    separator = "\n" if is_tight else "\n\n"
    items: list[str] = []
    marker, sign = f"{node.markup} ", node.markup
    number = given = -1
    for item in node.children:
        if node.type == "ordered_list":
            before, given, number = given, int(item.info), number + 1
            if given not in (before, number):
                number = given
                if items:  # one list has no gaps: another begins, by its other sign
                    items[-1] += "" if separator == "\n\n" else "\n"
                    sign = ".)".replace(sign, "")
            marker = f"{number}{sign} "
        items.append(_indented(_blocks(item, separator), marker, " " * len(marker)))
    return separator.join(items)


def _language(node: SyntaxTreeNode) -> str:
    """The language of a fence, if it is but a name; never mermaid, which Streamlit would draw."""
    word = (node.info.split() or [""])[0] if node.type == "fence" else ""
    return word if re.fullmatch(r"[\w+#.-]{1,30}", word, re.ASCII) and not word.lower().startswith("mermaid") else ""


def _code_block(node: SyntaxTreeNode) -> str:
    code = node.content.removesuffix("\n")
    fence = "`" * max(3, _longest_run(code) + 1)
    first = "\n" if code.startswith("\n") else ""  # Streamlit takes one away
    return f"{fence}{_language(node)}\n{first}{code}\n{fence}"


def _longest_run(code: str) -> int:
    return max(map(len, re.findall("`+", code)), default=0)


def _table(node: SyntaxTreeNode) -> str:
    rows = [row for part in node.children for row in part.children]
    written = [[_inline(cell.children, "") for cell in row.children] for row in rows]
    styles = [str(cell.attrs.get("style", "")) for cell in rows[0].children]
    signs = {"center": ":-:", "right": "-:", "left": ":-"}
    rule = [next((sign for side, sign in signs.items() if side in style), "---") for style in styles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (written[0], rule, *written[1:]))


def _inline(nodes: Sequence[SyntaxTreeNode], line_end: str = "\\\n") -> str:
    return "".join(_pieces(nodes, line_end)).strip(" ")


def _pieces(nodes: Sequence[SyntaxTreeNode], line_end: str) -> Iterator[str]:
    for node in nodes:
        match node.type:
            case "inline":
                yield from _pieces(node.children, line_end)
            case "text":
                yield escaped(node.content)
            case "hardbreak" | "softbreak":
                yield line_end + ("\N{NO-BREAK SPACE}" * node.meta.get("indent", 0) if "\n" in line_end else "")
            case "code_inline":
                span = _code_span(node.content)
                yield span if line_end else span.replace("|", "\\|")  # in a table, which has no line ends
            case "math_inline":
                yield f"$${node.content}$$"
            case "image":
                yield _link(str(node.attrs.get("src", "")), plain(node.content) or "picture")
            case "link":
                yield from _anchor(node, line_end)
            case "em" | "strong" if _is_no_emphasis(node):
                sign = escaped(node.markup)
                yield sign + "".join(_pieces(node.children, line_end)) + sign
            case _:  # em, strong, s
                yield node.markup + "".join(_pieces(node.children, line_end)) + node.markup


def _is_no_emphasis(node: SyntaxTreeNode) -> bool:
    """True if the stars of 2*3*4 or the underscores of __init__ were taken for emphasis."""
    if node.markup == "__":
        return len(node.children) == 1 and re.fullmatch("[a-z][a-z0-9_]*", node.children[0].content) is not None
    before = node.previous_sibling
    return node.markup == "*" and before is not None and before.type == "text" and before.content[-1:].isalnum()


def _code_span(code: str) -> str:
    if _ICON in code:
        before, _, after = code.partition(_ICON)
        return _code_span(f"{before}{_ICON[:4]}") + ":color[]" + _code_span(f"{_ICON[4:]}{after}")
    ticks = "`" * (_longest_run(code) + 1)
    pad = " " if code.startswith(("`", " ")) or code.endswith(("`", " ")) else ""
    return f"{ticks}{pad}{code}{pad}{ticks}"


def _anchor(node: SyntaxTreeNode, line_end: str) -> Iterator[str]:
    """A link; pictures in it, which cannot be links in a link, follow it."""
    pictures = [each for each in node.walk() if each.type == "image"]
    inner = "".join(
        plain(child.content) or "picture" if child.type == "image" else "".join(_pieces([child], line_end))
        for child in node.children
    )
    href = str(node.attrs.get("href", ""))
    yield _link(href, inner or plain(href))
    for picture in pictures:
        yield f" ({_link(str(picture.attrs.get('src', '')), 'picture')})"


def _link(address: str, label: str) -> str:
    """A link for addresses of the web and of mail; others are text beside their label."""
    try:
        is_link = urlsplit(address).scheme.lower() in SCHEMES
    except ValueError:
        is_link = False
    if not is_link:
        shown = address if len(address) <= 100 else address[:99] + "…"
        return label if not address else f"{label} ({plain(shown)})"
    for sign, code in (
        ("<", "%3C"),
        (">", "%3E"),
        ("\\", "%5C"),
        ("|", "%7C"),
        ("&", "&amp;"),
        (_ICON, "%3Amaterial/"),
    ):
        address = address.replace(sign, code)
    return f"[{label}](<{address}>)"
