"""From what is due at one destination to one message: grouping, order, wording. Only processes data.

    due ── the same change of several keys becomes one item that names them
        ── items fall into sections: conditions, breaking parameters, removed, prices, unlocked, the rest
        ── one section: its own design and title;  several: one message, a section after the other

The worst comes first, in a message and in a section. A section holds at most `MOST_LINES` items; the rest is counted,
never dropped in silence. Nothing raises for what a vendor may have sent: a message that cannot be composed would block
its destination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from syncd.core import credits, wording
from syncd.core.canon import MISSING, Json, dumps, is_number
from syncd.core.changes import Change
from syncd.core.compat import is_required
from syncd.core.message import Block, Bullets, Code, Message, Paragraph, Quote, Span, Table, bold, code
from syncd.core.rules import CONDITIONS, Severity, rank
from syncd.core.text import clean, count, duration, moment, number, percent, shown

MOST_LINES: Final = 25
# Few enough to show how to start with each.
MOST_EXAMPLES: Final = 3
# Few enough for a section each where parameters of several models changed.
MOST_OWN_SECTIONS: Final = 3
# So many names or members stand in one line or one example.
MOST_NAMES: Final = 4
MOST_MEMBERS: Final = 12

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
    """An edge of a condition that a destination is to be told of.

    `keys` are those that the condition names and the destination may see.
    """

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
    """One family's part of a message. `changes` is how many it tells, 0 for a condition."""

    kind: str
    severity: Severity
    emoji: str
    title: str
    blocks: tuple[Block, ...]
    keys: tuple[str, ...]
    at: datetime
    changes: int = 0


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
        sentence = _sentence(only.title, severity)
        return Message(only.kind, severity, only.emoji, only.title, sentence, only.blocks, context)
    blocks = tuple(block for section in sections for block in (_heading(section, keys), *section.blocks))
    summary = _sentence("; ".join(section.title for section in sections), severity)
    return Message("digest", severity, "📦", _digest_title(sections, keys), summary, blocks, context)


def _heading(section: Section, keys: Sequence[str]) -> Block:
    """The section's title, with its keys where they are not all and the title does not name them."""
    named = section.keys == tuple(keys) or _names(section.keys) in section.title
    return Paragraph((bold(f"{section.emoji} {section.title}{'' if named else f' · for {_names(section.keys)}'}"),))


def _digest_title(sections: Sequence[Section], keys: Sequence[str]) -> str:
    changes = sum(section.changes for section in sections)
    notices = sum(not section.changes for section in sections)
    counts = [count(n, noun) for n, noun in ((notices, "notice"), (changes, "change")) if n]
    return f"{' and '.join(counts)} for {_names(keys)}"


def _sentence(text: str, severity: Severity) -> str:
    word = severity.capitalize()
    return clean(text if text.startswith(word) else f"{word}: {text}", 300)


def _names(keys: Sequence[str]) -> str:
    """A few names, and how many more."""
    named = ", ".join(clean(key, 64) for key in keys[:MOST_NAMES])
    rest = len(keys) - MOST_NAMES
    return (named or "(none)") + (f" and {number(rest)} more" if rest > 0 else "")


# --- changes -------------------------------------------------------------------------------------------------------


def _changes(due: Iterable[Due]) -> Iterable[Section]:
    items = _items(one for one in due if isinstance(one, ChangeDue))
    families: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: rank(item.change.severity)):
        families.setdefault(_family(item.change), []).append(item)
    for family, members in families.items():
        yield from DESIGNS[family](members)


def _items(due: Iterable[ChangeDue]) -> list[Item]:
    """The same change of several keys is one item."""
    grouped: dict[str, list[ChangeDue]] = {}
    for one in due:
        grouped.setdefault(one.change.fingerprint, []).append(one)
    return [
        Item(same[0].change, tuple(dict.fromkeys(one.key for one in same)), min(one.at for one in same))
        for same in grouped.values()
    ]


def _family(change: Change) -> str:
    """The design a change is shown in."""
    if change.kind in ("model.added", "model.returned"):
        return "models_unlocked"
    if change.kind == "model.removed":
        return "models_removed"
    if change.kind.startswith("credits.band."):
        return "price_changed"
    if change.slug is None:
        return "account_changed"
    return "parameters_changed" if change.kind.startswith("param.") else "other_changed"


Design: TypeAlias = Callable[[list[Item]], Iterable[Section]]


