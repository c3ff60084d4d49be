"""From what is due at one destination to one message: grouping, order, wording. Only processes data.

    due ── the same change of several keys becomes one item that names them
        ── items fall into sections: conditions, breaking parameters, removed, prices, unlocked, the rest
        ── one section: its own design and title;  several: one message, a section after the other

The worst comes first. A message holds at most `MOST_LINES` items of a section; the rest is counted, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final, Literal, TypeAlias

from syncd.core import credits, wording
from syncd.core.canon import Json, dumps
from syncd.core.changes import Change
from syncd.core.compat import is_required
from syncd.core.message import Block, Bullets, Code, Message, Paragraph, Quote, Span, Table, bold, code
from syncd.core.rules import CONDITIONS, Severity, rank
from syncd.core.text import clean, count, duration, moment, shown

MOST_LINES: Final = 25
# Few enough to show how to start with each.
MOST_EXAMPLES: Final = 3

EMOJI: Final[Mapping[Severity, str]] = {"breaking": "🔴", "risky": "🟠", "additive": "🟢", "informational": "⚪"}

Edge: TypeAlias = Literal["opened", "closed"]


@dataclass(frozen=True, slots=True)
class ChangeDue:
    """A change that a destination is to be told of."""

    announcement: int
    key: str
    at: datetime
    change: Change


@dataclass(frozen=True, slots=True)
class ConditionDue:
    """An edge of a condition that a destination is to be told of. `keys` are those it names and the destination may see."""

    announcement: int
    keys: tuple[str, ...]
    at: datetime
    kind: str
    edge: Edge
    subject: str
    opened_at: datetime
    detail: Mapping[str, Json]


Due: TypeAlias = ChangeDue | ConditionDue


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to say: a change, and every key it happened to."""

    change: Change
    keys: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Section:
    """One family's part of a message."""

    kind: str
    severity: Severity
    emoji: str
    title: str
    blocks: tuple[Block, ...]
    keys: tuple[str, ...]
    at: datetime


def compose(due: Sequence[Due], reference: str) -> Message:
    """One message that says everything that is due. `reference` is the delivery's id; `due` is not empty."""
    sections = sorted((*_conditions(due), *_changes(due)), key=lambda section: rank(section.severity))
    keys = tuple(dict.fromkeys(key for section in sections for key in section.keys))
    severity = sections[0].severity
    context = (
        f"{EMOJI[severity]} {severity}",
        f"{'key' if len(keys) == 1 else 'keys'} {_names(keys)}",
        f"detected {moment(min(section.at for section in sections))}",
        reference,
    )
    if len(sections) == 1:
        (only,) = sections
        return Message(only.kind, severity, only.emoji, only.title, _sentence(only.title, severity), only.blocks, context)
    title = f"{len(sections)} things changed for {_names(keys)}"
    blocks = [block for section in sections for block in (Paragraph((bold(f"{section.emoji} {section.title}"),)), *section.blocks)]
    summary = _sentence("; ".join(section.title for section in sections), severity)
    return Message("digest", severity, "📦", title, summary, tuple(blocks), context)


def _sentence(text: str, severity: Severity) -> str:
    return clean(f"{severity.capitalize()}: {text}", 300)


def _names(keys: Sequence[str]) -> str:
    """A few names, and how many more."""
    few = 4
    named = ", ".join(clean(key, 64) for key in keys[:few])
    return named + (f" and {len(keys) - few} more" if len(keys) > few else "")


# --- changes -------------------------------------------------------------------------------------------------------


def _changes(due: Iterable[Due]) -> Iterable[Section]:
    items = _items(one for one in due if isinstance(one, ChangeDue))
    families: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        families.setdefault(_family(item.change), []).append(item)
    for (family, _), members in families.items():
        yield DESIGNS[family](members)


def _items(due: Iterable[ChangeDue]) -> list[Item]:
    """The same change of several keys is one item."""
    grouped: dict[str, list[ChangeDue]] = {}
    for one in due:
        grouped.setdefault(one.change.fingerprint, []).append(one)
    return [
        Item(same[0].change, tuple(dict.fromkeys(one.key for one in same)), min(one.at for one in same)) for same in grouped.values()
    ]


def _family(change: Change) -> tuple[str, str]:
    """The design a change is shown in, and what its section is about where each model has one of its own."""
    if change.kind in ("model.added", "model.returned"):
        return "models_unlocked", ""
    if change.kind == "model.removed":
        return "models_removed", ""
    if change.kind.startswith("credits.band."):
        return "price_changed", ""
    if change.slug is not None and change.kind.startswith("param."):
        return "parameters_changed", change.slug
    return "other_changed", change.slug or ""


Design: TypeAlias = Callable[[list[Item]], Section]


