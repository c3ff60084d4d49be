"""Text that people read: vendor text made harmless, numbers, durations and times in one style. Only processes data."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from syncd.core.canon import Json, dumps

# What could act on a terminal or deceive the eye: control characters (escape sequences begin with one), bidi marks and
# overrides, characters without an extent, annotations, invisible tags, lone surrogates. Line ends and tabs become
# spaces first.
_HARMFUL: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BREAKS: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_ELLIPSIS: Final = "…"
# Exact beyond this is exact for nobody.
_MOST_DIGITS: Final = 24
_MOST_PERCENT: Final = 1_000_000
# Up to so many digits a number reads well ungrouped.
_UNGROUPED: Final = 4


_LIKE_JSON: Final = re.compile(r"true|false|null|-?\d{1,20}(\.\d{1,20})?")


def clean(text: str, limit: int = 200) -> str:
    """The text on one line, without anything that acts, at most `limit` characters."""
    # Of a text of megabytes only so much is looked at; what acts is rarely most of it.
    start = text[: 16 * limit + 1024]
    flat = unicodedata.normalize("NFC", _HARMFUL.sub("", _BREAKS.sub(" ", start)))
    return flat if len(flat) <= limit else flat[: limit - 1] + _ELLIPSIS


def shown(value: Json, limit: int = 80) -> str:
    """A JSON value for people: text as it is, numbers grouped, the rest as JSON."""
    if isinstance(value, str):
        # A text that reads like another type's value is quoted: "1" is not 1, and "true" not true.
        return dumps(value) if _LIKE_JSON.fullmatch(value) else clean(value, limit) or '""'
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return number(value)
    return clean(dumps(value), limit)


def number(value: int | Decimal) -> str:
    """Groups of three behind a narrow no-break space from 10,000 upwards: 9999, 12 847. Very long ones: ≈ 1.23e+40."""
    text = str(value) if isinstance(value, int) else format(value, "f")  # "f" would make a float of an int
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if len(text) > _MOST_DIGITS:
        return f"≈ {Decimal(value):.2e}".replace("-", "\u2212")
    whole, dot, rest = text.partition(".")
    if len(whole.lstrip("-")) > _UNGROUPED:
        whole = f"{int(whole):,}".replace(",", "\u202f")
    return whole + dot + rest if text != "-0" else "0"


def percent(value: Decimal) -> str:
    """Signed, one decimal: +33.3 %. It stands for a move, so what rounds to nothing is said to be little."""
    if value == 0:
        return "< 0.1 %"
    text = f"{value:+.1f}" if abs(value) < _MOST_PERCENT else f"{value:+.0e}"
    return f"{text} %".replace("-", "\u2212")


def count(n: int, noun: str, plural: str = "") -> str:
    """1 model, 2 models."""
    return f"{number(n)} {noun if n == 1 else plural or noun + 's'}"


def duration(span: timedelta) -> str:
    """The two greatest units: 3 h 12 m, 5 d 1 h, 40 s."""
    seconds = max(0, round(span.total_seconds()))
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        if (amount := seconds // size) or (name == "s" and not parts):
            parts.append(f"{amount} {name}")
            seconds -= amount * size
        elif parts:
            break
    return " ".join(parts[:2])


def moment(at: datetime) -> str:
    """UTC to the second, named as such."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def fold(text: str) -> str:
    """The text without what people overlook: case, space around it, and how its accents are composed."""
    # Folding the case of a composed letter may take it apart.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).strip().casefold())
