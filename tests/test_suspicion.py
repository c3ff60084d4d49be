"""Listings that look like a fault at the vendor, and removals that a saved request makes urgent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from syncd.core.catalog import Catalog
from syncd.core.changes import Before, Policy, diff
from syncd.core.judge import Held, Judgement, News, OpenCondition, judge
from syncd.core.reading import Listing, Same
from syncd.core.routing import Route
from tests.test_judge import AT_ONCE, EVERYTHING, FACTS, MINUTE, NOW, POLICY, catalog, context, kinds, listing


def models(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"slug": f"m{number}", "category": "image"} for number in range(start, start + count)]


def polled(
    before: Catalog,
    reading: Listing,
    policy: Judgement = POLICY,
    held: Sequence[Held] = (),
    open_: Sequence[OpenCondition] = (),
    **more: Any,
) -> News:
    """The verdict on a listing; `before` is the confirmed catalogue."""
    found = diff(Before(before.account, before.models), reading.catalog, Policy())
    stored = replace(context(before, held=tuple(held), open=tuple(open_)), **more)
    return judge(reading, found, stored, policy, NOW)


def why(news: News) -> list[tuple[str, int, int]]:
    return [(o.detail["why"], o.detail["missing"], o.detail["of"]) for o in news.openings]


@pytest.mark.parametrize(
    ("known", "left", "expected"),
    [
        (40, 35, []),  # five, but no fifth of all
        (25, 20, [("drop", 5, 25)]),
        (26, 21, []),  # 19.2 %
        (4, 1, []),  # three fourths, but no five
        (5, 1, []),
        (6, 1, [("drop", 5, 6)]),
        (4, 0, [("emptied", 4, 4)]),
        (1, 0, [("emptied", 1, 1)]),
        (0, 0, []),
    ],
)
def test_a_drop_counts_models_and_their_share(known: int, left: int, expected: list[tuple[str, int, int]]):
    news = polled(catalog(*models(known)), listing(*models(left)))
    assert why(news) == expected
    assert [o.subject for o in news.openings] == ["key:prod"] * len(expected)


def test_the_operator_says_what_a_drop_is():
    strict = replace(POLICY, drop_count=1, drop_share=Decimal("0.5"))
    assert why(polled(catalog(*models(4)), listing(*models(2)), strict)) == [("drop", 2, 4)]
    assert why(polled(catalog(*models(4)), listing(*models(3)), strict)) == []


def test_models_that_are_new_hide_no_drop():
    assert why(polled(catalog(*models(10)), listing(*models(10, start=9)))) == [("drop", 9, 10)]


def test_a_listing_that_hints_at_more_is_suspicious_and_misses_nothing():
    news = polled(catalog(*models(10)), listing(*models(2), complete=False))
    assert why(news) == [("incomplete", 0, 2)]
    assert kinds(news) == []


def test_the_first_listing_may_be_incomplete_too():
    news = judge(listing(*models(2), complete=False), (), context(), POLICY, NOW)
    assert why(news) == [("incomplete", 0, 2)]


@pytest.mark.parametrize(("other", "expected"), [(models(4, 2), [("rotated", 2, 4)]), (models(4, 1), [])])
def test_a_new_key_that_lists_something_else_may_be_another_accounts(
    other: list[dict[str, Any]], expected: list[tuple[str, int, int]]
):
    assert why(polled(catalog(*models(4)), listing(*other), rotated=True)) == expected
    assert why(polled(catalog(*models(4)), listing(*other))) == []


def test_what_a_suspicious_listing_misses_is_held_even_where_one_poll_would_do():
    news = polled(catalog(*models(6)), listing(*models(1)), AT_ONCE)
    assert kinds(news) == [("model.removed", "held")] * 5
    assert all(new.change.detail["suspicious"] is True for new in news.changes)


def suspect(model: dict[str, Any], polls: int, number: int = 1) -> Held:
    (change,) = diff(Before({"tier": "pro"}, catalog(model).models), catalog(), Policy())
    return Held(number, replace(change, detail={**change.detail, "suspicious": True}), polls, NOW - 60 * MINUTE)


def suspicion(clean: int = 0, **detail: Any) -> OpenCondition:
    known = {"why": "drop", "missing": 5, "of": 6, "clean": clean, "keys": {"prod": "suspicious"}, **detail}
    return OpenCondition(7, "listing.suspicious", "key:prod", NOW, known, (("console", "everything"),))


@pytest.mark.parametrize(("polls", "state"), [(1, "held"), (2, "announced")])
def test_a_suspect_must_be_missing_from_three_listings(polls: int, state: str):
    before = catalog(*models(2))
    news = polled(before, listing(*models(1, 1)), held=[suspect(models(1)[0], polls)], open_=[suspicion()])
    assert [step.state for step in news.holds] == [state]


def test_it_ends_when_its_removals_are_confirmed():
    before = catalog(*models(2))
    news = polled(before, listing(*models(1, 1)), held=[suspect(models(1)[0], 2)], open_=[suspicion()])
    (edit,) = news.edits
    assert (edit.closed, edit.detail["confirmed"], len(edit.announcements)) == (True, 1, 1)


def test_it_ends_after_three_whole_listings():
    there = catalog(*models(6))
    clean = 0
    for expected in (1, 2, 3):
        (edit,) = polled(there, listing(*models(6)), open_=[suspicion(clean)]).edits
        clean = edit.detail["clean"]
        assert (clean, edit.closed, len(edit.announcements)) == (expected, expected == 3, int(expected == 3))
    assert "confirmed" not in edit.detail


def test_the_same_bytes_count_as_whole_too():
    there = catalog(*models(6))
    news = judge(Same(there.digest, FACTS), (), context(there, open=(suspicion(2),)), POLICY, NOW)
    assert [edit.closed for edit in news.edits] == [True]


@pytest.mark.parametrize("reading", [listing(), listing(*models(6), complete=False), listing(*models(1))])
def test_another_such_listing_begins_the_count_anew(reading: Listing):
    (edit,) = polled(catalog(*models(6)), reading, open_=[suspicion(2)]).edits
    assert (edit.detail["clean"], edit.closed, edit.announcements) == (0, False, ())


def test_while_something_suspect_is_missing_it_does_not_end():
    there = catalog(*models(5, 1))
    news = judge(
        Same(there.digest, FACTS),
        (),
        context(there, held=(suspect(models(1)[0], 1),), open=(suspicion(2),)),
        replace(POLICY, confirm_after=timedelta(days=1)),
        NOW,
    )
    assert [(edit.closed, edit.detail["clean"]) for edit in news.edits] == [(False, 0)]


def test_good_and_empty_listings_in_turn_are_one_suspicion():
    there, opened, closed = catalog(*models(6)), 0, 0
    condition: OpenCondition | None = None
    held: list[Held] = []
    for number in range(53):
        empty = number < 50 and number % 2 == 0
        reading = listing() if empty else listing(*models(6))
        known = [condition] if condition else []
        news = polled(there, reading, held=held, open_=known)
        assert not [new for new in news.changes if new.announcements]
        assert not [step for step in news.holds if step.announcements or step.state == "announced"]
        held = [Held(n, new.change, 1, NOW) for n, new in enumerate(news.changes)] if empty else []
        opened += len(news.openings)
        closed += sum(edit.closed for edit in news.edits)
        condition = suspicion() if news.openings else condition
        for edit in news.edits:
            condition = None if edit.closed or condition is None else replace(condition, detail=edit.detail)
    assert (opened, closed, condition) == (1, 1, None)


# --- removals that a saved request makes urgent --------------------------------------------------------------------


def removed(*, affects: tuple[str, ...] = ("nightly",), policy: Judgement = POLICY, left: int = 3) -> News:
    before, after = catalog(*models(4)), listing(*models(left))
    found = [
        replace(change, affects=affects)
        for change in diff(Before(before.account, before.models), after.catalog, Policy())
    ]
    return judge(after, found, context(before), policy, NOW)


def test_a_model_in_use_is_told_at_once_as_unconfirmed():
    (new,) = removed().changes
    assert (new.state, new.announcements, [one.destination for one in new.unconfirmed]) == ("held", (), ["console"])
    assert removed().announced


def test_a_model_that_nobody_uses_waits_in_silence():
    assert not removed(affects=()).announced


def test_only_those_whose_routes_want_the_removal_are_told():
    prices = Judgement(routes=(Route("prices", "console", kinds=("credits.*",)),))
    assert [new.unconfirmed for new in removed(policy=prices).changes] == [()]


def test_of_a_suspicious_listing_the_condition_names_the_requests():
    news = removed(left=0)
    assert [new.unconfirmed for new in news.changes] == [()] * 4
    assert [opening.detail["requests"] for opening in news.openings] == [["nightly"]]


def test_those_who_heard_are_told_how_it_ended():
    (change,) = diff(Before({"tier": "pro"}, catalog(*models(1)).models), catalog(), Policy())
    heard = (("slack:#video", "video"),)
    held = Held(1, change, 1, NOW - 60 * MINUTE, heard)
    policy = Judgement(routes=(EVERYTHING,))
    there = catalog(*models(2))
    (back,) = polled(there, listing(*models(2)), policy, [held]).holds
    assert (back.state, [one.destination for one in back.back]) == ("retracted", ["slack:#video"])
    (gone,) = polled(there, listing(*models(1, 1)), policy, [held]).holds
    assert (gone.state, sorted(one.destination for one in gone.announcements)) == (
        "announced",
        ["console", "slack:#video"],
    )


def test_more_that_a_worse_listing_lacks_is_brought_up_to_date():
    there = catalog(*models(20))
    (edit,) = polled(there, listing(), open_=[suspicion()]).edits
    assert (edit.detail["why"], edit.detail["missing"], edit.detail["of"]) == ("emptied", 20, 20)
    assert (edit.closed, edit.announcements, [one.destination for one in edit.revisions]) == (False, (), ["console"])


def test_a_request_that_the_open_condition_does_not_name_is_told_of():
    before, after = catalog(*models(20)), listing()
    found = diff(Before(before.account, before.models), after.catalog, Policy())
    used = [replace(change, affects=("nightly",) if change.slug == "m7" else ()) for change in found]
    for named, told in ((["nightly"], []), ([], ["m7"])):
        news = judge(after, used, context(before, open=(suspicion(requests=named),)), POLICY, NOW)
        assert [new.change.slug for new in news.changes if new.unconfirmed] == told
        assert [edit.detail["requests"] for edit in news.edits] == [["nightly"]]


def test_what_was_missing_before_needs_more_proof_than_a_suspicious_listing():
    (change,) = diff(Before({"tier": "pro"}, catalog(*models(1)).models), catalog(), Policy())
    held = Held(1, change, 1, NOW - 60 * MINUTE)
    (step,) = polled(catalog(*models(9)), listing(), held=[held]).holds
    assert (step.state, step.learned is not None and step.learned.detail["suspicious"]) == ("held", True)


def test_models_that_go_one_by_one_are_no_drop():
    held = [Held(n, suspect(one, 1).change, 1, NOW) for n, one in enumerate(models(4))]
    one_by_one = [replace(one, change=replace(one.change, detail={})) for one in held]
    assert why(polled(catalog(*models(10)), listing(*models(5, 5)), held=one_by_one)) == []