def _section(kind: str, emoji: str, title: str, items: list[Item], *blocks: Block) -> Section:
    worst = min((item.change.severity for item in items), key=rank)
    keys = tuple(dict.fromkeys(key for item in items for key in item.keys))
    return Section(kind, worst, emoji, title, blocks, keys, min(item.at for item in items))


def _unlocked(items: list[Item]) -> Section:
    bodies = [_body(item.change.after) for item in items]
    rows = [
        (_slug(item.change), shown(body.get("category", "?"), 20), _price_of(body), shown(body.get("creator", "?"), 30))
        for item, body in zip(items, bodies, strict=True)
    ][:MOST_LINES]
    returned = all(item.change.kind == "model.returned" for item in items)
    title = f"{count(len(items), 'model')} {'back' if returned else 'unlocked'} for {_keys_of(items)}"
    examples = [block for item, body in zip(items, bodies, strict=True) for block in _start_with(item.change, body)]
    blocks = [Table(("Model", "Type", "Credits", "Creator"), tuple(rows)), *_more(items), *(examples if len(items) <= MOST_EXAMPLES else [])]
    return _section("models_unlocked", "🔓", title, items, *blocks)


def _body(side: object) -> Mapping[str, Json]:
    first = side[0] if isinstance(side, list) and side else side
    return first if isinstance(first, Mapping) else {}


def _slug(change: Change) -> str:
    return clean(change.slug or "", 80)


def _price_of(body: Mapping[str, Json]) -> str:
    return wording.band_text(credits.read_band(body.get("credits_band")))


def _start_with(change: Change, body: Mapping[str, Json]) -> Iterable[Block]:
    params = body.get("params")
    needed = [code(clean(name, 60)) for name, spec in (params if isinstance(params, dict) else {}).items() if is_required(spec)]
    example = body.get("example_request")
    if needed:
        listed = [span for n, name in enumerate(needed) for span in ((Span(", "), name) if n else (name,))]
        yield Paragraph((code(_slug(change)), Span(" needs "), *listed, Span(". An example request:" if example else ".")))
    elif example:
        yield Paragraph((code(_slug(change)), Span(" can be called like this:")))
    if isinstance(example, dict):
        yield Code(_pretty(example))


def _pretty(request: Mapping[str, Json]) -> tuple[str, ...]:
    """A request body, a member a line."""
    most = 12
    members = [clean(f"{dumps(name)}: {dumps(value)}", 160) for name, value in list(request.items())[:most]]
    ends = [*(f"{member}," for member in members[:-1]), *members[-1:]] if len(request) <= most else [*(f"{m}," for m in members), "…"]
    return ("{" + (ends[0] if ends else ""), *(" " + line for line in ends[1:-1]), *([" " + ends[-1] + "}"] if len(ends) > 1 else ["}"]))


def _removed(items: list[Item]) -> Section:
    lines = []
    for item in items[:MOST_LINES]:
        body = _body(item.change.before)
        facts = f" gone since {moment(item.at)} · {shown(body.get('category', '?'), 20)}, {_price_of(body)} credits"
        lines.append((code(_slug(item.change)), Span(facts)))
    title = f"{count(len(items), 'model')} removed for {_keys_of(items)}"
    return _section("models_removed", "🗑️", title, items, Bullets(tuple(lines)), *_more(items), *_cause(items))


def _cause(items: list[Item]) -> Iterable[Block]:
    if any(item.change.detail.get("cause") == "tier-change" for item in items):
        yield Paragraph((Span("The plan changed at the same poll, which decides what a key may call."),))


def _price(items: list[Item]) -> Section:
    lines = tuple((code(_slug(item.change)), Span(" "), *wording.phrase(item.change)) for item in items[:MOST_LINES])
    rises = [item for item in items if item.change.severity == "risky"]
    emoji, word = ("📈", "up") if len(rises) == len(items) else ("📉", "down") if not rises else ("💱", "changed")
    subject = _slug(items[0].change) if len(items) == 1 else count(len(items), "model")
    blocks = [Bullets(lines), *_more(items)]
    if any("related" in item.change.detail for item in items):
        blocks.append(Paragraph((Span("Its parameters changed at the same poll, which may be the reason."),)))
    return _section("price_changed", emoji, f"Price {word}: {subject}", items, *blocks)


def _parameters(items: list[Item]) -> Section:
    items = sorted(items, key=lambda item: rank(item.change.severity))
    breaking = sum(item.change.severity == "breaking" for item in items)
    slug = _slug(items[0].change)
    sentence = (bold(f"{breaking} breaking"), Span(f" of {count(len(items), 'change')} in the request parameters.")) if breaking else (
        Span(f"{count(len(items), 'change')} in the request parameters, none of which refuses a request that worked."),
    )  # fmt: skip
    lines = tuple(wording.phrase(item.change) for item in items[:MOST_LINES])
    title = f"Breaking change: {slug}" if breaking else f"Parameters changed: {slug}"
    emoji = EMOJI[items[0].change.severity]
    return _section("parameters_changed", emoji, title, items, Paragraph(sentence), Bullets(lines), *_more(items), *_witness(items))