def _section(kind: str, emoji: str, title: str, items: list[Item], *blocks: Block) -> Section:
    worst = min((item.change.severity for item in items), key=rank)
    return Section(kind, worst, emoji, title, blocks, _all_keys(items), min(item.at for item in items), len(items))


def _all_keys(items: Iterable[Item]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for item in items for key in item.keys))


def _keys_of(items: list[Item]) -> str:
    return _names(_all_keys(items))


def _differ(items: list[Item]) -> bool:
    """Whether it must be said of each item which keys it is about."""
    return len({frozenset(item.keys) for item in items}) > 1


def _lines(items: list[Item], say: Callable[[Item], tuple[Span, ...]]) -> list[Block]:
    """A bullet per item, with its keys where they differ, and how many more there are."""
    differ = _differ(items)
    lines = [(*say(item), Span(f" · for {_names(item.keys)}" if differ else "")) for item in items[:MOST_LINES]]
    return [Bullets(tuple(tuple(span for span in line if span.text) for line in lines)), *_more(items)]


def _more(items: list[Item]) -> list[Block]:
    rest = len(items) - MOST_LINES
    return [Paragraph((Span(f"and {number(rest)} more: "), code("syncd changes --since 1d")))] if rest > 0 else []


def _slug(change: Change) -> str:
    return clean(change.slug or "", 80) or "(a slug without a visible character)"


def _slugs(items: Iterable[Item]) -> int:
    return len({item.change.slug for item in items})


def _phrase(item: Item) -> tuple[Span, ...]:
    return wording.phrase(item.change)


def _phrase_of_model(item: Item) -> tuple[Span, ...]:
    return (code(_slug(item.change)), Span(": "), *wording.phrase(item.change))


def _body(side: object) -> Mapping[str, Json]:
    """A model's body (the first one, where contents conflict)."""
    first = side[0] if isinstance(side, list) and side else side
    return first if isinstance(first, Mapping) else {}


def _word(body: Mapping[str, Json], name: str, limit: int) -> str:
    value = body.get(name)
    return "-" if value is None else shown(value, limit)


# --- models came and went ------------------------------------------------------------------------------------------


def _unlocked(items: list[Item]) -> Iterable[Section]:
    bodies = [_body(item.change.after) for item in items]
    differ = _differ(items)
    rows = [
        (
            _slug(item.change),
            _word(body, "category", 20),
            wording.band_text(credits.read_band(body.get("credits_band"))),
            _word(body, "creator", 30),
            *((_names(item.keys),) if differ else ()),
        )
        for item, body in zip(items[:MOST_LINES], bodies, strict=False)
    ]
    header = ("Model", "Type", "Credits", "Creator", *(("Keys",) if differ else ()))
    few = zip(items, bodies, strict=True) if len(items) <= MOST_EXAMPLES else ()
    examples = [block for item, body in few for block in _start_with(item.change, body)]
    title = f"{count(len(items), 'model')} {_how_unlocked(items)} for {_keys_of(items)}"
    yield _section("models_unlocked", "🔓", title, items, Table(header, tuple(rows)), *_more(items), *examples)


def _how_unlocked(items: list[Item]) -> str:
    back = sum(item.change.kind == "model.returned" for item in items)
    return "unlocked" if back == 0 else "back" if back == len(items) else "unlocked or back"


def _start_with(change: Change, body: Mapping[str, Json]) -> Iterable[Block]:
    """What a first request needs, and the vendor's own example of one."""
    params = body.get("params")
    needed = [name for name, spec in (params if isinstance(params, dict) else {}).items() if is_required(spec)]
    stated = body.get("example_request")
    example: Mapping[str, Json] = stated if isinstance(stated, dict) else {}
    if needed:
        end = ". An example request:" if example else "."
        yield Paragraph((code(_slug(change)), Span(" needs "), *_listed(needed), Span(end)))
    elif example:
        yield Paragraph((code(_slug(change)), Span(" can be called like this:")))
    if example:
        yield Code(_pretty(example))


def _listed(names: Sequence[str]) -> Iterable[Span]:
    for n, name in enumerate(names[:MOST_MEMBERS]):
        if n:
            yield Span(", ")
        yield code(shown(name, 60))
    if len(names) > MOST_MEMBERS:
        yield Span(f" and {number(len(names) - MOST_MEMBERS)} more")


