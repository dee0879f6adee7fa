"""Colours can be read, and told apart by readers with weak colour vision."""

import itertools
import tomllib

import numpy as np
import pytest

from core.vendors import VENDORS
from dashboard.charts import colours
from dashboard.charts.colours import INKS, SHADES, Mode
from tests.conftest import ROOT

MODES: tuple[Mode, ...] = ("light", "dark")
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SIMULATED = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    high, low = sorted((float(TO_XYZ[1] @ linear(each)) for each in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, matrix: list[list[float]]) -> np.ndarray:
    seen = np.clip(np.array(matrix) @ linear(colour), 0, 1)
    xyz = TO_XYZ @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_contrast_is_as_wcag_computes_it():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_texts_stand_out_from_their_ground(mode: Mode):
    ink = INKS[mode]
    texts = {
        name: contrast(getattr(ink, name), ink.ground) for name in ("text", "muted", "fail", "warn", "good", "brand")
    }

    assert {name: value for name, value in texts.items() if value < 4.5} == {}


@pytest.mark.parametrize("simulated", SIMULATED)
@pytest.mark.parametrize("mode", MODES)
def test_vendors_and_failure_differ_for_every_eye(mode: Mode, simulated: str):
    firsts = {vendor: shades[mode][0] for vendor, shades in SHADES.items()} | {"failure": INKS[mode].fail}
    seen = {name: lab(colour, SIMULATED[simulated]) for name, colour in firsts.items()}
    near = {
        (a, b): round(float(np.linalg.norm(seen[a] - seen[b])), 1) for a, b in itertools.combinations(sorted(seen), 2)
    }

    assert {pair: distance for pair, distance in near.items() if distance < 15} == {}


def test_each_vendor_has_a_hue_and_a_model_keeps_its_shade():
    ordered = {"a": ("gemini", 0), "b": ("gemini", 1), "c": ("openai", 0), "d": ("someone", 0)}
    found = {name: colours.of_model(name, ordered, "light") for name in (*ordered, "never seen")}

    assert set(VENDORS) <= set(SHADES)
    assert len(set(found.values())) == 4  # the two of no known vendor share one
    assert colours.of_model("a", {**ordered, "e": ("gemini", 2)}, "light") == found["a"]


def test_charts_have_the_ground_and_the_texts_of_the_theme():
    theme = tomllib.loads((ROOT / "dashboard" / ".streamlit" / "config.toml").read_text())["theme"]
    for mode in MODES:
        ink, given = INKS[mode], theme[mode]
        assert (ink.ground, ink.text, ink.brand) == (
            given["backgroundColor"],
            given["textColor"],
            given["primaryColor"],
        )
        assert (ink.fail, ink.warn, ink.good) == (given["redColor"], given["orangeColor"], given["greenColor"])


def test_names_on_chips_can_be_read():
    grounds = {shade for modes in SHADES.values() for shades in modes.values() for shade in shades}
    grounds |= {getattr(ink, name) for ink in INKS.values() for name in ("brand", "muted", "good", "fail")}
    chips = {ground: colours.chip(ground) for ground in grounds}

    # Streamlit writes black on a luminance over a half, else white.
    ink = {chip: "#000000" if float(TO_XYZ[1] @ linear(chip)) > 0.5 else "#ffffff" for chip in chips.values()}
    assert {chip for chip, text in ink.items() if contrast(chip, text) < 4.5} == set()
    assert colours.chip("#123b85") == "#123b85"