def _witness(items: list[Item]) -> Iterable[Block]:
    proof = next((item.change.witness for item in items if item.change.witness is not None), None)
    if proof is not None:
        yield Paragraph((Span("Worked before, fails now: "), code(shown(proof, 300))))


def _other(items: list[Item]) -> Section:
    slug = items[0].change.slug
    title = f"{_slug(items[0].change)} changed" if slug else f"Account of {_keys_of(items)} changed"
    items = sorted(items, key=lambda item: rank(item.change.severity))
    lines = tuple(wording.phrase(item.change) for item in items[:MOST_LINES])
    return _section("other_changed", EMOJI[items[0].change.severity], title, items, Bullets(lines), *_more(items))


def _more(items: list[Item]) -> list[Block]:
    rest = len(items) - MOST_LINES
    return [Paragraph((Span(f"and {rest} more: "), code("syncd changes --since 1d")))] if rest > 0 else []


def _keys_of(items: list[Item]) -> str:
    return _names(tuple(dict.fromkeys(key for item in items for key in item.keys)))


DESIGNS: Final[Mapping[str, Design]] = {
    "models_unlocked": _unlocked,
    "models_removed": _removed,
    "price_changed": _price,
    "parameters_changed": _parameters,
    "other_changed": _other,
}


# --- conditions ----------------------------------------------------------------------------------------------------

_OPENED: Final[Mapping[str, tuple[str, str, str, str]]] = {
    # kind: design, emoji, title, what to do
    "access.rejected": ("key_rejected", "⛔", "Key {keys} is rejected{status}", "Put a valid key where the configuration reads it, then restart syncd."),
    "access.tier-locked": ("tier_locked", "🔒", "Key {keys} has no API access{status}", "Move the account to a plan with API access; syncd notices by itself."),
    "access.forbidden": ("key_forbidden", "⛔", "Key {keys} is refused{status}", "Ask the vendor about the code below; syncd keeps asking by itself."),
    "vendor.unreachable": ("vendor_unreachable", "🔌", "The vendor cannot be reached", "Nothing to do unless it lasts; syncd keeps asking by itself."),
}  # fmt: skip
_CLOSED: Final[Mapping[str, str]] = {
    "access.rejected": "Key {keys} works again",
    "access.tier-locked": "Key {keys} has API access again",
    "access.forbidden": "Key {keys} works again",
    "vendor.unreachable": "The vendor answers again",
}


def _conditions(due: Iterable[Due]) -> Iterable[Section]:
    conditions = sorted((one for one in due if isinstance(one, ConditionDue)), key=lambda one: (one.kind, one.subject, one.at))
    for _, edges in groupby(conditions, key=lambda one: (one.kind, one.subject, one.edge, one.opened_at)):
        one = next(iter(edges))
        yield _opened(one) if one.edge == "opened" else _closed(one)


def _opened(one: ConditionDue) -> Section:
    design, emoji, title, remedy = _OPENED[one.kind]
    status = one.detail.get("status")
    blocks: list[Block] = [Paragraph((Span(f"Since {moment(one.opened_at)}. "), bold("The last catalogue is kept; no removals are reported.")))]
    facts = [(label, one.detail.get(name)) for label, name in (("Code", "code"), ("Request", "request_id"), ("Fingerprint", "fingerprint"))]
    lines = [(Span(f"{label} "), code(clean(str(value), 80))) for label, value in facts if value]
    if one.detail.get("what"):
        lines.append((Span(clean(str(one.detail["what"]), 200)),))
    if one.kind == "vendor.unreachable":
        lines.append((Span("Affected: " + _names(one.keys)),))
    blocks.append(Bullets(tuple(lines)))
    if one.detail.get("next"):
        blocks.append(Quote(clean(str(one.detail["next"]), 300)))
    blocks.append(Paragraph((Span(remedy),)))
    text = title.format(keys=_names(one.keys), status=f" ({status})" if status else "")
    return Section(design, CONDITIONS[one.kind], emoji, text, tuple(blocks), one.keys, one.at)


def _closed(one: ConditionDue) -> Section:
    design = _OPENED[one.kind][0]
    title = _CLOSED[one.kind].format(keys=_names(one.keys))
    text = f"After {duration(one.at - one.opened_at)}. What changed meanwhile is reported as usual."
    return Section(design, "informational", "✅", title, (Paragraph((Span(text),)),), one.keys, one.at)


def condition_summary(kind: str, detail: Mapping[str, Json]) -> str:
    """A condition in one sentence, for logs and tables."""
    keys = tuple(detail.get("keys", {})) or tuple(detail.get("recovered", ()))
    return clean(_OPENED[kind][2].format(keys=_names(keys), status=f" ({detail['status']})" if detail.get("status") else ""), 300)


