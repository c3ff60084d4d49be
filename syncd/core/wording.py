"""How each kind of change is said in one line. Data first: a kind's phrase is one entry here.

In a phrase ``**so**`` is bold and ``{name}`` is a value shown as code: `slug`, `param`, `attribute`, `old`, `new`.
`{verb}` is bold and follows the severity: Narrowed what breaks, Widened what only adds, Changed the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from syncd.core import credits
from syncd.core.canon import MISSING, Json, Missing, dumps
from syncd.core.changes import Change
from syncd.core.message import Span, bold, code, flat
from syncd.core.text import clean, number, percent, shown

_BOUNDS: Final = {
    "max": "maximum",
    "min": "minimum",
    "step": "step",
    "max-length": "greatest length",
    "min-length": "least length",
    "max-items": "greatest number of elements",
    "min-items": "least number of elements",
}


_OF_BOUND: Final = {f"param.{name}": what for name, what in _BOUNDS.items()}


def _moves(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{move}" for move in ("added", "removed", "changed"))


PHRASES: Final[Mapping[str, str]] = {
    "catalogue.baseline": "**First catalogue**, models: {models}",
    "account.tier.changed": "**Plan** {old} → {new}",
    "account.tier.recased": "**Plan** {old} → {new}, the same in other letters",
    "account.tier.appeared": "**Plan** is now stated: {new}",
    "account.tier.disappeared": "**Plan** {old} is no longer stated",
    **{
        f"account.rate-limit.{name}.{move}": f"**Limit** {what} {how}"
        for name, what in (("calls-per-minute", "calls a minute"), ("concurrent-jobs", "jobs at a time"))
        for move, how in (
            ("lowered", "{old} → {new}"),
            ("raised", "{old} → {new}"),
            ("zeroed", "{old} → {new}: nothing may run"),
            ("limit-removed", "{old} is no longer stated"),
            ("limit-added", "is now stated: {new}"),
            ("invalid", "cannot be read: {old} → {new}"),
        )
    },
    "account.rate-limit.limit-removed": "**Limits** are no longer stated",
    "account.rate-limit.limit-added": "**Limits** are now stated: {new}",
    "account.credits-balance.changed": "**Balance** {old} → {new}",
    **dict.fromkeys(_moves("account.attr-unknown"), "**Account field** {attribute} {old} → {new}"),
    "model.added": "**Unlocked** {slug}",
    "model.returned": "**Back** {slug}",
    "model.removed": "**Removed** {slug}",
    "model.category.changed": "**Category** {old} → {new}",
    "model.name.changed": "**Name** {old} → {new}",
    "model.creator.changed": "**Creator** {old} → {new}",
    "model.description.changed": "**Description** changed",
    "model.example-request.changed": "**Example request** changed",
    "model.params.replaced": "**Parameters** are not published on one side: their effect cannot be decided",
    **dict.fromkeys(_moves("model.attr-unknown"), "**Field** {attribute} {old} → {new}"),
    "catalogue.duplicate-slug.conflicting": "**Listed more than once** with different contents",
    "catalogue.duplicate-slug.resolved": "**Listed once** again",
    "param.added.optional": "**Added (safe)** {param}",
    "param.added.optional-with-default": "**Added (safe)** {param}, default {new_default}",
    "param.added.required": "**Added, required** {param}",
    "param.added.required-with-default": "**Added, required** {param}, although it states a default",
    "param.removed": "**Removed** {param}",
    "param.became-required": "**Now required** {param}",
    "param.became-required-with-default": "**Now required** {param}, although it states a default",
    "param.became-optional": "**Now optional** {param}",
    "param.required.normalised": "{param} spells “optional” differently",
    "param.required.invalid": "{param} has an unreadable “required”: {old} → {new}",
    "param.replaced": "{param} cannot be read on one side",
    "param.type.widened": "**Widened** {param} type {old} → {new}",
    "param.type.narrowed": "**Narrowed** {param} type {old} → {new}",
    "param.type.changed": "**Changed** {param} type {old} → {new}",
    "param.type.equivalent": "{param} type {old} → {new}, the same values",
    "param.type.alias": "{param} type {old} → {new}, the same type",
    "param.type.missing": "**Changed** {param} type {old} → {new}, which cannot be read",
    "param.type.undecided": "**Changed** {param} type {old} → {new}, of which the effect is unknown",
    **{
        f"param.{name}.{move}": f"{{verb}} {{param}} {what} {how}"
        for name, what in _BOUNDS.items()
        for move, how in (
            ("lowered", "{old} → {new}"),
            ("raised", "{old} → {new}"),
            ("added", "is now {new}"),
            ("removed", "{old} is gone"),
            ("null-absent", "is still not stated"),
        )
    },
    "param.step.changed": "{verb} {param} step {old} → {new}",
    "param.pattern.added": "{verb} {param} must now match {new}",
    "param.pattern.removed": "{verb} {param} need no longer match {old}",
    "param.pattern.changed": "{verb} {param} must match {new} and no longer {old}",
    "param.items.added": "{verb} {param} elements are now stated: {new}",
    "param.items.removed": "{verb} {param} elements are no longer stated (were {old})",
    "param.items.changed": "{verb} {param} elements {old} → {new}",
    "param.nullable.added": "{verb} {param} may now be null",
    "param.nullable.removed": "{verb} {param} may no longer be null",
    "param.nullable.normalised": "{param} spells “not null” differently",
    "param.format.changed": "**Changed** {param} format {old} → {new}, of which the effect is unknown",
    "param.renamed": "**Renamed** {param} → {replacement}",
    "param.enum.value-recased": "{verb} {param} spells {old} as {new}",
    "param.enum.value-removed": "{verb} {param} no longer accepts {old}",
    "param.enum.value-added": "{verb} {param} now accepts {new}",
    "param.enum.reordered": "{param} lists its values in another order",
    "param.enum.duplicate-added": "{param} lists {new} once more",
    "param.enum.duplicate-removed": "{param} lists {old} once less",
    "param.enum.values-unpublished": "{param} list of values {old} → {new}",
    "param.default.changed": "**Default** of {param} {old} → {new}: requests that leave it out get another result",
    "param.default.removed": "**Default** of {param} is no longer stated (was {old})",
    "param.default.added": "**Default** of {param} is now stated: {new}",
    "param.default.null-absent": "{param} still states no default",
    "param.doc.changed": "{param} {attribute} changed",
    "param.deprecated.normalised": "{param} spells “deprecated” differently",
    "param.deprecated.set": "**Deprecated** {param}",
    "param.deprecated.cleared": "{param} is no longer deprecated",
    "param.attr-misplaced": "{param} {attribute} changed, which means nothing on its type",
    **dict.fromkeys(_moves("param.attr-unknown"), "{param} {attribute} {old} → {new}, of which the effect is unknown"),
}

_VERBS: Final = {"breaking": "Narrowed", "additive": "Widened", "risky": "Changed", "informational": "Changed"}
_PIECE: Final = re.compile(r"\*\*(.+?)\*\*|\{(\w+)\}")


def phrase(change: Change) -> tuple[Span, ...]:
    """The change in one line, without its model's name (which stands in the title or before it)."""
    if change.kind.startswith("credits.band."):
        return _price(change)
    # A kind of a newer version's, after this one was put back.
    template = _unreadable(change) or PHRASES.get(change.kind, f"**{change.kind}** {{old}} → {{new}}")
    spans: list[Span] = []
    at = 0
    for piece in _PIECE.finditer(template):
        spans.append(Span(template[at : piece.start()]))
        spans.append(bold(piece[1]) if piece[1] else _field(piece[2], change))
        at = piece.end()
    return tuple(span for span in (*spans, Span(template[at:])) if span.text)


