"""What goes back and forth: a revert answers, flapping is told once and waited out, news is never swallowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.core.canon import Json
from syncd.core.catalog import Catalog
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.judge import Context, Held, Judgement, NewChange, News, Past, judge
from syncd.core.judge.toggles import MANY, STABLE, WINDOW
from syncd.core.reading import Same
from syncd.core.routing import Announcement, KeyFacts, Route
from tests.test_judge import FACTS, listing

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROD = KeyFacts("prod", "acme", "https://v.example")
ALL = Route("all", "console")


@dataclass
class History:
    """A key whose changes are kept in memory, as the store would keep them."""

    routes: tuple[Route, ...] = (ALL,)
    now: datetime = NOW
    past: list[Past] = field(default_factory=list)
    known: Catalog | None = None
    confirm_after: timedelta = timedelta(0)
    listings: list[Catalog] = field(default_factory=list)

    def poll(self, *models: Mapping[str, Json], after: timedelta = HOUR, **account: Json) -> News:
        """The next listing, so long after the last one."""
        self.now += after
        reading = listing(*models, **account)
        news = judge(reading, self._found(reading.catalog), self._context(), self._policy, self.now)
        self._keep(news)
        self.known = reading.catalog
        return news

    def again(self, after: timedelta = HOUR) -> News:
        """The same bytes once more."""
        self.now += after
        assert self.known is not None
        news = judge(Same(self.known.digest, FACTS), (), self._context(), self._policy, self.now)
        self._keep(news)
        return news

    @property
    def _policy(self) -> Judgement:
        return Judgement(self.routes, confirm_polls=1, confirm_after=self.confirm_after)

    def _found(self, after: Catalog) -> list[Change]:
        self.listings.append(after)
        if self.known is None:
            return []
        gone = {one.change.slug: one.change for one in self.past if one.change.kind == "model.removed"}
        was = {slug: m for one in self.listings for slug, m in one.models.items() if slug in gone}
        return diff(Before(self.known.account, self.known.models, was), after, Policy())

    def _context(self) -> Context:
        lately = [one for one in self.past if one.at >= self.now - WINDOW]
        held = tuple(Held(one.id, one.change, 1, one.at) for one in self.past if one.state == "held")
        return Context(
            PROD,
            "ok",
            0,
            has_baseline=self.known is not None,
            digest=None if self.known is None else self.known.digest,
            held=held,
            told_of=lambda change: tuple((one.destination, one.route) for one in self.past[change - 1].told),
            past=lambda pointers: {p: tuple(one for one in lately if one.change.pointer == p) for p in pointers},
        )

    def _keep(self, news: News) -> None:
        for step in news.holds:
            self.past = [replace(one, state=step.state) if one.id == step.id else one for one in self.past]
        for new in news.changes:
            if new.state != "baseline":
                self.past.append(Past(len(self.past) + 1, new.change, new.state, self.now, new.announcements))


def model(**more: Json) -> dict[str, Json]:
    return {"slug": "wan", "category": "video", "params": {}, **more}


def priced(low: int, high: int) -> dict[str, Json]:
    return model(credits_band={"min": low, "max": high})


def history(first: Mapping[str, Json], **settings: Any) -> History:
    found = History(**settings)
    found.poll(first)
    return found


def only(news: News) -> NewChange:
    (new,) = news.changes
    return new


def test_a_price_there_and_back_is_told_once_and_taken_back():
    it = history(priced(90, 200))
    assert only(it.poll(priced(120, 200))).state == "announced"
    back = only(it.poll(priced(90, 200), after=6 * HOUR))
    assert (back.state, back.change.detail["reverts"]) == ("announced", 1)
    assert "flapping" not in back.change.detail


def test_after_a_day_it_is_a_change_like_any_other():
    it = history(priced(90, 200))
    it.poll(priced(120, 200))
    back = only(it.poll(priced(90, 200), after=WINDOW + HOUR))
    assert "reverts" not in back.change.detail


def test_a_revert_goes_exactly_where_the_change_went():
    it = history(priced(90, 200), routes=(Route("dear", "console", kinds=("credits.band.floor-raised",)),))
    it.poll(priced(120, 200))
    back = only(it.poll(priced(90, 200)))
    assert [(one.destination, one.route) for one in back.announcements] == [("console", "dear")]


def test_what_was_told_to_nobody_is_taken_back_in_silence():
    it = history(priced(90, 200), routes=(Route("cheap", "console", kinds=("credits.band.floor-lowered",)),))
    assert only(it.poll(priced(120, 200))).state == "recorded"
    assert only(it.poll(priced(90, 200))).state == "recorded"


def test_a_revert_that_breaks_requests_goes_where_breaking_changes_go_too():
    breaking = Route("oncall", "slack:#oncall", min_severity="breaking")
    additive = Route("news", "console", kinds=("param.enum.value-added",))
    it = history(enum("1K"), routes=(breaking, additive))
    assert [one.destination for one in only(it.poll(enum("1K", "2K"))).announcements] == ["console"]
    back = only(it.poll(enum("1K")))
    assert back.change.severity == "breaking"
    assert [one.destination for one in back.announcements] == ["console", "slack:#oncall"]


def enum(*values: str) -> dict[str, Json]:
    return model(params={"resolution": {"type": "enum", "values": list(values)}})


def test_several_values_of_one_list_are_no_flapping():
    it = history(enum("a"))
    news = it.poll(enum("a", "b", "c", "d"))
    assert [(new.state, "flapping" in new.change.detail) for new in news.changes] == [("announced", False)] * 3


def test_what_still_waits_for_its_digest_is_taken_back_with_it():
    it = history(priced(90, 200))
    it.poll(priced(120, 200))
    later = it.now + 20 * HOUR
    it.past[0] = replace(it.past[0], told=(Announcement("slack:#daily", "daily", later),))
    (told,) = only(it.poll(priced(90, 200))).announcements
    assert (told.destination, told.not_before) == ("slack:#daily", later)


# --- flapping ------------------------------------------------------------------------------------------------------


def swinging(times: int, **settings: Any) -> tuple[History, list[NewChange]]:
    it = history(priced(90, 200), **settings)
    return it, [only(it.poll(priced(120 if n % 2 == 0 else 90, 200))) for n in range(times)]


def test_the_third_time_is_told_as_flapping_and_then_nothing():
    _, news = swinging(9)
    assert [new.state for new in news] == [
        *("announced", "announced", "announced", "held", "retracted", "held", "retracted", "held", "retracted"),
    ]
    third = news[MANY - 1].change.detail["flapping"]
    assert third == {"times": 3, "since": "2026-03-02T11:00:00Z", "stable": "6h"}
    assert news[3].change.detail["flapping"] == {**third, "times": 4, "notice": 3}


def test_what_holds_for_long_enough_is_told():
    it, _ = swinging(4)
    assert it.again(STABLE - timedelta(minutes=1)).holds == ()
    (step,) = it.again(timedelta(minutes=1)).holds
    assert (step.state, [one.destination for one in step.announcements]) == ("announced", ["console"])
    assert it.again().holds == ()


def test_those_who_heard_that_it_flaps_hear_that_it_has_settled():
    dear = Route("dear", "slack:#dear", kinds=("credits.band.floor-raised",))
    it, _ = swinging(4, routes=(ALL, dear))
    (step,) = it.again(STABLE).holds
    assert [one.destination for one in step.announcements] == ["console", "slack:#dear"]


def test_it_settles_for_those_who_heard_although_they_would_not_hear_of_the_last_step():
    it, news = swinging(4, routes=(Route("dear", "slack:#dear", kinds=("credits.band.floor-raised",)),))
    assert [new.state for new in news] == ["announced", "announced", "announced", "held"]
    (step,) = it.again(STABLE).holds
    assert (step.state, [one.destination for one in step.announcements]) == ("announced", ["slack:#dear"])


def test_what_undoes_a_step_is_a_step_too():
    it, _ = swinging(3)
    told = [only(it.poll(priced(90 if n % 2 == 0 else 120, 200), after=5 * HOUR)) for n in range(6)]
    assert not [new for new in told if new.announcements]


def test_what_is_back_where_it_was_told_last_is_not_told_again():
    it, _ = swinging(5)
    assert it.again(2 * STABLE).holds == ()


def test_what_has_settled_may_change_again():
    it, _ = swinging(3)
    again = only(it.poll(priced(90, 200), after=STABLE + HOUR))
    assert (again.state, again.change.detail.get("reverts")) == ("announced", 3)


def test_a_new_price_is_told_although_the_old_ones_flap():
    it, _ = swinging(4)
    news = it.poll(priced(500, 900))
    assert only(news).state == "announced"
    assert [step.state for step in news.holds] == ["retracted"]


@pytest.mark.parametrize(
    "noise",
    [
        lambda n: model(description=f"used {n} times"),
        lambda n: model(params={"prompt": {"type": "string", "updated": n}}),
        lambda n: model(example_request={"seed": n}),
    ],
)
def test_a_field_that_never_says_the_same_is_told_three_times_a_day(noise: Any):
    it = history(noise(0))
    quarter = timedelta(minutes=15)
    told = [new for n in range(1, 97) for new in it.poll(noise(n), after=quarter).changes if new.announcements]
    assert len(told) == MANY
    assert sum(one.state == "held" for one in it.past) == 1


def test_a_series_of_new_prices_is_told_every_time():
    it = history(priced(1, 9))
    states = [only(it.poll(priced(n, 10 * n))).state for n in range(2, 9)]
    assert states == ["announced"] * 7


def test_nobody_wants_it_so_nothing_is_held():
    _, news = swinging(6, routes=())
    assert [new.state for new in news] == ["recorded"] * 6


# --- models that come and go ---------------------------------------------------------------------------------------

OTHER = {"slug": "other", "category": "video", "params": {}}


def presence(news: Iterable[NewChange]) -> list[tuple[str, str]]:
    return [(new.change.kind, new.state) for new in news]


def test_a_model_that_comes_and_goes_for_good_reason_is_told_thrice():
    it = History()
    it.poll(model(), OTHER)
    polls = [[OTHER], [model(), OTHER]] * 4
    told = [entry for models in polls for entry in presence(it.poll(*models).changes)]
    assert told == [
        ("model.removed", "announced"),
        ("model.returned", "announced"),
        ("model.removed", "announced"),
        ("model.returned", "held"),
        ("model.removed", "retracted"),
        ("model.returned", "held"),
        ("model.removed", "retracted"),
        ("model.returned", "held"),
    ]
    assert "flapping" in it.past[2].change.detail
    (step,) = it.again(STABLE).holds
    assert step.state == "announced"


def test_what_a_missing_model_says_of_itself_does_not_settle():
    it, _ = swinging(4)
    it.confirm_after = 10 * HOUR
    it.poll(OTHER, after=HOUR)
    assert [step.state for step in it.again(STABLE).holds if step.id == 4] == []