def _pretty(request: Mapping[str, Json]) -> tuple[str, ...]:
    """A request body, a member a line."""
    members = [clean(f"{dumps(name)}: {dumps(value)}", 160) for name, value in list(request.items())[:MOST_MEMBERS]]
    members += ["…"] if len(request) > MOST_MEMBERS else []
    starts = ("{", *(" " for _ in members[1:]))
    ends = (*("," for _ in members[1:]), "}")
    return tuple(start + member + end for start, member, end in zip(starts, members, ends, strict=True))


def _removed(items: list[Item]) -> Iterable[Section]:
    at_once = len({item.at for item in items}) == 1

    def line(item: Item) -> tuple[Span, ...]:
        body = _body(item.change.before)
        price = credits.read_band(body.get("credits_band"))
        cost = f"{wording.band_text(price)} credits" if price.form == "ok" else f"price {wording.band_text(price)}"
        since = "" if at_once else f" · gone since {moment(item.at)}"
        return (code(_slug(item.change)), Span(f" · {_word(body, 'category', 20)} · {cost}{since}"))

    title = f"{count(len(items), 'model')} removed for {_keys_of(items)}"
    yield _section("models_removed", "🗑️", title, items, *_lines(items, line), *_cause(items))


def _cause(items: list[Item]) -> Iterable[Block]:
    if any(item.change.detail.get("cause") == "tier-change" for item in items):
        yield Paragraph((Span("The plan changed at the same poll, which decides what a key may call."),))


# --- prices --------------------------------------------------------------------------------------------------------

_UP: Final = frozenset({"raised", "raised-disjoint", "ceiling-raised", "floor-raised"})
_DOWN: Final = frozenset({"lowered", "lowered-disjoint", "ceiling-lowered", "floor-lowered"})


def _price(items: list[Item]) -> Iterable[Section]:
    moves = {item.change.kind.removeprefix("credits.band.") for item in items}
    emoji, word = ("📈", "up") if moves <= _UP else ("📉", "down") if moves <= _DOWN else ("💱", "changed")
    if _slugs(items) == 1:
        title = f"Price {word}{_by(items) if word != 'changed' else ''}: {_slug(items[0].change)}"
        blocks = _lines(items, _phrase)
    else:
        title = f"Price {word}: {count(_slugs(items), 'model')}"
        blocks = _lines(items, _phrase_of_model)
    if any("related" in item.change.detail for item in items):
        subject = "Its parameters" if _slugs(items) == 1 else "Parameters"
        blocks.append(Paragraph((Span(f"{subject} changed at the same poll, which may be the reason."),)))
    yield _section("price_changed", emoji, title, items, *blocks)


def _by(items: list[Item]) -> str:
    """By how much at most, where that can be said."""
    edges = [item.change.detail.get(name) for item in items for name in ("min_percent", "max_percent")]
    most = max((abs(Decimal(edge)) for edge in edges if edge is not None and is_number(edge)), default=Decimal(0))
    return f" {percent(most).lstrip('+')}" if most else ""


# --- parameters ----------------------------------------------------------------------------------------------------


def _parameters(items: list[Item]) -> Iterable[Section]:
    """A section for each model, or one for all where there are many."""
    by_slug: dict[str | None, list[Item]] = {}
    for item in items:
        by_slug.setdefault(item.change.slug, []).append(item)
    if len(by_slug) > MOST_OWN_SECTIONS:
        yield _parameters_of(items, count(len(by_slug), "model"), _phrase_of_model)
        return
    for members in by_slug.values():
        yield _parameters_of(members, _slug(members[0].change), _phrase, *_spec_lines(members))


def _parameters_of(items: list[Item], whose: str, say: Callable[[Item], tuple[Span, ...]], *specs: Block) -> Section:
    breaking = sum(item.change.severity == "breaking" for item in items)
    title = f"Breaking change{'' if breaking == 1 else 's'}: {whose}" if breaking else f"Parameters changed: {whose}"
    blocks = (Paragraph(tuple(_tally(items))), *_lines(items, say), *specs, *_witness(items))
    return _section("parameters_changed", EMOJI[items[0].change.severity], title, items, *blocks)