def _unreadable(change: Change) -> str | None:
    """What is said of a bound that counts as added or removed because the other side means nothing; None of others."""
    stem, _, move = change.kind.rpartition(".")
    what = _OF_BOUND.get(stem)
    if what is None or any(side is MISSING or side is None for side in (change.before, change.after)):
        return None
    if move == "removed":
        return f"{{verb}} {{param}} {what} {{old}} → {{raw_new}}, which cannot be read"
    return f"{{verb}} {{param}} {what} {{raw_old}}, which cannot be read, → {{new}}" if move == "added" else None


def summary(change: Change) -> str:
    """The change as one plain sentence that names its model: what `change_log.summary` holds."""
    words = flat(phrase(change))
    whole_model = change.kind in ("model.added", "model.removed", "model.returned") or change.slug is None
    return clean(words if whole_model else f"{change.slug}: {words}", 300)


def _field(name: str, change: Change) -> Span:
    match name:
        case "verb":
            return bold(_VERBS[change.severity])
        case "old":
            return _value(change.before)
        case "new":
            return _value(change.after)
        case "raw_old":
            return _raw(change.before)
        case "raw_new":
            return _raw(change.after)
        case "slug":
            return code(clean(change.slug or "", 120))
        case "param":
            return code(clean(change.path[3], 80))
        case "attribute":
            return code(clean(change.path[-1], 80))
    return _value(change.detail.get(name, MISSING))


