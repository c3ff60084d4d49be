"""Text that people read."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.text import clean, count, duration, moment, number, percent, shown

SPACE = "\u202f"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0, "0"),
        (Decimal("-0.00"), "0"),
        (7, "7"),
        (9_999, "9999"),
        (10_000, f"10{SPACE}000"),
        (12_847, f"12{SPACE}847"),
        (-12_847, f"-12{SPACE}847"),
        (1_234_567, f"1{SPACE}234{SPACE}567"),
        (2**63 + 1, f"9{SPACE}223{SPACE}372{SPACE}036{SPACE}854{SPACE}775{SPACE}809"),
        (10**399, "≈ 1.00e+399"),
        (Decimal("80.0"), "80"),
        (Decimal("12.50"), "12.5"),
        (Decimal("2E+1"), "20"),
        (Decimal("12847.25"), f"12{SPACE}847.25"),
        (Decimal("1E-7"), "0.0000001"),
        (10**30, "≈ 1.00e+30"),
        (Decimal("1E-60"), "≈ 1.00e\u221260"),
        (Decimal("-1.239E+300"), "≈ \u22121.24e+300"),
    ],
)
def test_numbers(value: int | Decimal, text: str):
    assert number(value) == text


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers() | st.builds(Decimal, st.builds("{}E{}".format, st.integers(), st.integers(-390, 390))))
def test_a_number_is_never_long(value: int | Decimal):
    assert len(number(value)) <= 40


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("33.3", "+33.3 %"),
        ("-12.5", "\u221212.5 %"),
        ("100", "+100.0 %"),
        ("0.0", "< 0.1 %"),
        ("-0.0", "< 0.1 %"),
        ("0.1", "+0.1 %"),
        ("1E+30", "+1e+30 %"),
    ],
)
def test_percentages(value: str, text: str):
    assert percent(Decimal(value)) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 models"), (1, "1 model"), (2, "2 models"), (12_000, f"12{SPACE}000 models")]
)
def test_counts(n: int, text: str):
    assert count(n, "model") == text


def test_a_plural_may_be_given():
    assert [count(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.4, "0 s"),
        (40, "40 s"),
        (59.6, "1 m"),
        (60, "1 m"),
        (61, "1 m 1 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (11_520, "3 h 12 m"),
        (86_400 * 5 + 3_700, "5 d 1 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_durations(seconds: float, text: str):
    assert duration(timedelta(seconds=seconds)) == text


def test_moments_are_utc_and_say_so():
    assert moment(datetime(2026, 3, 2, 9, 0, 59, 999, tzinfo=UTC)) == "2026-03-02 09:00:59 UTC"
    east = timezone(timedelta(hours=2))
    assert moment(datetime(2026, 3, 2, 9, 0, tzinfo=east)) == "2026-03-02 07:00:00 UTC"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("two\r\nlines\tand\u2028more\x85end", "two lines and more end"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u00adf", "abcdef"),
        ("nul\0byte", "nulbyte"),
        ("half \ud800 pair", "half  pair"),
        ("tag\U000e0041ged", "tagged"),
        ("cafe\u0301", "café"),
        ("日本語 🎬", "日本語 🎬"),
    ],
)
def test_cleaned_text_does_nothing(text: str, cleaned: str):
    assert clean(text) == cleaned


def test_long_text_is_cut():
    assert clean("x" * 10_000, 20) == "x" * 19 + "…"
    assert clean("x" * 20, 20) == "x" * 20


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(st.characters(), max_size=300), st.integers(1, 50))
def test_cleaned_text_is_one_harmless_line(text: str, limit: int):
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not {unicodedata.bidirectional(c) for c in cleaned} & {
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
        "PDI",
    }
    assert clean(cleaned, limit) == cleaned


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("1K", "1K"),
        ("1", '"1"'),
        ("true", '"true"'),
        (None, "null"),
        (True, "true"),
        (12_847, f"12{SPACE}847"),
        (Decimal("0.50"), "0.5"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_values_for_people(value: object, text: str):
    assert shown(value) == text
