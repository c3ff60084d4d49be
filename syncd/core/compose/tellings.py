"""How a change is told: as it is, as not certain yet, as taken back, or as one that keeps going back and forth.

    due ── of a model that came and went meanwhile ──────────> what happened last
           what keeps changing, and the changes before ──────> that it keeps changing
           a change and the one that takes it back ──────────> one: there and back
           everything else ──────────────────────────────────> each by itself

What has been told already is answered where it was told: `answers` says what that is. Only processes data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from syncd.core.compose.due import ChangeDue, ChangeEdge
from syncd.core.rules import Severity, rank

# `reverted` takes back what was told before, `undone` what is told with it. `settled` ends what was told as flapping.
How: TypeAlias = Literal["change", "unconfirmed", "back", "reverted", "undone", "flapping", "settled"]

PRESENCE: Final = frozenset({"model.added", "model.returned", "model.removed"})
_RESTLESS: Final = frozenset({"flapping", "settled"})


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing to tell of one key. `first` is the change that `one` takes back, where both are told together."""

    one: ChangeDue
    how: How
    first: ChangeDue | None = None


def tellings(due: Iterable[ChangeDue]) -> list[Telling]:
    """What there is to tell, without what no longer holds."""
    return _paired([Telling(one, how_of(one)) for one in _latest(_standing(due))])


def how_of(one: ChangeDue) -> How:
    """How it is told by itself."""
    if one.edge is not None:
        return one.edge
    if isinstance(flapping := one.change.detail.get("flapping"), Mapping):
        return "settled" if isinstance(flapping.get("notice"), int) else "flapping"
    return "change" if _reverted(one) is None else "reverted"


def answers(one: ChangeDue) -> list[tuple[int, ChangeEdge | None]]:
    """The changes whose message it answers, and as what they were told: the first of them that was told."""
    found: list[tuple[int, ChangeEdge | None]] = []
    if one.edge == "back" or (one.edge is None and one.change.kind == "model.removed"):
        found.append((one.id, "unconfirmed"))
    how = how_of(one)
    if how == "settled":
        found.append((one.change.detail["flapping"]["notice"], None))
    if how == "reverted" and (reverted := _reverted(one)) is not None:
        found.append((reverted, None))
    return found


def _reverted(one: ChangeDue) -> int | None:
    """The change that it takes back. That a model is there again has a design of its own."""
    change = one.change.detail.get("reverts")
    return change if isinstance(change, int) and one.change.kind not in PRESENCE else None


def _standing(due: Iterable[ChangeDue]) -> list[ChangeDue]:
    """Without what no longer holds: of a model that came and went meanwhile, only what happened last is told."""
    every = list(due)
    last = {(one.key, one.change.slug): one for one in every if one.change.kind in PRESENCE}
    return [one for one in every if one.change.kind not in PRESENCE or last[one.key, one.change.slug] is one]


def _latest(due: list[ChangeDue]) -> list[ChangeDue]:
    """Without the changes that led to one that is told as flapping, or as settled."""
    last = {_track(one): n for n, one in enumerate(due) if how_of(one) in _RESTLESS}
    worst: dict[tuple[str, ...], Severity] = {}
    for one in due:
        worst[_track(one)] = min(one.change.severity, worst.get(_track(one), one.change.severity), key=rank)
    return [_at_worst(one, worst) for n, one in enumerate(due) if n >= last.get(_track(one), 0)]


def _at_worst(one: ChangeDue, worst: Mapping[tuple[str, ...], Severity]) -> ChangeDue:
    """What keeps changing is as severe as the worst of the steps that it stands for."""
    if how_of(one) != "flapping" or worst[_track(one)] == one.change.severity:
        return one
    return replace(one, change=replace(one.change, severity=worst[_track(one)]))


def _track(one: ChangeDue) -> tuple[str, ...]:
    """What goes back and forth as one."""
    return (one.key, *one.change.track)


def _paired(told: list[Telling]) -> list[Telling]:
    """A change and the one that takes it back are told as one."""
    changes = {(each.one.key, each.one.id): n for n, each in enumerate(told) if each.how == "change"}
    firsts = {
        n: first
        for n, each in enumerate(told)
        if each.how == "reverted" and (first := changes.get((each.one.key, _reverted(each.one) or 0))) is not None
    }
    swallowed = set(firsts.values())
    return [
        Telling(each.one, "undone", told[firsts[n]].one) if n in firsts else each
        for n, each in enumerate(told)
        if n not in swallowed
    ]
