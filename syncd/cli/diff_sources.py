"""Where the two catalogues come from that `syncd diff` compares, and what has to be said of them.

two_files    bytes -> the provider's own reading -> Side, or one line that says why it is no catalogue
two_times    the history -> Side, Side, and what models were that had gone before the first
two_keys     the history -> Side, Side
"""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syncd.cli.common import Options, load, opened
from syncd.cli.show import moment
from syncd.core.canon import Note
from syncd.core.catalog import Catalog, Listed
from syncd.core.changes import Policy
from syncd.core.message import names
from syncd.core.requests import SavedRequest, validate
from syncd.core.text import clean, count
from syncd.core.text import moment as shown
from syncd.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncd.config import Config

# Four times what a poll takes by default, and what still fits easily into memory.
LARGEST_FILE: Final = 64 * 1024**2

# More oddities of one response than anybody reads; the rest is counted.
_MOST_NOTES: Final = 50

_STDIN: Final = "-"
_WHOLE: Final = "give the whole body of a GET /api/v1/models, as it came"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two catalogues, and what people call it."""

    name: str
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared, and by which rules. `gone` is what models were that had gone before `old`."""

    old: Side
    new: Side
    policy: Policy
    requests: tuple[SavedRequest, ...]
    gone: Mapping[str, Listed] = field(default_factory=dict)

    def notes(self) -> Iterator[str]:
        """Everything that has to be said and is no change."""
        for side in (self.old, self.new):
            for note in side.catalog.notes[:_MOST_NOTES]:
                place = f" {clean(note.place, 300)}" if note.place else ""
                yield f"{side.name}{place}: {clean(note.what, 300)}"
            if (more := len(side.catalog.notes) - _MOST_NOTES) > 0:
                yield f"{side.name}: {count(more, 'more oddity', 'more oddities')} like these"
        yield from self._absences()
        listed = self.old.catalog.models.keys() | self.new.catalog.models.keys()
        for request in self.requests:
            if request.model not in listed:
                name, model = clean(request.name, 120), clean(request.model, 120)
                yield f"request {name}: neither side lists {model}, so nothing touches it"
            elif why := self._refused(request):
                yield f"request {clean(request.name, 120)} is refused by both sides: {clean(why, 300)}"

    def _refused(self, request: SavedRequest) -> str | None:
        """Why the new side refuses what the old one refused already: no change is to blame for it."""
        found = [side.catalog.models.get(request.model) for side in (self.old, self.new)]
        rules = self.policy
        judged = [
            validate(
                request.body,
                listed.body(),
                unknown_params=rules.unknown_params,
                required_with_default=rules.required_with_default,
            )
            for listed in found
            if listed is not None
        ]
        if [each.verdict for each in judged] != ["rejected", "rejected"]:
            return None
        return "; ".join(problem.message for problem in judged[1].problems if problem.decided)

    def _absences(self) -> Iterator[str]:
        old, new = self.old.catalog.models.keys(), self.new.catalog.models.keys()
        if not self.new.catalog.complete and old - new:
            unlisted = f"{count(len(old - new), 'model')} that it does not list ({names(sorted(old - new))})"
            yield f"{self.new.name}: incomplete, so {unlisted} may be there all the same"
        if not self.old.catalog.complete and new - old:
            yield f"{self.old.name}: incomplete, so models that {self.new.name} adds may have been there before"


# --- two saved responses -------------------------------------------------------------------------------------------


def two_files(options: Options, old: str, new: str, requests: Sequence[Path]) -> Sides:
    """Two saved responses. The configuration counts only if it was named: the folder one stands in says nothing."""
    if old == new == _STDIN:
        raise UsageError("standard input can be only one of the two", "name a file for the other")
    if _STDIN in (old, new) and Path(_STDIN) in requests:
        raise UsageError("standard input is a response already and no request too", "name a file for one of them")
    config = None
    if options.config is not None or os.environ.get("SYNCD_CONFIG"):
        config = load(options, secrets=False, requests=True)
    saved = _requests(requests) + (() if config is None else config.requests)
    return Sides(_response(old), _response(new), Policy() if config is None else config.rules.policy, saved)