def _tally(items: list[Item]) -> Iterable[Span]:
    """3 breaking and 1 safe change in the request parameters."""
    safe: dict[Severity, str] = {"additive": "safe", "informational": "safe"}
    counts = Counter(safe.get(item.change.severity, item.change.severity) for item in items)
    for n, (word, many) in enumerate(counts.items()):
        yield Span(" and " if n == len(counts) - 1 else ", ") if n else Span("")
        yield bold(f"{number(many)} {word}") if word == "breaking" else Span(f"{number(many)} {word}")
        last = many
    yield Span(f" {'change' if last == 1 else 'changes'} in the request parameters.")
    undecided = sum(not item.change.decided for item in items)
    if undecided:
        of = "" if undecided == len(items) else f" for {number(undecided)} of them"
        yield Span(f" Whether requests break cannot be decided{of}.")
    elif "breaking" not in counts:
        yield Span(" What was accepted still is.")


def _spec_lines(items: list[Item]) -> Iterable[Block]:
    """The parameter before and after, where the change holds its whole spec."""
    lines = [line for item in items[:MOST_LINES] for line in _spec_of(item.change)]
    if lines:
        yield Code(tuple(lines))


def _spec_of(change: Change) -> Iterable[str]:
    name = shown(change.path[-1] if len(change.path) == _PARAM_DEPTH else change.path[_PARAM_DEPTH - 1], 80)
    if change.kind == "param.removed" or change.kind.startswith("param.added."):
        sides: tuple[object, object] = (change.before, change.after)
    elif change.kind.startswith("param.type."):
        sides = (change.detail.get("spec_before", MISSING), change.detail.get("spec_after", MISSING))
    else:
        return
    for sign, spec in zip("-+", sides, strict=True):
        if spec is not MISSING:
            yield f"{sign} {wording.spec_line(name, spec)}"


# /models/{slug}/params/{name}
_PARAM_DEPTH: Final = 4


def _witness(items: list[Item]) -> Iterable[Block]:
    proof = next((item.change.witness for item in items if item.change.witness is not None), None)
    if proof is not None:
        yield Paragraph((Span("Worked before, fails now: "), code(shown(proof, 300))))


# --- the rest ------------------------------------------------------------------------------------------------------


def _other(items: list[Item]) -> Iterable[Section]:
    one = _slugs(items) == 1
    title = f"{_slug(items[0].change) if one else count(_slugs(items), 'model')} changed"
    lines = _lines(items, _phrase if one else _phrase_of_model)
    yield _section("other_changed", EMOJI[items[0].change.severity], title, items, *lines)


def _account(items: list[Item]) -> Iterable[Section]:
    title = f"Account of {_keys_of(items)} changed"
    yield _section("other_changed", EMOJI[items[0].change.severity], title, items, *_lines(items, _phrase))


DESIGNS: Final[Mapping[str, Design]] = {
    "models_unlocked": _unlocked,
    "models_removed": _removed,
    "price_changed": _price,
    "parameters_changed": _parameters,
    "other_changed": _other,
    "account_changed": _account,
}


# --- conditions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Condition:
    """How a kind of condition is told: titles for one key and for several, and what to do."""

    design: str
    emoji: str
    opened: tuple[str, str]
    closed: tuple[str, str]
    remedy: tuple[Span, ...]


_KEPT: Final = "The last catalogue is kept; no removals are reported."
_WORKS: Final = ("Key {keys} works again", "{count} work again: {keys}")

_CONDITIONS: Final[Mapping[str, _Condition]] = {
    "access.rejected": _Condition(
        "key_rejected",
        "⛔",
        ("Key {keys} is rejected{status}", "{count} are rejected{status}: {keys}"),
        _WORKS,
        (Span("Put a valid key where the configuration reads it, restart syncd, then look at "), code("syncd status")),
    ),
    "access.tier-locked": _Condition(
        "tier_locked",
        "🔒",
        ("Key {keys} has no API access{status}", "{count} have no API access{status}: {keys}"),
        ("Key {keys} has API access again", "{count} have API access again: {keys}"),
        (Span("Move the account to a plan with API access; syncd notices by itself."),),
    ),
    "access.forbidden": _Condition(
        "key_forbidden",
        "⛔",
        ("Key {keys} is refused{status}", "{count} are refused{status}: {keys}"),
        _WORKS,
        (Span("Ask the vendor about the code above; syncd keeps asking by itself."),),
    ),
    "vendor.unreachable": _Condition(
        "vendor_unreachable",
        "🔌",
        ("The vendor cannot be reached", "The vendor cannot be reached"),
        ("The vendor answers again", "The vendor answers again"),
        (Span("Nothing to do unless it lasts: syncd keeps asking. How each key fares: "), code("syncd status")),
    ),
}


