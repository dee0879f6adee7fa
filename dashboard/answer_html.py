"""A model's text as HTML that shows it as it is and reaches nothing outside the page. Pure; no streamlit here.

An answer is read as CommonMark with tables; HTML in it is text, line breaks and indentation stay, a picture becomes a
chip, because a browser that fetched it would tell its server what was asked. Code, JSON and formulas that stand by
themselves are parts of their own.
"""

import html
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from core.formats import strict_json as json

SCHEMES = ("http", "https", "mailto")
MAX_NESTING = 100
MAX_CHARACTERS = 300_000  # more would take seconds to read as Markdown, and is shown as it came
MAX_LATEX = 1_000
MAX_SIGNS = 2_000  # of one paragraph: the time to read it grows with their square
_SIGN = re.compile(r"[*_~\[\]<]")
_MATH = {"$$": "$$", "\\[": "\\]"}
# LaTeX that would draw over what stands around it, which may be anything of the page.
_LEAVES_ITS_PLACE = re.compile(
    r"\\(?:rule|raisebox|m?kern|[hm]skip|(?:math)?[lrc]lap|smash|genfrac|above)(?![a-zA-Z])"
    r"|(?:\\hspace\*?(?![a-zA-Z])|\\\\\s*(?=\[))(?!\s*[{\[]\s*\d?(?:\.\d*)?\s*(?:em|ex|mu|pt)\s*[}\]])"
)
_BEGINS_JSON = re.compile(r"""\s*(?:\{\s*(?:["}]|\Z)|\[\s*(?:[\[{"\d\-\]]|true|false|null|\Z))""")
_JSON_WORD = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Part(NamedTuple):
    """code: To be shown by an element of its own, verbatim; language '' = none. math: LaTeX."""

    kind: Literal["html", "code", "math"]
    text: str
    language: str = ""


@lru_cache(maxsize=256)
def parts(text: str, *, streams: bool = False) -> tuple[Part, ...]:
    """An answer in parts, most often one; the whole of it is in them. streams: There may be more to come."""
    if len(text) > MAX_CHARACTERS:
        return (Part("code", text),)
    if (found := as_json(text, streams=streams)) is not None:
        return (Part("code", found, "json"),)
    environment: dict[str, Any] = {}
    tokens = _PARSER.parse(text.replace("\t", "    "), environment)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):  # what lies deeper is not in the tokens
        return (Part("code", text),)
    found_parts = list(_split(tokens, environment))
    if unused := _unused_references(text, environment, tokens):
        found_parts.append(Part("html", "".join(f"<p>{html.escape(line)}</p>" for line in unused)))
    return tuple(found_parts)


def as_json(text: str, *, streams: bool = False) -> str | None:
    """A text that is one JSON object or list, indented, each word as it was written; None = it is something else."""
    if not _BEGINS_JSON.match(text):
        return None
    try:
        json.loads(text)
    except ValueError:
        return text if streams else None
    words = _JSON_WORD.findall(text)
    written, depth = "", 0
    for at, word in enumerate(words):
        is_empty = word + words[min(at + 1, len(words) - 1)] in ("{}", "[]")
        if word in "}]":
            depth -= 1
            written += "" if words[at - 1] + word in ("{}", "[]") else "\n" + "  " * depth
        depth += word in "{["
        written += word + {":": " "}.get(word, "\n" + "  " * depth if word in ",{[" and not is_empty else "")
    return written


def _split(tokens: Sequence[Token], environment: dict[str, Any]) -> Iterator[Part]:
    """Prose, code and formulas in turn."""
    begun: list[Token] = []

    def written() -> Iterator[Part]:
        if begun:
            yield Part("html", _PARSER.renderer.render(begun, _PARSER.options, environment))
            begun.clear()

    for token in tokens:
        if token.level or token.type not in ("fence", "code_block", "math_block"):
            begun.append(token)
            continue
        yield from written()
        if token.type == "math_block":
            yield Part("math", token.content)
        else:
            yield Part("code", token.content.removesuffix("\n"), _language(token))
    yield from written()


def _language(token: Token) -> str:
    """The language of a fence, if it is but a name."""
    word = (token.info.split() or [""])[0]
    return word if re.fullmatch(r"[\w+#.-]{1,30}", word, re.ASCII) else ""


def _unused_references(text: str, environment: dict[str, Any], tokens: Sequence[Token]) -> list[str]:
    """The lines of link definitions that nothing refers to: models list their sources so."""
    inside = (child for token in tokens for child in token.children or ())
    used = {normalizeReference(str(each.meta["label"])) for each in inside if each.meta.get("label")}
    left = set(environment.get("references", {})) - used
    lines = re.finditer(r"^[ >]{0,9}(?:[-*+] |\d+[.)] )?(\[([^\]\n]{1,200})\]:.*)$", text, re.MULTILINE)
    return [line[1] for line in lines if normalizeReference(line[2]) in left]


# Reading


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """$$ … $$ or \\[ … \\] that begins a line and ends one."""
    opening = state.src[state.bMarks[start] + state.tShift[start] :][:2]
    if state.level or opening not in _MATH or state.is_code_block(start):
        return False
    if (opening, end) in state.env.setdefault("unclosed", set()):
        return False
    lines: list[str] = []
    for at in range(start, end):
        line = state.getLines(at, at + 1, state.blkIndent, False).strip()
        before, closing, after = (line[2:] if at == start else line).partition(_MATH[opening])
        lines.append(before)
        if closing:
            break
    else:
        state.env["unclosed"].add((opening, end))
        return False
    content = "\n".join(lines).strip("\n")
    is_none = not content.strip() or "$$" in content or content.startswith("$") or _LEAVES_ITS_PLACE.search(content)
    if after.strip() or is_none:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content, token.map = content, [start, at + 1]
        state.line = at + 1
    return True


