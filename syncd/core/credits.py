"""Credit bands: what a band says, how one moved, and by how many percent. Only processes data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from syncd.core.canon import Json, is_number, same

Form: TypeAlias = Literal["ok", "partial", "unknown", "crossed", "invalid"]


@dataclass(frozen=True, slots=True)
class Band:
    """The price of one result in credits. `unknown` means not published, never free."""

    form: Form
    low: Json = None
    high: Json = None


def read_band(raw: object) -> Band:
    """The normal form of a ``credits_band`` as sent; anything at all may be passed."""
    if not isinstance(raw, Mapping):
        return Band("unknown" if raw is None else "invalid")
    low, high = raw.get("min"), raw.get("max")
    if not all(edge is None or (is_number(edge) and edge >= 0) for edge in (low, high)):
        return Band("invalid")
    if low is None and high is None:
        return Band("unknown")
    if low is None or high is None:
        return Band("partial", low, high)
    return Band("ok" if low <= high else "crossed", low, high)


# (sign of the minimum's move, sign of the maximum's move) -> id. (0, 0) is no move.
_MOVES: Final[Mapping[tuple[int, int], str]] = {
    (1, 1): "raised",
    (0, 1): "ceiling-raised",
    (1, 0): "floor-raised",
    (-1, 1): "widened",
    (1, -1): "narrowed",
    (-1, -1): "lowered",
    (0, -1): "ceiling-lowered",
    (-1, 0): "floor-lowered",
    (0, 0): "raw-changed",
}
_PUBLICATION: Final[Mapping[tuple[Form, Form], str]] = {("ok", "unknown"): "disappeared", ("unknown", "ok"): "appeared"}


def outcome(a: Band, b: Band) -> str:
    """The id, behind ``credits.band.``, of the move from `a` to `b`.

    Total, exclusive, and antisymmetric with its inverse.
    """
    if a.form != b.form:
        return _PUBLICATION.get((a.form, b.form), f"{a.form}-to-{b.form}")
    if a.form == "ok":
        move = _MOVES[_sign(a.low, b.low), _sign(a.high, b.high)]
        disjoint = (move == "raised" and b.low > a.high) or (move == "lowered" and b.high < a.low)
        return f"{move}-disjoint" if disjoint else move
    if a.form == "invalid":
        return "invalid-changed"
    unmoved = same(a.low, b.low) and same(a.high, b.high)
    return "raw-changed" if unmoved else f"{a.form}-changed"


def _sign(old: Json, new: Json) -> int:
    return int(new > old) - int(new < old)


def flags(a: Band, b: Band) -> dict[str, Json]:
    """Remarks for a change's detail: percent per edge, and what is special about the new band."""
    found: dict[str, Json] = {}
    for name, old, new in (("min", a.low, b.low), ("max", a.high, b.high)):
        if old is not None and new is not None and old != new:
            found[f"{name}_percent"] = percent(old, new)
            found |= {f"{name}_delta": new} if old == 0 else {}
    if a.form == b.form == "ok":
        special = {
            "collapsed": a.low != a.high and b.low == b.high,
            "expanded": a.low == a.high and b.low != b.high,
            "from_zero": (a.low == 0 != b.low) or (a.high == 0 != b.high),
            "to_zero": b.high == 0,
            "non_integer": any(edge != int(edge) for edge in (b.low, b.high)),
        }
        found.update({name: True for name, holds in special.items() if holds})
    return found


def percent(old: Json, new: Json) -> Decimal | None:
    """How far `new` lies from `old`, to a tenth, half to even; None from zero, where no percentage means anything."""
    if old == 0:
        return None
    exact = (Fraction(new) - Fraction(old)) * 100 / Fraction(old)
    tenths = round(exact * 10)  # Fraction rounds half to even
    # Made from text: arithmetic on a Decimal keeps 28 digits, and a price may have hundreds.
    return Decimal(f"{tenths}E-1")


def moved_by(a: Band, b: Band, threshold: Decimal) -> bool:
    """Whether either edge moved by at least `threshold` percent; from zero or from an unreadable band always."""
    if a.form != "ok" or b.form != "ok":
        return True
    return any(
        old != new and (old == 0 or abs(Fraction(new) - Fraction(old)) * 100 >= Fraction(threshold) * Fraction(old))
        for old, new in ((a.low, b.low), (a.high, b.high))
    )