def _conditions(due: Iterable[Due]) -> Iterable[Section]:
    """A section per condition; the same one of several keys is told once and names them."""
    grouped: dict[tuple[str, ...], list[ConditionDue]] = {}
    for one in due:
        if isinstance(one, ConditionDue):
            grouped.setdefault(_alike(one), []).append(one)
    for ones in grouped.values():
        yield _opened(ones) if ones[0].edge == "opened" else _closed(ones)


def _alike(one: ConditionDue) -> tuple[str, ...]:
    if one.kind.startswith("access."):
        return (one.kind, one.edge, str(one.detail.get("status")), str(one.detail.get("code")))
    return (one.kind, one.edge, one.subject, one.opened_at.isoformat())


def _opened(ones: Sequence[ConditionDue]) -> Section:
    first = ones[0]
    design = _CONDITIONS[first.kind]
    since = moment(min(one.opened_at for one in ones))
    blocks: list[Block] = [Paragraph((Span(f"Since {since}. "), bold(_KEPT)))]
    facts = [line for one in ones[:MOST_LINES] for line in (_facts(one) if len(ones) == 1 else _facts_in_a_line(one))]
    blocks += [Bullets(tuple(facts))] if facts else []
    if len(ones) > MOST_LINES:
        blocks.append(Paragraph((Span(f"and {number(len(ones) - MOST_LINES)} more: "), code("syncd status"))))
    advice = next((words for one in ones if (words := clean(str(one.detail.get("next") or ""), 300))), "")
    blocks += [Quote(advice)] if advice else []
    blocks.append(Paragraph(design.remedy))
    title = _opened_title(first.kind, first.detail, _keys(ones))
    return Section(design.design, CONDITIONS[first.kind], design.emoji, title, tuple(blocks), _keys(ones), _at(ones))


def _closed(ones: Sequence[ConditionDue]) -> Section:
    design = _CONDITIONS[ones[0].kind]
    title = _title(design.closed, _keys(ones), "")
    lasted = max(one.at - one.opened_at for one in ones)
    text = f"After {duration(lasted)}. What changed meanwhile is reported as usual."
    return Section(design.design, "informational", "✅", title, (Paragraph((Span(text),)),), _keys(ones), _at(ones))


def _keys(ones: Iterable[ConditionDue]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for one in ones for key in one.keys))


def _at(ones: Iterable[ConditionDue]) -> datetime:
    return min(one.at for one in ones)


def _title(forms: tuple[str, str], keys: Sequence[str], status: str) -> str:
    form = forms[len(keys) > 1]
    return clean(form.format(keys=_names(keys), count=count(len(keys), "key"), status=status), 300)


def _opened_title(kind: str, detail: Mapping[str, Json], keys: Sequence[str]) -> str:
    status = f" ({shown(detail['status'], 10)})" if detail.get("status") is not None else ""
    if kind == "vendor.unreachable" and status:
        return f"The vendor gives no usable answer{status}"
    return _title(_CONDITIONS[kind].opened, keys, status)


def _facts(one: ConditionDue) -> Iterable[tuple[Span, ...]]:
    """What is known of a condition, a line each."""
    detail = one.detail
    if one.kind == "vendor.unreachable":
        if detail.get("what"):
            what = clean(str(detail["what"]), 200)
            yield (Span(what[:1].upper() + what[1:]),)
        yield (Span("Address "), code(clean(one.subject.removeprefix("url:"), 120)))
        yield (Span(f"Affected: {_names(one.keys)}"),)
        return
    if answer := tuple(_answer(detail)):
        yield answer
    if detail.get("fingerprint"):
        yield (Span("Fingerprint "), code(clean(str(detail["fingerprint"]), 20)))


def _answer(detail: Mapping[str, Json]) -> Iterable[Span]:
    known = [(name, clean(str(detail[field]), 80)) for name, field in _ANSWER if detail.get(field)]
    for n, (name, value) in enumerate(known):
        yield Span(f" · {name} " if n else f"{name.capitalize()} ")
        yield code(value)


_ANSWER: Final = (("code", "code"), ("request", "request_id"))


def _facts_in_a_line(one: ConditionDue) -> Iterable[tuple[Span, ...]]:
    parts = [span for line in _facts(one) for span in (Span(" · "), *line)]
    yield (code(_names(one.keys)), *parts)


def condition_summary(kind: str, detail: Mapping[str, Json]) -> str:
    """A condition in one sentence, for logs and tables."""
    return _opened_title(kind, detail, tuple(detail.get("keys", {})) or tuple(detail.get("recovered", ())))
