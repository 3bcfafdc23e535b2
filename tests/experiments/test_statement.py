"""Statements between arms: how they are read, and what the interval of the difference decides."""

import math

import pytest

from kerasnets.experiments.statement import FAILS, HOLDS, UNDECIDED, interval, judge, overall, parse_statement

ARMS = ("deep", "shallow", "other")


def verdict(text, *, exact=False, **numbers):
    values = {arm: dict(enumerate(found)) for arm, found in numbers.items()}
    return judge(parse_statement(text, ARMS), values, exact).verdict


def test_the_interval_of_the_difference_decides():
    close = {"deep": [0.30, 0.31, 0.32], "shallow": [0.10, 0.12, 0.12]}
    assert verdict("deep > shallow", **close) == HOLDS
    assert verdict("deep < shallow", **close) == FAILS
    assert verdict("deep < shallow + 0.5", **close) == HOLDS
    assert verdict("deep > 2 * shallow", deep=[0.3, 0.31, 0.32], shallow=[0.1, 0.1, 0.1]) == HOLDS
    assert verdict("deep - shallow > other", **close, other=[0.5, 0.5, 0.5]) == FAILS


def test_overlapping_intervals_of_two_seeds_are_undecided():
    assert verdict("deep > shallow", deep=[0.3, 0.2], shallow=[0.1, 0.25]) == UNDECIDED
    assert verdict("deep < shallow", deep=[0.3, 0.2], shallow=[0.1, 0.25]) == UNDECIDED


def test_seeds_are_paired():
    """The arms overlap widely, but each seed moves both of them alike."""
    shallow = [0.1, 0.5, 0.9]
    assert verdict("deep > shallow", deep=[0.12, 0.53, 0.92], shallow=shallow) == HOLDS
    assert verdict("deep > shallow", deep=[0.92, 0.53, 0.12], shallow=shallow) == UNDECIDED


def test_without_a_spread_only_an_exact_measure_is_decided():
    same = {"deep": [3.0, 3.0], "shallow": [2.0, 2.0]}
    assert verdict("deep > shallow", **same) == UNDECIDED and verdict("deep > shallow", **same, exact=True) == HOLDS
    equal = {"deep": [2.0], "shallow": [2.0]}
    assert verdict("deep > shallow", **equal, exact=True) == FAILS
    assert verdict("deep >= shallow", **equal, exact=True) == HOLDS
    assert verdict("deep < shallow", **equal) == UNDECIDED


def test_only_seeds_that_all_arms_have_count():
    statement = parse_statement("deep > shallow", ARMS)
    found = judge(statement, {"deep": {0: 1.0, 1: 2.0, 2: 3.0}, "shallow": {1: 1.0, 2: 2.5, 5: 9.0}})
    assert found.seeds == 2 and found.difference.mean == 0.75
    assert judge(statement, {"deep": {0: 1.0}, "shallow": {}}).verdict == UNDECIDED


def test_the_interval_is_student_s():
    """Three numbers with mean 2 and deviation 1; the quantile of 2 degrees of freedom is 4.302653."""
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0 and math.isclose(found.high, 2 + 4.302653 / math.sqrt(3), rel_tol=1e-6)
    assert interval([1.0]) == (1.0, None, None)


def test_all_statements_must_hold():
    judged = [judge(parse_statement("deep > shallow", ARMS), {"deep": {0: a, 1: b}, "shallow": {0: 0, 1: 0}})
              for a, b in ((1, 1.1), (-1, -1.1), (5, -5))]  # fmt: skip
    assert [j.verdict for j in judged] == [HOLDS, FAILS, UNDECIDED]
    assert overall(judged[:1]) == HOLDS and overall(judged[::2]) == UNDECIDED and overall(judged) == FAILS
    assert overall([]) == UNDECIDED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("deep", "A statement should look like"),
        ("deep > shallow > other", "A statement should look like"),
        ("deep > ", "A statement should look like"),
        ("deep ~ shallow", "A statement should look like"),
        ("deep shallow > other", "A statement should look like"),
        ("1 > 2", "A statement should look like"),
        ("dep > shallow", "there is no arm 'dep'. Did you mean 'deep'"),
    ],
)
def test_wrong_statements(text, message):
    with pytest.raises(ValueError, match=message):
        parse_statement(text, ARMS)
