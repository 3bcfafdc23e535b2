"""Statements between arms, such as `plain56 > plain20`, and their verdicts by the interval of the difference.

A side of a statement is a sum: `wide - narrow > 2 * deep - 0.01`. For every seed that all arms of the statement have,
the difference of the two sides is one number. The 95 % interval of its mean is Student's.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from kerasnets.registry import did_you_mean

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
_TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d+)?)(?:\s*\*\s*([a-z]\w*))?|([a-z]\w*))")
_FORM = "A statement should look like `deep < shallow`, `a - b > c` or `a < b + 0.01`"


class Statement(NamedTuple):
    """The claim that `sum(factors[arm] * value of arm) + constant` is above zero; `strict`: zero is not enough."""

    text: str
    factors: dict[str, float]
    constant: float
    strict: bool


class Interval(NamedTuple):
    """A mean and its 95 % interval; `low` and `high` are `None` where the numbers say nothing about their spread."""

    mean: float
    low: float | None
    high: float | None


class Judgement(NamedTuple):
    """A statement, what its left side has over its right one, on how many seeds, and the verdict."""

    statement: str
    difference: Interval | None
    seeds: int
    verdict: str


def parse_statement(text: str, arms) -> Statement:
    """Returns a statement.

    Raises:
        ValueError: it cannot be read, or names an arm that there is not.
    """
    sides = re.split(r"(>=|<=|>|<)", text)
    if len(sides) != 3:
        raise ValueError(f"{_FORM}. Received: {text!r}")
    left, sign, right = sides
    factors, constant = {}, 0.0
    for side, direction in ((left, 1.0), (right, -1.0)):
        for factor, arm in _terms(side, text):
            if arm is None:
                constant += direction * factor
            elif arm in arms:
                factors[arm] = factors.get(arm, 0.0) + direction * factor
            else:
                raise ValueError(f"there is no arm {arm!r}.{did_you_mean(arm, arms)} Received: {text!r}")
    if not factors:
        raise ValueError(f"{_FORM}. Received: {text!r}")
    if "<" in sign:
        factors, constant = {arm: -factor for arm, factor in factors.items()}, -constant
    return Statement(text, factors, constant, "=" not in sign)


def _terms(side: str, text: str) -> list[tuple[float, str | None]]:
    found, end = [], 0
    while side[end:].strip():
        match = _TERM.match(side, end)
        if not match or (found and not match[1]):
            raise ValueError(f"{_FORM}. Received: {text!r}")
        found.append((float(f"{match[1]}{match[2] or 1}"), match[3] or match[4]))
        end = match.end()
    if not found:
        raise ValueError(f"{_FORM}. Received: {text!r}")
    return found


def judge(statement: Statement, values: Mapping[str, Mapping[int, float]], exact: bool = False) -> Judgement:
    """Judges a statement.

    Args:
        values: arm -> seed -> the measure.
        exact: whether the measure does not depend on chance, such as a number of parameters.

    Returns:
        *Holds* where the whole interval of the difference is on the stated side of zero, *does not hold* where it is on
        the other side, otherwise *undecided*; also with fewer than two seeds.
    """
    seeds = set.intersection(*(set(values.get(arm, {})) for arm in statement.factors))
    differences = [
        statement.constant + sum(factor * values[arm][seed] for arm, factor in statement.factors.items())
        for seed in sorted(seeds)
    ]
    if not differences:
        return Judgement(statement.text, None, 0, UNDECIDED)
    found = interval(differences, exact)
    return Judgement(statement.text, found, len(differences), _verdict(found, statement.strict))


def _verdict(found: Interval, strict: bool) -> str:
    if found.low is None:
        return UNDECIDED
    if found.low > 0 or (found.low == 0 and not strict):
        return HOLDS
    return FAILS if found.high < 0 or (found.high == 0 and strict) else UNDECIDED


def overall(judgements) -> str:
    """Returns the verdict of all statements together."""
    verdicts = {judgement.verdict for judgement in judgements}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else UNDECIDED


def interval(numbers: list[float], exact: bool = False) -> Interval:
    """Returns the mean and its 95 % interval by Student's t.

    Without a spread there is no interval: one number, or equal ones of a measure that chance decides, such as the error
    on few images.
    """
    from scipy import stats

    mean = math.fsum(numbers) / len(numbers)
    if exact and max(numbers) == min(numbers):
        return Interval(mean, mean, mean)
    if len(numbers) < 2 or max(numbers) == min(numbers) or not all(map(math.isfinite, numbers)):
        return Interval(mean, None, None)
    low, high = stats.t.interval(0.95, len(numbers) - 1, loc=mean, scale=stats.sem(numbers))
    return Interval(mean, float(low), float(high))
