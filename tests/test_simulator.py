"""What is told of whole histories: scripted ones to the word, random ones by what must hold of any."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.core.requests import SavedRequest
from syncd.demo.vendor import SimulatedVendor
from tests.conftest import Clock, sqlite_url
from tests.fake_slack import FakeSlack
from tests.simulator import history as simulated
from tests.simulator import oracle
from tests.simulator.history import GARBAGE, SILENCE, Restarted, Rotated, Step, refuses, span, wait
from tests.simulator.oracle import Offer, Rules, catalogue
from tests.simulator.program import Program
from tests.simulator.scenarios import FINANCE, SCENARIOS, Scenario
from tests.simulator.world import Parts, Settings, recorded, simulate, told
from tests.watching import at


@pytest.fixture
def url(migrated_sqlite: Path, tmp_path: Path) -> str:
    return sqlite_url(Path(shutil.copy(migrated_sqlite, tmp_path / "syncd.db")))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_history_is_told_so_and_not_otherwise(url: str, scenario: Scenario):
    parts = simulate(url, scenario.history, scenario.settings)
    try:
        assert told(parts) == {spec: list(messages) for spec, messages in scenario.told.items()}
        assert recorded(parts, "retracted") == scenario.retracted
        assert recorded(parts, "held") == scenario.held
        assert recorded(parts, "recorded") == scenario.recorded
    finally:
        parts.stop()


# Longer ones repeat the same over and over.
SHORT: Final = [scenario for scenario in SCENARIOS if len(scenario.history) <= 32]


@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_the_program_tells_the_same_over_http(url: str, clock: Clock, scenario: Scenario):
    """The real fetcher, poller, outbox and Slack sink, as `syncd.app` puts them together."""
    with SimulatedVendor() as vendor, FakeSlack(clock) as slack:
        program = Program(url, clock, scenario.settings, vendor=vendor, slack=slack)
        try:
            program.play((*scenario.history, *wait("10m")))
            assert told(program) == {spec: list(messages) for spec, messages in scenario.told.items()}
            for state in ("retracted", "held", "recorded"):
                assert recorded(program, state) == getattr(scenario, state)
        finally:
            program.stop()


# --- histories that nobody wrote -----------------------------------------------------------------------------------

SLUGS: Final = "abcdef"
PRICES: Final = (10, 20, 40)
AFTER: Final = ("20s", "5m", "15m", "31m", "2h", "7h", "30h", "3d")
FAULTS: Final = (
    SILENCE,
    GARBAGE,
    refuses(401, "KEY_REVOKED"),
    refuses(403, "TIER_LOCKED"),
    refuses(412, "PRECONDITION_FAILED"),
    refuses(503, "PROVIDER_DOWN"),
    refuses(429, "CONCURRENCY_LIMIT"),
)


@dataclass(frozen=True)
class Tale:
    """A random history under random settings, which ends with the vendor being well for two days."""

    rules: Rules
    steps: tuple[Step, ...]
    in_use: str

    def __repr__(self) -> str:
        rules = f"{self.rules.polls} polls and {self.rules.after}; a request uses {self.in_use!r}"
        return "\n".join([rules, *map(line, self.steps)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001  how hypothesis asks for it
        printer.text(repr(self))


def line(step: Step) -> str:
    """A step for people."""
    match step:
        case simulated.Polled(after, said, key):
            return f"  {after} later {key}: {said.what}"
    return f"  {step}"


offers = st.builds(Offer, st.sampled_from(PRICES), st.booleans())
whole = st.dictionaries(st.sampled_from(SLUGS), offers, min_size=3, max_size=6)


@st.composite
def tales(draw: st.DrawFn) -> Tale:
    """A few catalogues that are near to each other, in any order and with faults between them."""
    first = draw(whole)
    pool = [first, *(draw(near(first)) for _ in range(draw(st.integers(1, 3))))]
    answers = st.one_of(
        st.sampled_from(pool).map(oracle.write).map(catalogue),
        st.sampled_from(pool).map(oracle.write).map(catalogue),
        st.sampled_from(FAULTS),
        st.sampled_from(pool).map(lambda one: catalogue(oracle.write(one, complete=False))),
        st.just(catalogue(oracle.EMPTY)),
    )
    keys = st.sampled_from(["prod", "prod", "prod", "beta"])
    polls = st.builds(simulated.Polled, st.sampled_from(AFTER).map(span), answers, keys)
    others = st.one_of(keys.map(Rotated), st.just(Restarted()))
    steps = draw(st.lists(st.one_of(polls, polls, polls, polls, others), min_size=2, max_size=16))
    begin = [simulated.Polled(span("1s"), catalogue(oracle.write(first)), key) for key in ("prod", "beta")]
    end = [
        simulated.Polled(span("7h"), catalogue(oracle.write(draw(st.sampled_from(pool)))), key)
        for key in ("prod", "beta")
    ]
    rules = draw(st.sampled_from([Rules(), Rules(1, span("0s")), Rules(3, span("10m")), Rules(1, span("1h"))]))
    return Tale(rules, (*begin, *steps, *(end * 4)), draw(st.sampled_from(SLUGS)))


def near(one: dict[str, Offer]) -> st.SearchStrategy[dict[str, Offer]]:
    """The same with a few models gone, new or other."""
    changed = st.dictionaries(st.sampled_from(SLUGS), st.one_of(st.none(), offers), max_size=4)
    return changed.map(lambda other: {slug: offer for slug, offer in {**one, **other}.items() if offer is not None})


@dataclass
class Played:
    """A tale that was told, and what it had to come to."""

    tale: Tale
    parts: Parts
    keys: dict[str, oracle.Key]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.parts.rows(query)


@contextmanager
def played(tale: Tale, template: Path) -> Iterator[Played]:
    """The tale told by the program, and read by the oracle at the same time."""
    rules = tale.rules
    judgement = {
        "confirm_polls": rules.polls,
        "confirm_after": rules.after,
        "drop_count": rules.drop_count,
        "drop_share": Decimal("0.2"),
    }
    request = SavedRequest("nightly", {"model": tale.in_use, "prompt": "x"}, keys=("prod",))
    with tempfile.TemporaryDirectory() as folder:
        url = sqlite_url(Path(shutil.copy(template, Path(folder) / "history.db")))
        parts = Parts(url, Clock(), Settings(requests=(request,), judgement=judgement, look=span("12h")))
        keys = {name: oracle.Key(rules) for name in ("prod", "beta")}
        try:
            for step in tale.steps:
                parts.play([step])
                if isinstance(step, simulated.Polled):
                    keys[step.key].poll(step.said, parts.clock())
                elif isinstance(step, Rotated):
                    keys[step.key].rotated = True
            yield Played(tale, parts, keys)
        finally:
            parts.stop()


# What changes of random histories are, in the oracle's words.
WHAT: Final = {"model.added": "added", "model.returned": "returned", "model.removed": "removed"}


def what(kind: str) -> str:
    return WHAT.get(kind) or ("price" if kind.startswith("credits.band.") else "param")


OF_KEY: Final = "SELECT {} FROM changes c JOIN api_keys k ON k.id = c.key_id WHERE k.name = '{}' AND c.slug IS NOT NULL"


def swinging(played: Played, name: str) -> set[str]:
    """Models that came and went three times in a day: they are waited out, which `FLAPS` looks at."""
    rows = played.rows(OF_KEY.format("c.slug, c.kind, c.detail", name))
    return {slug for slug, kind, detail in rows if kind in WHAT and "flapping" in detail}


def observed_is_what_differs(played: Played) -> None:
    """Nothing is invented and nothing missed: also not behind an absence, and nothing at a failed poll."""
    for name, key in played.keys.items():
        rows = played.rows(OF_KEY.format("c.detected_at, c.slug, c.kind", name) + " ORDER BY c.id")
        left_out = swinging(played, name)
        found = sorted((moment, slug, what(kind)) for moment, slug, kind in rows if slug not in left_out)
        expected = sorted((at(one.at), one.slug, one.what) for one in key.observed if one.slug not in left_out)
        assert found == expected, name


def holds_last_as_long_as_they_must(played: Played) -> None:
    """Until the N-th good complete poll at or after T, never longer and never shorter."""
    for name, key in played.keys.items():
        rows = played.rows(
            OF_KEY.format("c.slug, c.detected_at, c.settled_at, c.state", name)
            + " AND c.kind = 'model.removed' ORDER BY c.id"
        )
        expected = [(one.slug, at(one.since), one.end and at(one.end), one.back) for one in key.absences]
        found = [(slug, since, end or since, state == "retracted") for slug, since, end, state in rows]
        left_out = swinging(played, name)
        assert sorted(one for one in found if one[0] not in left_out) == sorted(
            one for one in expected if one[0] not in left_out
        ), name


def what_is_told_goes_where_it_must(played: Played) -> None:
    """Once to each destination whose route wants it, or that heard what it takes back."""
    told: dict[int, set[str]] = {}
    query = """
        SELECT a.change_id, t.spec FROM announcements a JOIN destinations t ON t.id = a.destination_id
        WHERE a.change_id IS NOT NULL AND a.edge IS NULL AND a.state = 'sent'
    """
    for change, spec in played.rows(query):
        assert spec not in told.setdefault(change, set())
        told[change].add(spec)
    changes = played.rows(
        "SELECT c.id, k.name, c.kind, c.slug, c.severity, c.state, c.detail FROM changes c"
        " JOIN api_keys k ON k.id = c.key_id WHERE c.state <> 'baseline' AND c.slug IS NOT NULL ORDER BY c.id"
    )
    removed: dict[tuple[str, str], set[str]] = {}
    for change, key, kind, slug, severity, state, detail in changes:
        heard = told.get(change, set())
        if state != "announced":
            assert heard == set(), (change, kind, state)
            continue
        wanted = wanted_at(key, severity)
        if "reverts" in detail:
            wanted = told.get(detail["reverts"], set()) | (wanted if severity == "breaking" else set())
        if "notice" in detail.get("flapping", {}):
            wanted |= told.get(detail["flapping"]["notice"], set())
        if kind == "model.returned":
            wanted |= removed.get((key, slug), set())
        if kind == "model.removed":
            removed[key, slug] = heard
        # Whether a price moved enough is not looked into here.
        assert heard - {FINANCE} == wanted - {FINANCE}, (change, kind, slug)


def wanted_at(key: str, severity: str) -> set[str]:
    """The destinations whose routes want a change of this severity."""
    return (
        {"slack:#all"}
        | ({"slack:#oncall"} if severity == "breaking" else set())
        | ({"slack:#beta"} if key == "beta" else set())
    )


def told_is_true(played: Played) -> None:
    """Who replays what #all was told, from the first catalogue on, ends with what the vendor lists."""
    for name, key in played.keys.items():
        mine: dict[str, Offer] = dict(key.baseline or {})
        gone: dict[str, Offer] = {}
        for kind, slug, new in played.rows(
            f"""
            SELECT c.kind, c.slug, c.new FROM announcements a
            JOIN changes c ON c.id = a.change_id JOIN api_keys k ON k.id = c.key_id
            JOIN destinations t ON t.id = a.destination_id
            WHERE t.spec = 'slack:#all' AND k.name = '{name}' AND a.edge IS NULL AND a.state = 'sent'
            AND c.slug IS NOT NULL ORDER BY a.id
            """
        ):
            all_known = {**gone, **mine}
            match what(kind):
                case "added":
                    mine[slug] = Offer(new["credits_band"]["min"], "extra" in new["params"])
                case "returned":
                    mine[slug] = gone.pop(slug)
                case "removed":
                    gone[slug] = mine.pop(slug)
                case "price":
                    (mine if slug in mine else gone)[slug] = Offer(new["min"], all_known[slug].extra)
                case "param":
                    (mine if slug in mine else gone)[slug] = Offer(all_known[slug].price, new is not None)
        assert mine == key.known, name


