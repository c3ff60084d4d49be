"""Silences: what is not to be told for a while, although it is recorded. Only processes data.

due ─── some active silence matches? ──no──> told
                   └─yes──> muted by it
the silence ends ───> one notice for each destination where it muted something
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from syncd.core.canon import Json
from syncd.core.compose.due import ChangeDue, ConditionDue, Due, NoticeDue
from syncd.core.compose.section import merged
from syncd.core.compose.states import opened_title
from syncd.core.compose.tellings import answers, how_of
from syncd.core.rules import CONDITIONS, Severity, rank

# The notice of a silence's end.
ENDED: Final = "silence.ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What is muted until a time, who wants it so, and why. Every matcher given must match.

    `keys`, `kinds`, `models` and `destinations` are globs, of which one must match. `max_severity` mutes that severity
    and what is below it.
    """

    id: int
    keys: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    max_severity: Severity | None = None
    until: datetime
    author: str
    comment: str


def muted(due: Iterable[Due], destination: str, silences: Sequence[Silence], now: datetime) -> dict[int, int]:
    """What of it is not to be told there: announcement -> the silence that mutes it."""
    found = ((one.announcement, muted_by(one, destination, silences, now)) for one in due)
    return {announcement: silence.id for announcement, silence in found if silence is not None}


def muted_by(due: Due, destination: str, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that mutes it there, if any; of several the one that lasts longest, so that its end is the end."""
    matching = (one for one in silences if now < one.until and matches(one, due, destination))
    return max(matching, key=lambda one: (one.until, -one.id), default=None)


def outgrown(beginning: ConditionDue, silence: Silence, destination: str) -> bool:
    """Whether a condition that was muted when it began concerns keys by now of which the silence says nothing."""
    lasts = beginning.closed_at is None and bool(beginning.keys)
    return lasts and not matches(silence, beginning, destination)


def taken_back(due: Iterable[Due]) -> dict[int, int]:
    """What says no more than that a change is taken back: announcement -> that change.

    Where the change was muted, this is too. Where taking it back breaks requests, it is news by itself.
    """
    changes = (one for one in due if isinstance(one, ChangeDue) and one.change.severity != "breaking")
    return {one.announcement: answers(one)[0][0] for one in changes if how_of(one) == "reverted"}


def matches(silence: Silence, due: Due, destination: str) -> bool:
    """Whether the silence is about it, at any time. What syncd says of itself is never muted: somebody waits for it."""
    if isinstance(due, NoticeDue):
        return False
    if isinstance(due, ChangeDue):
        kind, slug, severity = due.change.kind, due.change.slug, due.change.severity
    else:
        kind, slug, severity = due.kind, None, CONDITIONS[due.kind]
    return (
        _each(silence.keys, _keys(due))
        and _each(silence.kinds, (kind,))
        and _each(silence.models, () if slug is None else (slug,))
        and _each(silence.destinations, (destination,))
        and (silence.max_severity is None or rank(severity) >= rank(silence.max_severity))
    )


def _each(globs: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether some glob matches each of them; where there is none, a matcher has nothing to match."""
    return not globs or (bool(texts) and all(any(fnmatchcase(text, glob) for glob in globs) for text in texts))


# --- its end -------------------------------------------------------------------------------------------------------


def ended(silence: Silence, muted: Sequence[Due], visible: Callable[[str], bool]) -> dict[str, Json]:
    """What a destination is told at the end of a silence: `muted` is what it was not told, `visible` what it may read.

    What began meanwhile and still lasts is named: nobody would hear of it otherwise.
    """
    since = min(one.at for one in muted).astimezone(UTC).replace(microsecond=0)
    lasting = (one for one in muted if isinstance(one, ConditionDue) and one.edge == "opened" and one.closed_at is None)
    titles = (opened_title(one.kind, one.detail, tuple(filter(visible, one.keys))) for one in lasting)
    return {
        "muted": len(muted),
        "author": silence.author,
        "comment": silence.comment,
        "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        "keys": list(filter(visible, merged(map(_keys, muted)))),
        "open": list(dict.fromkeys(titles)),
    }


def _keys(one: Due) -> tuple[str, ...]:
    match one:
        case ChangeDue():
            return (one.key,)
        case ConditionDue():
            return one.keys
    return ()


# --- its matchers, as they are kept and shown ----------------------------------------------------------------------

# A matcher's name for people and in the database -> the field.
_GLOBS: Final = {"key": "keys", "kind": "kinds", "model": "models", "destination": "destinations"}


def matchers(silence: Silence) -> dict[str, Json]:
    """Those that are given, by the names of the options that give them."""
    globs = {name: list(getattr(silence, attribute)) for name, attribute in _GLOBS.items()}
    given: dict[str, Json] = {name: globs[name] for name in globs if globs[name]}
    return given if silence.max_severity is None else {**given, "severity": silence.max_severity}


def silence_of(matchers: Mapping[str, Json], *, silence: int, until: datetime, author: str, comment: str) -> Silence:
    """The silence with these matchers."""
    globs = {attribute: tuple(matchers.get(name, ())) for name, attribute in _GLOBS.items()}
    severity = matchers.get("severity")
    return Silence(id=silence, until=until, author=author, comment=comment, max_severity=severity, **globs)


def in_words(matchers: Mapping[str, Json]) -> str:
    """The matchers for people: ``key prod or spare, severity risky and below``."""
    globs = [f"{name} {' or '.join(matchers[name])}" for name in _GLOBS if name in matchers]
    severity = [f"severity {matchers['severity']} and below"] if "severity" in matchers else []
    return ", ".join([*globs, *severity]) or "everything"
