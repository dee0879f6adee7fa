"""Colours with one meaning each: hue = vendor, shade = model, red = failure and nothing else.

All of them come in a set for light and one for dark ground; a test computes their contrast and how far apart they stay
for readers with weak colour vision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mode = Literal["light", "dark"]
Ordered = Mapping[str, tuple[str, int]]  # by the name of a model: its vendor, and its place among the vendor's models


@dataclass(frozen=True, slots=True, kw_only=True)
class Ink:
    """The colours of a theme.

    panel: The ground of what stands out a little, as in the theme.
    pale_good: The ground of what is as it should be, so that the rest stands out.
    ground, text, muted, grid, axis: Of a chart; `ground` parts what lies on each other.
    fail, warn, good: Of states; `fail` for failure alone.
    brand: Of what is neither a model nor a state.
    unpriced: Of what has no known price.
    answered: Of calls that went well, beside failures.
    percentiles: p50, p95, p99, in one hue.
    tokens: Input, cached, thinking, output.
    failures: By class; `other` for what has no colour of its own.
    """

    mode: Mode
    ground: str
    panel: str
    pale_good: str
    text: str
    muted: str
    grid: str
    axis: str
    fail: str
    warn: str
    good: str
    brand: str
    unpriced: str
    answered: str
    percentiles: tuple[str, str, str]
    tokens: tuple[str, str, str, str]
    failures: Mapping[str, str]


LIGHT = Ink(
    mode="light",
    ground="#ffffff",
    panel="#f5f7fa",
    pale_good="#e3f1ea",
    text="#1a2330",
    muted="#5a6675",
    grid="#e8ecf1",
    axis="#aab4c0",
    fail="#c92a2a",
    warn="#9c5d00",
    good="#1a7f4b",
    brand="#1f5fd0",
    unpriced="#7a4fc9",
    answered="#a9b6c6",
    percentiles=("#27364a", "#6b7f99", "#b4c0cf"),
    tokens=("#27364a", "#a9b6c6", "#ccd5df", "#6b7f99"),
    failures={
        "rate_limited": "#c92a2a",
        "provider_timeout": "#e8736b",
        "provider_unavailable": "#7d1a1a",
        "blocked": "#f0aaa4",
        "truncated": "#d9c2c0",
        "other": "#b3655f",
    },
)
DARK = Ink(
    mode="dark",
    ground="#0f141b",
    panel="#171e27",
    pale_good="#17382a",
    text="#e6eaf0",
    muted="#9aa7b6",
    grid="#222b36",
    axis="#4b5866",
    fail="#ff7b72",
    warn="#f0b429",
    good="#4cc38a",
    brand="#79a8ff",
    unpriced="#b79bff",
    answered="#46556a",
    percentiles=("#e6eaf0", "#95a5ba", "#566577"),
    tokens=("#e6eaf0", "#46556a", "#2f3b4a", "#95a5ba"),
    failures={
        "rate_limited": "#ff7b72",
        "provider_timeout": "#c4453d",
        "provider_unavailable": "#ffb3ad",
        "blocked": "#8a2b26",
        "truncated": "#6b4a48",
        "other": "#b06a64",
    },
)
INKS: Mapping[Mode, Ink] = {"light": LIGHT, "dark": DARK}

# Four shades a vendor, the strongest first, on light and on dark ground. Vendors differ in lightness too.
_OTHERS = "other"
SHADES: Mapping[str, Mapping[Mode, tuple[str, ...]]] = {
    "gemini": {
        "light": ("#1f5fd0", "#6f9fea", "#123b85", "#b3cdf5"),
        "dark": ("#79a8ff", "#3f6fd1", "#b9d2ff", "#28508f"),
    },
    "openai": {
        "light": ("#2fa595", "#0b6b61", "#a9ded7", "#07564f"),
        "dark": ("#8fe6d8", "#1c8578", "#3fc7b6", "#12594f"),
    },
    "anthropic": {
        "light": ("#d08a1e", "#8a5200", "#f0c070", "#5c3600"),
        "dark": ("#e2a33c", "#a56a12", "#f6d394", "#6e470c"),
    },
    "ollama": {
        "light": ("#3b1f73", "#8b6fd0", "#5f3fa8", "#c3b0ec"),
        "dark": ("#6a4cc0", "#b79bff", "#dccfff", "#523c93"),
    },
    "simulated": {
        "light": ("#5a6675", "#4f7d74", "#8a6584", "#c7ced6"),
        "dark": ("#9aa7b6", "#5f8a80", "#8f6f8a", "#465260"),
    },
    _OTHERS: {
        "light": ("#bc84d6", "#8c3f86", "#5b2456", "#e3c3e0"),
        "dark": ("#823e57", "#d68fd0", "#ecc6e8", "#633060"),
    },
}


def of_model(name: str, ordered: Ordered, mode: Mode) -> str:
    """A model's colour, the same on all pages; of one that was never seen, its vendor's `other`."""
    vendor, place = ordered.get(name, (_OTHERS, 0))
    shades = SHADES.get(vendor, SHADES[_OTHERS])[mode]
    return shades[place % len(shades)]


def of_contestant(position: int, mode: Mode) -> str:
    """A contestant's colour in its evaluation, beside its letter: several may ask one model."""
    vendors = list(SHADES)
    return SHADES[vendors[position % len(vendors)]][mode][position // len(vendors) % 4]


def of_failure(name: str, ink: Ink) -> str:
    return ink.failures.get(name, ink.failures["other"])


def chip(colour: str) -> str:
    """The colour as the ground of a chip in a table, on which Streamlit writes in black from luminance 0.5 on, below in
    white: darker or lighter, as little as needed for a contrast of 4.5."""
    if not colour.startswith("#"):
        return colour
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    mixed = parts + (np.array([[0], [255]]) - parts) * np.linspace(0, 1, 51)[:, None, None]
    luminance = (mixed / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722)
    return "#{:02x}{:02x}{:02x}".format(*mixed[(luminance < 0.175) | (luminance > 0.51)][0].round().astype(int))
