"""What only keys and routes together can tell: which keys a route reaches, and where it leads for each of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from syncd.config.destinations import destination, filled, placeholders
from syncd.config.parse import Parsed
from syncd.config.problems import Loc, Problems, Refused
from syncd.config.tables import KeyTable, RouteTable
from syncd.core.routing import Route


@dataclass(frozen=True, slots=True)
class Lead:
    """A route of the file to one destination. `key` is one that filled it, None where nothing was to be filled."""

    number: int
    route: Route
    key: str | None = None

    @property
    def to(self) -> Loc:
        """Where its destination stands in the file."""
        return ("routes", self.number, "to")

    def of_key(self, message: str) -> str:
        """The message about the destination, with the key that made it what it is."""
        return message if self.key is None else f"filled for key {self.key}: {message}"


def leads(parsed: Parsed, problems: Problems) -> list[Lead]:
    """Every route in the order of the file. One that labels fill becomes one for each set of values its keys have."""
    found = [
        lead
        for number, table in enumerate(parsed.file.routes)
        if parsed.sound("routes", number, "to")
        for lead in _leads(number, table, parsed, problems)
    ]
    for lead in found:
        if lead.route.mention is not None and lead.route.to == "console":
            problems.add(("routes", lead.number, "mention"), "does nothing on console", "leave it out")
    return found


def _leads(number: int, table: RouteTable, parsed: Parsed, problems: Problems) -> list[Lead]:
    route, names = _route(table), placeholders(table.to)
    if not names:
        return [Lead(number, route)]
    if not _keys_are_known(parsed) or not all(parsed.sound("routes", number, each) for each in ("keys", "labels")):
        return []
    reached = _with_labels(table, _named(table, parsed.file.keys))
    having = [key for key in reached if key.labels.keys() >= set(names)]
    if reached and not having:
        problems.add(("routes", number, "to"), "needs labels that no key it reaches has", _labels_of(reached))
    made = [_lead(number, route, names, key) for key in _distinct(having, names)]
    return [lead for lead in made if _is_destination(lead, problems)]


def _distinct(keys: Iterable[KeyTable], names: Sequence[str]) -> Iterable[KeyTable]:
    """Of the keys that have the same values of these labels, the first."""
    first_with: dict[tuple[str, ...], KeyTable] = {}
    for key in keys:
        first_with.setdefault(tuple(key.labels[name] for name in names), key)
    return first_with.values()


def _lead(number: int, route: Route, names: Sequence[str], key: KeyTable) -> Lead:
    """The route for this key, and for every other with the same labels in its destination."""
    labels = {**route.labels, **{name: key.labels[name] for name in names}}
    own = replace(route, to=filled(route.to, key.labels), labels=MappingProxyType(labels))
    return Lead(number, own, key.name)


def _is_destination(lead: Lead, problems: Problems) -> bool:
    try:
        destination(lead.route.to)
    except Refused as refused:
        problems.add(lead.to, lead.of_key(refused.message), refused.hint)
        return False
    return True


def _labels_of(keys: Sequence[KeyTable]) -> str:
    names = sorted({name for key in keys for name in key.labels})
    if not names:
        return "these keys have no labels at all: " + _some([key.name for key in keys])
    return "labels of the keys it reaches: " + _some(names)


def _route(table: RouteTable) -> Route:
    return Route(
        name=table.name,
        to=table.to,
        kinds=tuple(table.kinds or ()),
        keys=tuple(table.keys or ()),
        labels=MappingProxyType(dict(table.labels or {})),
        models=tuple(table.models or ()),
        categories=tuple(table.categories or ()),
        min_severity=table.min_severity,
        min_percent=table.min_percent,
        group_wait=table.group_wait,
        mention=table.mention,
        digest=table.digest,
        summary=table.summary,
    )


def check_kinds(loc: Loc, globs: Sequence[str], kinds: frozenset[str], problems: Problems) -> None:
    """Every glob must match, not only one: the kinds are fixed, so one that matches none is a slip of the pen."""
    for number, glob in enumerate(globs):
        if kinds and not any(fnmatchcase(kind, glob) for kind in kinds):
            close = difflib.get_close_matches(glob, sorted(kinds), n=1)
            hint = f"did you mean {close[0]}?" if close else "the kinds are listed in docs/changes.md"
            problems.add((*loc, number), "matches no kind of change", hint)


def check_reach(parsed: Parsed, problems: Problems) -> None:
    """A route must reach at least one key. Of its key globs one is enough: keys come and go."""
    if not _keys_are_known(parsed):
        return
    for number, route in enumerate(parsed.file.routes):
        named = _named(route, parsed.file.keys)
        if not named:
            hint = "configured keys: " + _some([key.name for key in parsed.file.keys])
            problems.add(("routes", number, "keys"), "matches no key, so the route can never match", hint)
        elif not _with_labels(route, named):
            hint = "labels are matched exactly, and all of them on one key; keys that could: "
            message = "no key has them all, so the route can never match"
            problems.add(("routes", number, "labels"), message, hint + _some([key.name for key in named]))


def _keys_are_known(parsed: Parsed) -> bool:
    """With a key whose name or labels are unknown, or none at all, nobody can say what a route does not reach."""
    numbers = range(len(parsed.file.keys))
    return bool(numbers) and all(parsed.sound("keys", n, each) for n in numbers for each in ("name", "labels"))


def _named(route: RouteTable, keys: Iterable[KeyTable]) -> list[KeyTable]:
    return [key for key in keys if any(fnmatchcase(key.name, glob) for glob in route.keys or ["*"])]


def _with_labels(route: RouteTable, keys: Iterable[KeyTable]) -> list[KeyTable]:
    return [key for key in keys if (route.labels or {}).items() <= key.labels.items()]


_MOST_NAMES = 8


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