def _response(file: str) -> Side:
    from syncd.core.reading import Listing, Refused, explain
    from syncd.providers import vivix

    name = "standard input" if file == _STDIN else clean(file, 200)
    reading = vivix.listing(_bytes(file))
    if isinstance(reading, Listing):
        return Side(name, reading.catalog)
    if isinstance(reading, Refused):
        raise UsageError(f"{name} holds a refusal, not a catalogue: {explain(reading)}", _WHOLE)
    places = "; ".join(f"{clean(note.place, 200)}: {note.what}".removeprefix(": ") for note in reading.places[:3])
    raise UsageError(f"{name} is no catalogue: {clean(places, 600)}", _WHOLE)


def _bytes(file: str) -> bytes:
    from syncd.config.files import content
    from syncd.config.problems import Refused

    if file == _STDIN:
        read = sys.stdin.buffer.read(LARGEST_FILE + 1)
        if len(read) > LARGEST_FILE:
            raise UsageError(f"standard input is larger than {LARGEST_FILE} bytes", _WHOLE)
        return read
    try:
        return content(Path(file), LARGEST_FILE)
    except Refused as refused:
        raise UsageError(refused.message, refused.hint) from None


def _requests(paths: Sequence[Path]) -> tuple[SavedRequest, ...]:
    from syncd.config.problems import Refused

    try:
        return tuple(_request(path) for path in dict.fromkeys(paths))
    except Refused as refused:
        raise UsageError(f"--request: {refused.message}", refused.hint) from None


def _request(path: Path) -> SavedRequest:
    from syncd.config import requests

    if path != Path(_STDIN):
        return SavedRequest(str(path), requests.request_in(path))
    name = "standard input"
    read = sys.stdin.buffer.read(requests.LARGEST_REQUEST + 1)
    return SavedRequest(name, requests.named_model(requests.read_request(read, name), name))


# --- what was stored -----------------------------------------------------------------------------------------------


def two_times(options: Options, key: str, since: str, until: str | None, requests: Sequence[Path]) -> Sides:
    """What one key listed at two times."""
    from syncd.store import as_of

    now = datetime.now(UTC)
    start, end = _past("--from", since, now), None if until is None else _past("--to", until, now)
    if end is not None and end < start:
        raise UsageError(f"--from {shown(start)} is later than --to {shown(end)}", "give the earlier time to --from")
    config = load(options, secrets=False, requests=True)
    with opened(config.database.url) as connection:
        id_ = _key(connection, key)
        old, new = _observed(connection, key, id_, start), _observed(connection, key, id_, end)
        back = new.catalog.models.keys() - old.catalog.models.keys()
        gone = as_of.gone(connection, id_, back, start)
    return Sides(old, _settled(new), config.rules.policy, _all(config, key, requests), gone)


def _settled(side: Side) -> Side:
    """Intervals end only where an absence was proved: what the key listed before and is not there any more has gone."""
    if side.catalog.complete:
        return side
    note = Note("", "the answer was incomplete; what was listed before and not by it counts as still listed")
    return replace(side, catalog=replace(side.catalog, notes=(note,), complete=True))


def two_keys(options: Options, key: str, other: str, requests: Sequence[Path]) -> Sides:
    """What two keys list now."""
    config = load(options, secrets=False, requests=True)
    with opened(config.database.url) as connection:
        old, new = (_observed(connection, name, _key(connection, name), None) for name in (key, other))
    return Sides(old, new, config.rules.policy, _all(config, key, requests))


def _all(config: Config, key: str, requests: Sequence[Path]) -> tuple[SavedRequest, ...]:
    return (*_requests(requests), *(request for request in config.requests if request.is_for(key)))


def _past(option: str, given: str, now: datetime) -> datetime:
    at = moment(given, now)
    if at > now:
        raise UsageError(f"{option} {shown(at)} is yet to come", "give a time that has passed")
    return at


def _key(connection: Connection, name: str) -> int:
    from syncd.store import as_of

    known = as_of.keys(connection)
    if name not in known:
        raise UsageError(f"there is no key {name!r} in the history", f"keys: {', '.join(known) or '(none)'}")
    return known[name]


def _observed(connection: Connection, name: str, key: int, at: datetime | None) -> Side:
    from syncd.store import as_of

    catalog = as_of.catalogue(connection, key, at)
    if catalog is not None:
        return Side(f"{name} now" if at is None else f"{name} at {shown(at)}", catalog)
    first = as_of.first(connection, key)
    if first is None or at is None:
        raise UsageError(f"key {name!r} has no catalogue yet", "`syncd status` says why, `syncd once` asks for one")
    raise UsageError(
        f"key {name!r} had no catalogue at {shown(at)}: the first is of {shown(first)}",
        f"give a time from {first.isoformat()} on",
    )
