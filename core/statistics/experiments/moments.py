"""Sufficient statistics of pairs (x, y), one pair a unit: enough for means and ratios, whatever the number of units.

Kept centred (means and sums of squared differences from them), because sums of squares lose all digits where the mean
is large against the spread. Source of the updates: Welford (1962), Technometrics 4; Chan, Golub, LeVeque (1983),
The American Statistician 37.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.statistics.means import Sample

Pairs = NDArray[np.float64]  # shape (units, 2): x and y


@dataclass(frozen=True, slots=True)
class Moments:
    """n units, the means of x and z, and the sums Σ(x−x̄)², Σ(x−x̄)(z−z̄), Σ(z−z̄)², where z = y − origin·x.

    The origin is near Σy / Σx and stays as it was first: what varies is then not lost beside what does not, however
    large the values are. For units with x = 1 and origin 0, z is y itself.
    """

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    m_xx: float = 0.0
    m_xy: float = 0.0
    m_yy: float = 0.0
    origin: float = 0.0

    @property
    def sum_x(self) -> float:
        return self.n * self.mean_x

    @property
    def sum_y(self) -> float:
        return self.n * (self.mean_y + self.origin * self.mean_x)

    def changed(self, removed: Pairs, added: Pairs) -> "Moments":
        """With units taken out and put in; a unit whose totals changed is in both. Shapes (any, 2): x and y."""
        n = self.n + len(added) - len(removed)
        if n <= 0:
            return Moments()
        origin = self.origin
        if not self.n:
            sums = added.sum(axis=0)
            origin = float(sums[1] / sums[0]) if sums[0] > 0 else 0.0
        shear = np.array([[1.0, -origin], [0.0, 1.0]])
        added, removed = added @ shear, removed @ shear
        centre = np.array([self.mean_x, self.mean_y]) if self.n else added[0]
        plus, minus = added - centre, removed - centre
        shift = plus.sum(axis=0) - minus.sum(axis=0)
        squares = plus.T @ plus - minus.T @ minus - np.outer(shift, shift) / n
        mean = centre + shift / n
        m_xx, m_yy = max(0.0, squares[0, 0] + self.m_xx), max(0.0, squares[1, 1] + self.m_yy)
        m_xy = float(squares[0, 1] + self.m_xy)
        return Moments(n, float(mean[0]), float(mean[1]), float(m_xx), m_xy, float(m_yy), origin)

    def rebased(self, origin: float) -> "Moments":
        """The same units with another origin."""
        d = self.origin - origin
        if not d:
            return self
        m_yy = self.m_yy + 2 * d * self.m_xy + d * d * self.m_xx
        return Moments(
            self.n,
            self.mean_x,
            self.mean_y + d * self.mean_x,
            self.m_xx,
            self.m_xy + d * self.m_xx,
            max(0.0, m_yy),
            origin,
        )

    def merged(self, other: "Moments") -> "Moments":
        """Both together."""
        n = self.n + other.n
        if not self.n or not other.n:
            return self if self.n else other
        other = other.rebased(self.origin)
        dx, dy, weight = other.mean_x - self.mean_x, other.mean_y - self.mean_y, self.n * other.n / n
        return Moments(
            n,
            self.mean_x + dx * other.n / n,
            self.mean_y + dy * other.n / n,
            self.m_xx + other.m_xx + dx * dx * weight,
            self.m_xy + other.m_xy + dx * dy * weight,
            self.m_yy + other.m_yy + dy * dy * weight,
            self.origin,
        )

    def without(self, part: "Moments") -> "Moments":
        """The rest when a part of it is taken out."""
        n = self.n - part.n
        if n <= 0 or not part.n:
            return self if not part.n else Moments()
        part = part.rebased(self.origin)
        mean_x = (self.sum_x - part.sum_x) / n
        mean_y = (self.n * self.mean_y - part.n * part.mean_y) / n
        dx, dy, weight = part.mean_x - mean_x, part.mean_y - mean_y, part.n * n / self.n
        return Moments(
            n,
            mean_x,
            mean_y,
            max(0.0, self.m_xx - part.m_xx - dx * dx * weight),
            self.m_xy - part.m_xy - dx * dy * weight,
            max(0.0, self.m_yy - part.m_yy - dy * dy * weight),
            self.origin,
        )

    def ratio(self) -> Sample | None:
        """Σy / Σx as the mean of one linearised value a unit; None without any x.

        With x = 1 for every unit it is the mean of y. The variance is of (y − r·x) / x̄: the delta method with the
        unit as what was randomised, so that several requests of one user do not count as several users.

        Source: Deng, Knoblich, Lu (2018), KDD, arXiv:1803.06336.
        """
        if self.n < 1 or self.mean_x <= 0:
            return None
        r = self.mean_y / self.mean_x  # of z: small, because the origin is near
        residual = self.m_yy - 2 * r * self.m_xy + r * r * self.m_xx
        variance = max(0.0, residual) / max(1, self.n - 1) / self.mean_x**2
        return Sample(self.n, self.origin + r, variance)


def of(pairs: Pairs) -> Moments:
    return Moments().changed(np.empty((0, 2)), pairs) if len(pairs) else Moments()
