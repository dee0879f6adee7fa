"""What the analysis carries, in words. Pure."""

from core.domain.experiment import Decision
from core.experiments.analysis import Analysis, Contrast, required_for
from core.statistics.sequential import MIN_PER_SIDE


def decide(analysis: Analysis) -> Decision:
    """A decision with its reasons; a higher rate alone never makes a winner.

    ship: the success rate differs from the control's by an interval that holds at every look and leaves out 0.
    hold: the sample ratio is off, so that no comparison can be trusted. inconclusive: everything else.
    """
    if analysis.is_ratio_mismatch:
        return Decision(
            action="hold",
            headline="Hold: the split is not what the weights promise",
            reasons=(
                "Units fell on the variants in another ratio than planned, more than chance explains.",
                "Something drops or doubles units; until it is found, the rates cannot be compared.",
            ),
        )
    served = [result for result in analysis.results if result.variant.weight > 0]
    smallest = min((result.outcomes.n_outcomes for result in served), default=0)
    if smallest < MIN_PER_SIDE:
        return Decision(
            action="inconclusive",
            headline="Inconclusive: too few outcomes",
            reasons=(
                f"The smallest variant has {smallest} outcomes; nothing is claimed before {MIN_PER_SIDE} a variant.",
            ),
        )
    better = [c for c in analysis.contrasts if c.success and c.success.lower > 0]
    if better:
        return _ship(analysis, max(better, key=lambda c: c.success.estimate if c.success else 0.0))
    if analysis.contrasts and all(c.success and c.success.upper < 0 for c in analysis.contrasts):
        control = served[0].variant
        return Decision(
            action="ship",
            headline=f"Keep {control.name}: every other variant is worse",
            reasons=tuple(_words(c, analysis.confidence_level) for c in analysis.contrasts),
            winner=control.position,
        )
    return _inconclusive(analysis)


def _ship(analysis: Analysis, best: Contrast) -> Decision:
    reasons = [_words(best, analysis.confidence_level), "The interval holds however often it was looked at."]
    if len(analysis.contrasts) > 1:
        reasons.append(f"It is corrected for {len(analysis.contrasts)} comparisons with the control.")
        reasons.append("Variants other than the control were not compared with each other.")
    return Decision(
        action="ship", headline=f"Ship {best.variant.name}", reasons=tuple(reasons), winner=best.variant.position
    )


def _inconclusive(analysis: Analysis) -> Decision:
    reasons = [_words(contrast, analysis.confidence_level) for contrast in analysis.contrasts]
    top = max(analysis.contrasts, key=lambda c: abs(c.success.estimate) if c.success else 0.0)
    control = next(result for result in analysis.results if result.variant.weight > 0).success_rate
    if top.success and control and abs(top.success.estimate) >= 0.001:
        needed = required_for(top.success.estimate, control.estimate)
        reasons.append(
            f"If the difference is as large as it looks now, about {needed:,} outcomes a variant would show it."
        )
    return Decision(
        action="inconclusive", headline="Inconclusive: the data do not carry a decision", reasons=tuple(reasons)
    )


def _words(contrast: Contrast, confidence_level: float) -> str:
    s = contrast.success
    if s is None:
        return f"{contrast.variant.name}: no outcomes to compare."
    return (
        f"{contrast.variant.name}: {100 * s.estimate:+.1f} points of success rate against the control"
        f" ({100 * s.lower:+.1f} to {100 * s.upper:+.1f}, {100 * confidence_level:.4g} % at every look)."
    )
