"""How far a painting may go from its photo while a style is learned: the weight of content follows the distance."""

import math

RATE = 0.1  # of the weight's logarithm, for each step and each relative unit of distance
REMEMBERED = 20  # steps whose mean distance counts: one crop alone says little
MOST = 4.0  # the weight stays within this factor, and its inverse


class ContentBudget:
    """Holds the mean content distance at what is allowed.

    No one weight serves all paintings: one with a photo's colors costs little content, others much. So the weight rises
    while what is painted is further from its photo than allowed, and falls while it is nearer, as a Lagrange multiplier
    does (GECO, Rezende & Viola 2018, algorithm 1).

    Args:
        allowed: distance, in units of the content term without its weight.
    """

    def __init__(self, allowed: float) -> None:
        self.allowed, self.factor = allowed, 1.0
        self._mean, self._steps = 0.0, 0

    def follow(self, distance: float) -> float:
        """Take in one step's distance; returns the factor on the weight from here on."""
        if not math.isfinite(distance):  # such a step is left out
            return self.factor
        self._steps += 1
        self._mean += (distance - self._mean) / min(self._steps, REMEMBERED)
        moved = math.log(self.factor) + RATE * (self._mean / self.allowed - 1)
        self.factor = math.exp(min(max(moved, -math.log(MOST)), math.log(MOST)))
        return self.factor