def _value(value: Json | Missing) -> Span:
    return Span("(not stated)") if value is MISSING or value is None else code(shown(value))


def _raw(value: Json) -> Span:
    return code(clean(dumps(value), 80))


def _price(change: Change) -> tuple[Span, ...]:
    """Minimum 90 → 120 (+33.3 %), maximum 400 → 520 (+30 %); what did not move is not said."""
    old, new = (credits.read_band(None if side is MISSING else side) for side in (change.before, change.after))
    if old.form != "ok" or new.form != "ok":
        return (bold("Credits"), Span(f" {price_text(change.before)} → {price_text(change.after)}"))
    edges = [
        (bold(name), Span(f" {number(a)} → {number(b)}{_percent(a, b)}"))
        for name, a, b in (("Minimum", old.low, new.low), ("Maximum", old.high, new.high))
        if a != b
    ]
    if not edges:
        return (bold("Credits"), Span(f" {price_text(change.after)}, spelled differently"))
    return tuple(span for n, edge in enumerate(edges) for span in ((Span(", "),) if n else ()) + edge)


def _percent(old: int | Decimal, new: int | Decimal) -> str:
    moved = credits.percent(old, new)
    return "" if moved is None else f" ({percent(moved)})"


def price_text(stated: Json | Missing) -> str:
    """A price for people: 80 to 211, 80, at least 80, not stated, unreadable (min -5, max 10)."""
    match credits.read_band(None if stated is MISSING else stated):
        case credits.Band("ok", low, high):
            return number(low) if low == high else f"{number(low)} to {number(high)}"
        case credits.Band("partial", low, None):
            return f"at least {number(low)}"
        case credits.Band("partial", None, high):
            return f"at most {number(high)}"
        case credits.Band("crossed", low, high):
            return f"{number(low)} to {number(high)} (crossed)"
        case credits.Band("unknown"):
            return "not stated"
    return f"unreadable ({_ends(stated)})"


def _ends(stated: Json) -> str:
    """What is stated where a price belongs, as sent."""
    if not isinstance(stated, Mapping):
        return clean(dumps(stated), 40)
    ends = [(name, stated.get(name)) for name in ("min", "max")]
    return ", ".join(f"{name} {clean(dumps(end), 24)}" for name, end in ends if end is not None)


def spec_line(name: str, spec: Json) -> str:
    """A parameter's whole spec on one line: ``duration: integer 2..10 step 2 = 5 (required)``."""
    if not isinstance(spec, Mapping):
        return clean(f"{name}: {shown(spec)}", 160)
    default = "" if spec.get("default") is None else f" = {shown(spec['default'], 40)}"
    return clean(f"{name}: {_admitted(spec)}{default}{' (required)' if spec.get('required') is True else ''}", 160)


# Lists within lists are told so deep.
_DEEPEST: Final = 3


def _admitted(spec: Mapping[str, Json], depth: int = 0) -> str:
    """What may be sent: ``array of (string matching ^a) 1..3 or null``."""
    parts = (
        f"{shown(spec.get('type', '?'), 40)}{_values(spec.get('values'))}{_elements(spec.get('items'), depth)}",
        _extent(spec, "min", "max"),
        _extent(spec, "min_length", "max_length", " characters"),
        _extent(spec, "min_items", "max_items"),
        *(f"{word} {shown(spec[at], 60)}" for at, word in _LIMITS.items() if spec.get(at) is not None),
        "or null" if spec.get("nullable") is True else "",
    )
    return " ".join(part for part in parts if part)


_LIMITS: Final = {"step": "step", "pattern": "matching", "format": "format"}


def _values(values: Json) -> str:
    if not isinstance(values, list):
        return ""
    return "[" + ", ".join(shown(v, 24) for v in values[:12]) + (", …" if len(values) > 12 else "") + "]"  # noqa: PLR2004


def _elements(items: Json, depth: int) -> str:
    if items is None:
        return ""
    if not isinstance(items, Mapping):
        return f" of {shown(items, 40)}"
    inner = "…" if depth == _DEEPEST else _admitted(items, depth + 1)
    return f" of ({inner})" if " " in inner else f" of {inner}"


def _extent(spec: Mapping[str, Json], low: str, high: str, unit: str = "") -> str:
    ends = [spec.get(low), spec.get(high)]
    if ends == [None, None]:
        return ""
    return "..".join("" if end is None else shown(end, 20) for end in ends) + unit
