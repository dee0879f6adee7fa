"""The decision record: what was tested, found and decided, in a Markdown file that can be checked."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from core.clock import to_us
from core.domain.experiment import Decision, Experiment, Phase
from core.errors import InvalidRequest
from core.experiments.analysis import Analysis, Contrast, VariantResult
from core.experiments.decision import Traffic
from core.experiments.words import names
from core.formats import strict_json as json
from core.statistics.interval import Interval

_OPEN, _CLOSE = "```json aimm-experiment\n", "\n```"
METHOD = (
    "Differences come with a normal-mixture confidence sequence: an interval that holds at every look, however often"
    " and for whatever reason one looks or stops. Shares of single units are exact beta-binomial sequences;"
    " p95 by counts in bins. Phases are compared within themselves. See docs/statistics.md."
)


def to_data(  # noqa: PLR0913 - all that a record states
    experiment: Experiment,
    analysis: Analysis,
    decision: Decision,
    traffic: Traffic,
    *,
    data_hash: str,
    price_ids: list[str],
    written_at: str,
) -> dict[str, Any]:
    """Everything that a record states, as JSON values; an infinite bound is null."""
    return {
        "experiment": _experiment(experiment),
        "phases": [_phase(phase) for phase in experiment.phases],
        "variants": [_result(result) for result in analysis.results],
        "contrasts": [_contrast(contrast) for contrast in analysis.contrasts],
        "guardrails": [
            {"variant": g.variant.name, **asdict(g.guardrail), "state": g.state, "excess": _bounds(g.excess)}
            for g in analysis.guards
        ],
        "level": analysis.confidence_level,
        "comparisons": analysis.n_comparisons,
        "sample_ratio": {"log_e_value": analysis.log_ratio_evidence, "mismatch": analysis.is_ratio_mismatch},
        "not_counted": {
            "units": analysis.n_not_counted, "in_two_variants": analysis.n_multiple,
            "late": analysis.n_late, "orphans": analysis.n_orphans,
        },
        "decision": {
            "action": decision.action, "headline": decision.headline,
            "reasons": list(decision.reasons), "winner": decision.winner,
        },
        "traffic": {"units": traffic.units, "calls": traffic.calls},
        "written_at": written_at,
        "price_rows": price_ids,
        "data_hash": data_hash,
    }  # fmt: skip


def _experiment(experiment: Experiment) -> dict[str, Any]:
    return {
        "id": experiment.id,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "unit": experiment.unit,
        "salt": experiment.salt,
        "status": experiment.status,
        "created_at": to_us(experiment.created_at),
        "stopped_at": None if experiment.stopped_at is None else to_us(experiment.stopped_at),
        "ended": experiment.ended,
        "design": _design(experiment),
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "phase": phase.number,
        "started_at": to_us(phase.started_at),
        "variants": [
            {
                "name": v.name,
                "model": v.model,
                "weight": v.weight,
                "prompt_version": v.prompt_version,
                "shadow": v.is_shadow,
            }
            for v in phase.variants
        ],
    }


def _result(r: VariantResult) -> dict[str, Any]:
    return {
        "name": r.variant.name,
        "exposed": r.n_exposed,
        "outcomes": r.n_outcomes,
        "successes": r.n_successes,
        "ratings": r.n_ratings,
        "calls": r.n_calls,
        "errors": r.n_errors,
        "unpriced": r.n_unpriced,
        "cost_usd": r.cost_usd,
        "estimates": {metric: _bounds(interval) for metric, interval in sorted(r.estimates.items())},
    }


def _contrast(c: Contrast) -> dict[str, Any]:
    return {
        "variant": c.variant.name,
        "metric": c.metric,
        "difference": _bounds(c.difference),
        "relative": None if c.relative is None else _bounds(c.relative),
        "p_value": _number(c.p_value),
        "claimed": c.is_claimed,
        "units": c.n,
    }


def _design(experiment: Experiment) -> dict[str, Any]:
    """Without the cache where there is none: records from before it knew of it stay true."""
    design = asdict(experiment.design)
    if design["cache_s"] is None:
        del design["cache_s"]
    return design


def render(data: dict[str, Any]) -> str:
    """The record as Markdown, with its data in a block at the end."""
    paragraphs = (
        *_finding(data),
        "## Method",
        f"{METHOD} Level {100 * data['level']:.4g}% shared by {data['comparisons']} comparisons.",
        "## Phases",
        _table("phase | variants (weight)", map(_phase_row, data["phases"])),
        "## Variants",
        _table(
            "variant | units | outcomes | successes | calls | errors | cost USD", map(_variant_row, data["variants"])
        ),
        "## Differences to the control",
        _table(
            "variant | metric | difference | lower | upper | p (always valid) | claimed",
            map(_difference_row, data["contrasts"]),
        ),
        _evidence(data),
        "## Data",
        "Check it with `aimm experiments verify FILE`.",
        _OPEN + json.dumps(data, indent=1, sort_keys=True) + _CLOSE + "\n",
    )
    return "\n\n".join(paragraphs)


def _finding(data: dict[str, Any]) -> Iterator[str]:
    e, design, decision = data["experiment"], data["experiment"]["design"], data["decision"]
    yield f"# Decision record: {_cell(e['name'])}"
    yield f"**{_cell(decision['headline'])}**"
    yield "\n".join(f"- {_cell(reason)}" for reason in decision["reasons"])
    yield f"Hypothesis: {_cell(e['hypothesis'])}"
    rule = design["rule"].replace("_", " ") + (f" (margin {design['margin']:g})" if design["margin"] else "")
    written = f"Status: {e['status']}. Written {data['written_at']}."
    yield f"Unit: {e['unit']}. Primary metric: {names(design['primary'])}. Rule: {rule}. {written}"


def _evidence(data: dict[str, Any]) -> str:
    ratio, prices = data["sample_ratio"], ", ".join(data["price_rows"])
    return (
        f"Sample ratio: log e-value {_text(ratio['log_e_value'])}"
        f" (alarm from 4.605 on): {'mismatch' if ratio['mismatch'] else 'as planned'}.\n"
        f"Data: SHA-256 {data['data_hash']}. Price rows: {prices or 'none'}."
    )


def _table(columns: str, rows: Iterable[tuple[Any, ...]]) -> str:
    """A table of Markdown; columns: Their names between bars."""
    ruler = "---".join("|" * (columns.count("|") + 2))
    return "\n".join([f"| {columns} |", ruler, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _phase_row(p: dict[str, Any]) -> tuple[Any, ...]:
    return p["phase"], ", ".join(_cell(f"{v['name']}: {v['model']} ({v['weight']})") for v in p["variants"])


def _variant_row(v: dict[str, Any]) -> tuple[Any, ...]:
    counts = (v[name] for name in ("exposed", "outcomes", "successes", "calls", "errors"))
    return _cell(v["name"]), *counts, "unknown" if v["cost_usd"] is None else f"{v['cost_usd']:.6f}"


def _difference_row(c: dict[str, Any]) -> tuple[Any, ...]:
    numbers = map(_text, (*c["difference"], c["p_value"]))
    return _cell(c["variant"]), names(c["metric"]), *numbers, "yes" if c["claimed"] else "no"


def parse(text: str) -> dict[str, Any]:
    """The data of a record. Raises: InvalidRequest"""
    start = text.rfind(_OPEN)
    end = text.find(_CLOSE, start + len(_OPEN))
    if start < 0 or end < 0:
        raise InvalidRequest("This file has no data block of a decision record.")
    try:
        data = json.loads(text[start + len(_OPEN) : end])
        data["experiment"]["id"] + data["written_at"]
        {**data["traffic"]}
    except (ValueError, KeyError, TypeError):
        raise InvalidRequest("The data block of this record cannot be read.") from None
    found: dict[str, Any] = data
    return found


def counts_shadows(stated: dict[str, Any]) -> bool:
    """Tell if a record knows what shadows were asked: those from before it do not, and stay true."""
    shadows = {v["name"] for phase in stated["phases"] for v in phase["variants"] if v["shadow"]}
    return any(v["calls"] for v in stated["variants"] if v["name"] in shadows)


def compare(stated: Any, found: Any, path: str = "") -> list[str]:
    """Disagreements of two records, each as a sentence."""
    if isinstance(stated, dict) and isinstance(found, dict):
        keys = sorted(stated.keys() | found.keys())
        return [line for key in keys for line in compare(stated.get(key), found.get(key), f"{path}.{key}".strip("."))]
    if isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        pairs = enumerate(zip(stated, found, strict=True))
        return [line for at, (a, b) in pairs for line in compare(a, b, f"{path}[{at}]")]
    if isinstance(stated, float) and isinstance(found, (int, float)):
        if math.isclose(stated, found, rel_tol=1e-6, abs_tol=1e-9):
            return []
    elif stated == found:
        return []
    return [f"{path}: the record says {stated!r}, the database {found!r}"]


def _bounds(interval: Interval) -> list[float | None]:
    return [_number(value) for value in interval]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _cell(text: str) -> str:
    """A text of one line that is no cell, link, picture, code or tag of Markdown."""
    return re.sub(r"[|`\[<]", r"\\\g<0>", " ".join(text.split()))