def _latex(state: StateInline, silent: bool) -> bool:
    """LaTeX inside a line stays as it was written; CommonMark would eat its backslashes and take its stars."""
    opening = state.src[state.pos : state.pos + 2]
    if opening not in ("$$", "\\(", "\\[", "\\)", "\\]"):
        return False
    closing = {"\\(": "\\)", "\\[": "\\]"}.get(opening, opening)
    end = state.src.find(closing, state.pos + 2, min(state.posMax, state.pos + MAX_LATEX))
    if not silent:
        state.pending += state.src[state.pos : max(end, state.pos) + 2]
    state.pos = max(end, state.pos) + 2
    return True


def _line_break(state: StateInline, silent: bool) -> bool:
    """Every line end is one, and the next line keeps its indentation."""
    if state.src[state.pos] != "\n":
        return False
    indented = re.compile(" *").match(state.src, state.pos + 1)
    if not silent and indented:
        state.pending = f"{state.pending.rstrip(' ')}\n{indented[0]}"
    state.pos = indented.end() if indented else state.pos + 1
    return True


def _inlines(state: StateCore) -> None:
    """Read what stands in paragraphs, headings and cells; one that is made of signs is a text."""
    numbers: dict[int, str] = {}
    for token in state.tokens:
        if token.type == "ordered_list_open":
            numbers[token.level + 1] = ""
        elif token.type == "list_item_open" and token.info:  # models number all items 1, and mean 1, 2, 3
            before, numbers[token.level] = numbers[token.level], token.info
            token.info = "" if token.info == before else token.info
        if token.type != "inline":
            continue
        token.children = []
        if len(_SIGN.findall(token.content)) <= MAX_SIGNS:
            state.md.inline.parse(token.content, state.md, state.env, token.children)
            _mend(token.children)
        else:
            token.children = [Token("text", "", 0, content=token.content)]


def _mend(children: list[Token]) -> None:
    """Take back what was no emphasis, as in 2*3*4 and __init__, and links to elsewhere than the web."""
    opened: list[tuple[Token, bool]] = []
    for at, token in enumerate(children):
        if token.nesting == 1:
            after = children[at + 1].content
            is_wrong = (
                (
                    token.markup == "*"
                    and at > 0
                    and children[at - 1].type == "text"
                    and children[at - 1].content[-1:].isalnum()
                )
                or (token.markup == "__" and re.fullmatch("[a-z][a-z0-9_]*", after) and children[at + 2].nesting == -1)
                or (token.type == "link_open" and not _is_web(str(token.attrs["href"])))
            )
            opened.append((token, bool(is_wrong)))
        elif token.nesting == -1 and opened:
            first, is_wrong = opened.pop()
            if is_wrong:
                first.type, first.content, first.nesting = "text", "" if first.tag == "a" else first.markup, 0
                token.type, token.content, token.nesting = "text", first.content, 0
        elif token.type == "image":
            token.meta["is_inside"] = any(each.type == "link_open" for each, _ in opened)


def _is_kept(url: str) -> bool:
    """Links, and pictures inside a text: of these only a chip is shown."""
    return _is_web(url) or url.startswith("data:image/")


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _parser() -> MarkdownIt:
    options = {"html": False, "store_labels": True, "maxNesting": MAX_NESTING}
    parser = MarkdownIt("commonmark", options, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    parser.validateLink = _is_kept  # type: ignore[method-assign]
    parser.block.ruler.before("fence", "math_block", _math_block, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("escape", "latex", _latex)
    parser.inline.ruler.at("newline", _line_break)
    parser.core.ruler.at("inline", _inlines)
    return parser


# Writing


class _Renderer(RendererHTML):
    """Headings below the page's own, numbers of lists as they were given, links and pictures that fetch nothing."""

    def paragraph_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        return '<p class="aimm-tight">' if tokens[at].hidden else "<p>"

    def paragraph_close(self, *_: Any) -> str:
        return "</p>"

    def heading_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        return f"<h{min(6, int(tokens[at].tag[1]) + 2)}>"

    def heading_close(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        return f"</h{min(6, int(tokens[at].tag[1]) + 2)}>"

    def list_item_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        return f'<li value="{int(tokens[at].info)}">' if tokens[at].info else "<li>"

    def table_open(self, *_: Any) -> str:
        return '<div class="aimm-scroll" tabindex="0"><table>'

    def table_close(self, *_: Any) -> str:
        return "</table></div>"

    def link_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        return _link(str(tokens[at].attrs["href"]))

    def image(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        address, token = str(tokens[at].attrs["src"]), tokens[at]
        name = f"picture {token.content}".rstrip()
        words = html.escape(f"{name} · {urlsplit(address).netloc or 'inside the text'}")
        is_link = _is_web(address) and not token.meta.get("is_inside")
        chip = f'<span class="aimm-chip" title="Pictures are not fetched">{words}</span>'
        return f"{_link(address)}{chip}</a>" if is_link else chip


def _link(address: str) -> str:
    href = html.escape(address)
    return f'<a href="{href}" target="_blank" rel="noopener noreferrer nofollow" title="{href}">'


_PARSER = _parser()
