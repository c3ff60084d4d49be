"""Credit bands: every outcome over small bands, percent, thresholds."""

from __future__ import annotations

import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from syncd.core.credits import Band, flags, moved_by, outcome, percent, read_band
from syncd.core.rules import RULES

EDGES: list[Any] = [None, 0, 1, 2, Decimal("2.5"), 3, 4, -1, "80", True, [], Decimal("4.0")]
RAWS: list[Any] = [None, 5, "free", [], {}, {"min": 1, "max": 2, "unit": "credits"}] + [
    {"min": low, "max": high} for low, high in itertools.product(EDGES, EDGES)
]
PAIRS = list(itertools.product(RAWS, RAWS))

FORMS: list[tuple[Any, Band]] = [
    (None, Band("unknown")),
    ({}, Band("unknown")),
    ({"min": None}, Band("unknown")),
    ([], Band("invalid")),
    (80, Band("invalid")),
    ({"min": "80", "max": 90}, Band("invalid")),
    ({"min": True, "max": 90}, Band("invalid")),
    ({"min": -1, "max": 90}, Band("invalid")),
    ({"min": 80}, Band("partial", 80, None)),
    ({"max": 80, "min": None}, Band("partial", None, 80)),
    ({"min": 90, "max": 80}, Band("crossed", 90, 80)),
    ({"min": 80, "max": 80}, Band("ok", 80, 80)),
    ({"min": Decimal("0.5"), "max": 80}, Band("ok", Decimal("0.5"), 80)),
]


@pytest.mark.parametrize(("raw", "expected"), FORMS)
def test_a_band_has_one_normal_form(raw, expected):
    assert read_band(raw) == expected


def test_every_move_has_exactly_one_outcome_and_the_rules_know_it():
    outcomes = {f"credits.band.{outcome(read_band(a), read_band(b))}" for a, b in PAIRS}
    assert outcomes == {rule for rule in RULES if rule.startswith("credits.band.")}


def test_the_way_back_is_the_inverse():
    for raw_a, raw_b in PAIRS:
        a, b = read_band(raw_a), read_band(raw_b)
        there, back = (RULES[f"credits.band.{outcome(*pair)}"] for pair in ((a, b), (b, a)))
        assert (there.inverse, back.inverse) == (back.id, there.id)


def test_every_rule_about_bands_is_the_inverse_of_its_inverse():
    for rule in RULES.values():
        if rule.id.startswith("credits.band."):
            assert RULES[rule.inverse].inverse == rule.id


def test_a_price_that_may_rise_is_never_called_cheaper():
    for raw_a, raw_b in PAIRS:
        a, b = read_band(raw_a), read_band(raw_b)
        if a.form == b.form == "ok":
            dearer = b.low > a.low or b.high > a.high
            cheaper = not dearer and (b.low < a.low or b.high < a.high)
            expected = (
                "risky" if dearer or (b.low, b.high) == (None, None) else "additive" if cheaper else "informational"
            )
            assert RULES[f"credits.band.{outcome(a, b)}"].severity == expected, (a, b)


MOVES = [
    ((80, 100), (101, 120), "raised-disjoint"),
    ((80, 100), (100, 120), "raised"),
    ((80, 100), (80, 101), "ceiling-raised"),
    ((80, 100), (81, 100), "floor-raised"),
    ((80, 100), (79, 101), "widened"),
    ((80, 100), (90, 91), "narrowed"),
    ((80, 100), (60, 79), "lowered-disjoint"),
    ((80, 100), (60, 80), "lowered"),
    ((80, 100), (80, 99), "ceiling-lowered"),
    ((80, 100), (79, 100), "floor-lowered"),
    ((80, 100), (Decimal("80.0"), 100), "raw-changed"),
    ((80, 80), (90, 90), "raised-disjoint"),
]


@pytest.mark.parametrize(("old", "new", "expected"), MOVES)
def test_a_move_is_named_after_its_edges(old, new, expected):
    assert outcome(Band("ok", *old), Band("ok", *new)) == expected


PERCENT = [
    (90, 120, "33.3"),
    (400, 520, "30.0"),
    (100, 50, "-50.0"),
    (1000, Decimal("1000.5"), "0.0"),  # 0.05 % lies in the middle: half to even
    (1000, Decimal("1001.5"), "0.2"),
    (1000, Decimal("1002.5"), "0.2"),
    (1000, Decimal("998.5"), "-0.2"),
    (3, 1, "-66.7"),
    (1, 0, "-100.0"),
    (Decimal("0.1"), Decimal("0.3"), "200.0"),
]


@pytest.mark.parametrize(("old", "new", "expected"), PERCENT)
def test_percent_is_exact_to_a_tenth_half_to_even(old, new, expected):
    found = percent(old, new)
    assert str(found).replace("-0.0", "0.0") == expected


@pytest.mark.parametrize("new", [0, 5])
def test_from_zero_there_is_no_percentage(new):
    assert percent(0, new) is None


def test_percent_of_absurd_prices_is_exact_too():
    assert percent(1, 10**60) == Decimal(10**62 - 100)
    assert percent(Decimal("1E-300"), 1) is not None


FLAGS = [
    ((80, 100), (90, 90), {"collapsed": True, "min_percent": Decimal("12.5"), "max_percent": Decimal("-10.0")}),
    ((80, 80), (80, 100), {"expanded": True, "max_percent": Decimal("25.0")}),
    ((0, 80), (0, 100), {"max_percent": Decimal("25.0")}),
    ((0, 80), (10, 80), {"from_zero": True, "min_percent": None, "min_delta": 10}),
    (
        (40, 80),
        (0, 0),
        {"collapsed": True, "to_zero": True, "min_percent": Decimal(-100), "max_percent": Decimal(-100)},
    ),
    ((40, 80), (40, Decimal("80.5")), {"non_integer": True, "max_percent": Decimal("0.6")}),
]


@pytest.mark.parametrize(("old", "new", "expected"), FLAGS)
def test_what_is_special_about_a_move_is_remarked(old, new, expected):
    assert flags(Band("ok", *old), Band("ok", *new)) == expected


def test_flags_of_anything_never_raise():
    for a, b in PAIRS:
        flags(read_band(a), read_band(b))


THRESHOLDS = [
    ((100, 200), (110, 200), 10, True),
    ((100, 200), (109, 200), 10, False),
    ((100, 200), (100, 180), 10, True),
    ((100, 200), (100, 181), 10, False),
    ((0, 200), (1, 200), 1000, True),
    ((0, 0), (0, 0), 0, False),
    ((3, 3), (4, 4), Decimal("33.3"), True),
    ((3, 3), (4, 4), Decimal("33.4"), False),
]


@pytest.mark.parametrize(("old", "new", "threshold", "expected"), THRESHOLDS)
def test_a_band_moved_by_a_threshold_if_either_edge_did(old, new, threshold, expected):
    assert moved_by(Band("ok", *old), Band("ok", *new), Decimal(threshold)) == expected


def test_what_cannot_be_read_always_moved():
    ok = Band("ok", 1, 1)
    assert all(moved_by(*pair, Decimal(50)) for pair in ((ok, Band("unknown")), (Band("invalid"), ok)))


def test_a_percentage_reaches_its_own_threshold():
    for old, new in itertools.product(range(1, 9), repeat=2):
        exact = abs(Fraction(new - old, old)) * 100
        assert moved_by(Band("ok", old, old), Band("ok", new, new), Decimal(25)) == (exact >= 25)
