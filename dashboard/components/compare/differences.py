"""The words in which two answers differ, told from their plain texts."""

import difflib
import re
from html import escape
from itertools import combinations
from typing import Any

import streamlit as st
from markdown_it import MarkdownIt

from dashboard import theme

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"  # scripts that part words by no spaces: a sign is a word
_WORD = re.compile(rf"(\n|[{_WIDE}]|[^\s{_WIDE}]+)([^\S\n]*)")
MANY_WORDS = 1_000  # from here on, frequent words find no partner: each with each would take seconds
MANY_PAIRS = 6


def choose(place: Any, names: dict[int, str]) -> tuple[int, int] | None:
    """Two positions to compare word by word; None = no differences are to be shown."""
    pairs = {f"{names[a]}–{names[b]}": (a, b) for a, b in combinations(names, 2)}
    given = {"label": "Differences", "key": "compare_difference", "label_visibility": "collapsed"}
    if len(pairs) <= MANY_PAIRS:
        place.markdown("Differences", width="content")
        chosen = place.pills(options=list(pairs), **given)
    else:
        chosen = place.selectbox(options=list(pairs), index=None, placeholder="Differences", width=170, **given)
    return pairs.get(chosen)


def draw(place: Any, before: str, after: str, name: str) -> None:
    """Draw an answer with its words that `before` lacks, and those of `before` that it lacks struck."""
    found = marked(before, after)
    place.caption(
        f"Struck: only in {name}. Marked: only here." if "<del>" in found or "<ins>" in found else "Same words."
    )
    place.html(f'<div class="aimm-difference" style="--tone:{theme.ink().brand}">{found}</div>')


@st.cache_data(max_entries=100, show_spinner=False)
def marked(before: str, after: str) -> str:
    """The second text as HTML: its own words in <ins>, and the first one's in <del>."""
    old, new = (_WORD.findall(plain_text(text)) for text in (before, after))
    is_long = max(len(old), len(new)) > MANY_WORDS
    matcher = difflib.SequenceMatcher(None, [word for word, _ in old], [word for word, _ in new], autojunk=is_long)
    parts = []
    for kind, a, b, c, d in matcher.get_opcodes():
        gone, come = ("".join(map("".join, tokens)) for tokens in (old[a:b], new[c:d]))
        if kind == "equal":
            parts.append(escape(come))
        else:
            bare = come.strip()
            lines, spaces = come[: len(come) - len(come.lstrip())], come[len(come.rstrip()) :] if bare else ""
            parts += [_tagged("del", gone.strip(), " "), lines, _tagged("ins", bare), spaces]
    return "".join(parts)


def _tagged(tag: str, text: str, space: str = "") -> str:
    return f"<{tag}>{escape(text)}</{tag}>{space}" if text else ""


def plain_text(text: str) -> str:
    """An answer without the signs of Markdown; addresses of links stay."""
    lines = []
    for token in _MARKDOWN.parse(text):
        if token.type == "inline":
            lines.append("".join(_inline(token.children or [])))
        elif token.type in ("fence", "code_block"):
            lines.append(token.content.rstrip("\n"))
    return "\n".join(lines)


def _inline(tokens: Any) -> list[str]:
    parts, targets = [], []
    for token in tokens:
        if token.type == "link_open":
            targets.append("" if token.info == "auto" else f" ({token.attrs.get('href', '')})")
        elif token.type == "link_close":
            parts.append(targets.pop())
        else:
            parts.append("\n" if token.type in ("softbreak", "hardbreak") else token.content)
    return parts