def nobody_hears_of_a_model_twice_as_new(played: Played) -> None:
    for name in played.keys:
        rows = played.rows(OF_KEY.format("c.slug", name) + " AND c.kind = 'model.added'")
        assert len(rows) == len(set(rows)), rows


def conditions_open_and_close_in_time(played: Played) -> None:
    rows = played.rows(
        "SELECT kind, subject, opened_at, closed_at FROM conditions WHERE kind <> 'vendor.unreachable' ORDER BY id"
    )
    expected = [
        (one.kind, f"key:{name}", at(one.opened), one.closed and at(one.closed))
        for name, key in played.keys.items()
        for one in key.troubles
    ]
    assert sorted(rows, key=str) == sorted(expected, key=str)
    assert played.rows("SELECT kind FROM conditions WHERE closed_at IS NULL") == []


def nothing_is_left(played: Played) -> None:
    """After two good days nothing is held, and nothing waits to be told."""
    assert recorded(played.parts, "held") == ""
    left = "SELECT state, edge FROM announcements WHERE state NOT IN ('sent', 'below_threshold')"
    assert [row for row in played.rows(left) if row[1] != "changed"] == []


def no_failed_poll_changes_anything(played: Played) -> None:
    failed = {at(moment) for key in played.keys.values() for moment in key.bad}
    moments = played.rows("SELECT detected_at, settled_at FROM changes")
    assert not failed & {moment for row in moments for moment in row if moment}


def nobody_hears_of_what_he_may_not_see(played: Played) -> None:
    """The channel of beta hears nothing of prod: no change, and no word."""
    query = """
        SELECT DISTINCT k.name FROM announcements a JOIN changes c ON c.id = a.change_id
        JOIN api_keys k ON k.id = c.key_id JOIN destinations t ON t.id = a.destination_id WHERE t.spec = 'slack:#beta'
    """
    assert set(played.rows(query)) <= {("beta",)}
    assert [text for to, text in played.parts.notebook.taken if to == "#beta" and "prod" in text] == []


LAWS: Final = (
    observed_is_what_differs,
    no_failed_poll_changes_anything,
    holds_last_as_long_as_they_must,
    nobody_hears_of_a_model_twice_as_new,
    told_is_true,
    what_is_told_goes_where_it_must,
    conditions_open_and_close_in_time,
    nothing_is_left,
    nobody_hears_of_what_he_may_not_see,
)


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tale=tales())
def test_whatever_happens_every_law_holds(migrated_sqlite: Path, tale: Tale):
    with played(tale, migrated_sqlite) as of:
        for law in LAWS:
            law(of)
