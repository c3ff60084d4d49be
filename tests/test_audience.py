"""Nobody reads of a key that no route of theirs sees: not its name, models, prices, labels, balance, nor how many.

Non-interference: what a destination is told is the same in a world without the keys that it may not see. Everything
runs through the real flows on a real database; of a message, everything counts that any sink would show.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from syncd.core.delivery import Attempted, CannotEverLook, Delivered, Looked, Unusable
from syncd.core.message import as_text
from syncd.core.routing import KeyFacts, Route, sees
from syncd.core.slots import Slots
from syncd.outbox import Outbox
from syncd.sinks import Parcel
from syncd.sinks.slack.render import payload
from syncd.store import schema
from tests.conftest import Clock, sqlite_url
from tests.watching import REQUEST_TAKES, Watch, listing, model, refusal

KEYS = ("ada", "bob", "cyd", "dan")
DESTINATIONS = ("slack:#one", "slack:#two", "slack:#three")


@dataclass
class Paper:
    """A sink that keeps every form of every message, by destination."""

    told: dict[str, set[str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    broken: frozenset[str] = frozenset()
    distance: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    def locate(self, target: str) -> str:
        return target

    def send(self, parcel: Parcel) -> Attempted:
        if parcel.target in self.broken:
            return Unusable("channel", "is_archived")
        message = parcel.message
        forms = [as_text(message), *(json.dumps(payload(message, "dlv", rung)) for rung in ("rich", "bare", "plain"))]
        self.told.setdefault(f"slack:{parcel.target}", set()).update(map(masked, forms))
        return Delivered(f"{next(self.numbers)}.0")

    def look(self, parcel: Parcel) -> Looked:
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        return Unusable("channel", "is_archived") if target in self.broken else None


def masked(text: str) -> str:
    """Without what may differ: ids, times, how long something took."""
    text = re.sub(r"dlv_?\w*", "dlv", text)
    text = re.sub(r"<!date\^\d+", "<!date", text)
    text = re.sub(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d( UTC|Z)?", "(time)", text)
    return re.sub(r"\b\d+ [smhd]\b( \d+ [smhd]\b)*", "(span)", text)


# --- worlds --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Something that happens to a key: to its catalogue, or to how it is answered."""

    key: str
    what: str
    number: int


def mark(key: str) -> int:
    """Numbers that only this key's catalogue holds."""
    return 7_000 + 111 * KEYS.index(key)


def catalogue(key: str, number: int) -> bytes:
    """Models that the key alone has, in a state that the number names; and one that all have."""
    price = mark(key)
    own = model(f"own-{key}", price=(price + number, price + number + 50), description=f"for {key} {number}")
    some = [model(f"{key}-{n}", price=(price, price)) for n in range(number % 4)]
    return listing(own, *some, model("shared", price=(10 + number % 3, 100)), balance=price * 1000 + number)


def happen(watch: Watch, event: Event) -> None:
    match event.what:
        case "listing":
            watch.answer(event.key, catalogue(event.key, event.number))
        case "emptied":
            watch.answer(event.key, listing(balance=mark(event.key) * 1000))
        case "refused":
            watch.answer(event.key, refusal("KEY_REVOKED", request_id=f"req-{event.key}"), status=401)
        case "away":
            watch.no_answer(event.key, "no answer within 20 s")


def world(
    url: str, routes: Sequence[Route], labels: Mapping[str, Mapping[str, str]], events: Sequence[Event], broken: str
) -> dict[str, set[str]]:
    """What each destination is told where these keys exist and these events happen."""
    clock = Clock()
    paper = Paper(broken=frozenset({broken.removeprefix("slack:")}))
    watch = Watch(url, clock, routes=routes)
    for name in sorted(labels):
        watch.add(name, labels=labels[name])
    numbers = count(1)
    box = Outbox(
        store=watch.store,
        sinks={"slack": paper},
        routes=tuple(routes),
        keys=dict(watch.keys),
        clock=clock,
        new_id=lambda: f"dlv_{next(numbers)}",
    )
    everybody_well = [Event(key, "listing", 1) for key in KEYS]
    # Twice at the end, so that what is held for long enough is told: of each key a poll every forty minutes.
    for event in [*everybody_well, *events, *everybody_well, *everybody_well]:
        if event.key in labels:
            happen(watch, event)
        else:
            clock.now += REQUEST_TAKES  # the same time in both worlds
        clock.advance(minutes=10)
        deliver(box)
    clock.advance(days=7)
    deliver(box)
    watch.close()
    return paper.told


def deliver(box: Outbox) -> None:
    for _ in range(50):
        if not box.step():
            return
    raise AssertionError("it does not come to an end")


# --- the property --------------------------------------------------------------------------------------------------

tenants = st.sampled_from(["red", "blue", "green"])
key_globs = st.lists(st.sampled_from([*KEYS, "a*", "*d", "[ab]*"]), max_size=2).map(tuple)
all_labels = st.fixed_dictionaries({key: st.fixed_dictionaries({"tenant": tenants}) for key in KEYS})


@st.composite
def all_routes(draw: st.DrawFn) -> list[Route]:
    routes = []
    for number in range(draw(st.integers(1, 4))):
        narrow = draw(st.booleans())
        routes.append(
            Route(
                name=f"route {number}",
                to=draw(st.sampled_from(DESTINATIONS)),
                keys=draw(key_globs) if narrow else (),
                labels={} if narrow else {"tenant": draw(tenants)},
                summary=draw(st.sampled_from([None, Slots()])),
            )
        )
    return routes


events = st.lists(
    st.builds(
        Event,
        key=st.sampled_from(KEYS),
        what=st.sampled_from(["listing", "listing", "emptied", "refused", "away", "away"]),
        number=st.integers(0, 7),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("audience") / "template.db"
    schema.migrate(sqlite_url(file))
    return file


def fresh(template: Path, name: str) -> str:
    file = template.with_name(name)
    for old in template.parent.glob(f"{name}*"):
        old.unlink()
    shutil.copy(template, file)
    return sqlite_url(file)


# Two worlds take about a second.
@settings(max_examples=20, derandomize=True, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(routes=all_routes(), labels=all_labels, events=events, broken=st.sampled_from(["", *DESTINATIONS]))
def test_a_destination_is_told_the_same_without_the_keys_it_may_not_see(
    template: Path, routes: list[Route], labels: dict[str, Any], events: list[Event], broken: str
):
    destination = routes[0].to
    mine = [route for route in routes if route.to == destination]
    visible = {key: labels[key] for key in KEYS if may_see(mine, key, labels[key])}
    everything = world(fresh(template, "all.db"), routes, labels, events, broken).get(destination, set())
    alone = world(fresh(template, "alone.db"), routes, visible, events, broken).get(destination, set())
    assert everything == alone
    check_words(everything, set(KEYS) - set(visible))


def may_see(routes: Sequence[Route], key: str, labels: Mapping[str, str]) -> bool:
    return any(sees(route, KeyFacts(key, key, "", labels)) for route in routes)


def check_words(messages: set[str], hidden: set[str]) -> None:
    """No word and no number that belongs to a hidden key alone."""
    for text in messages:
        for key in hidden:
            assert not re.search(rf"\b{key}\b", text)
            numbers = re.sub(r"[\u202f ]|\\u202f", "", text)
            assert str(mark(key)) not in numbers
