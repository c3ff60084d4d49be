"""Many changes at once: one message, a few replies, and nothing lost between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.canon import MISSING
from syncd.core.changes import Change
from syncd.core.compose import ChangeDue, Due, NoticeDue, compose
from syncd.core.message import Bullets, Message, Table, as_text, decode, encode, flat
from syncd.demo.vendor import made_up_models
from tests.test_compose import NOW, changed, condition

Model = dict[str, Any]
(A_MODEL,) = made_up_models(1)


def priced(models: Sequence[Model], factor: int) -> list[Model]:
    """The same models so many times as dear."""
    return [
        {**one, "credits_band": {edge: price * factor for edge, price in one["credits_band"].items()}} for one in models
    ]


def narrowed(one: Model) -> Model:
    prompt = {"type": "string", "required": True, "max_length": 5}
    return {**one, "params": {"prompt": prompt}}


def wide(one: Model) -> Model:
    prompt = {"type": "string", "required": True, "max_length": 5000}
    return {**one, "params": {"prompt": prompt}}


def storm(unlocked: int, removed: int, dearer: int, breaking: int) -> list[Due]:
    """So many changes of each sort, of different models."""
    models = made_up_models(unlocked + removed + dearer + breaking)
    new, rest = models[:unlocked], models[unlocked:]
    gone, rest = rest[:removed], rest[removed:]
    moved, broken = rest[:dearer], [wide(one) for one in rest[dearer:]]
    return list(changed([*gone, *moved, *broken], [*new, *priced(moved, 3), *map(narrowed, broken)]))


def lines(message: Message) -> list[str]:
    return [flat(item) for block in message.blocks if isinstance(block, Bullets) for item in block.items]


def told(message: Message) -> list[str]:
    """Every change that the message and its thread name, a line each."""
    return [line for one in (message, *message.replies) for line in lines(one)]


def left(message: Message) -> int:
    found = re.findall(r"and ([0-9\u202f]+) more: ", as_text((message, *message.replies)[-1]))
    return int(found[0].replace("\u202f", "")) if found else 0


def test_five_hundred_changes_are_one_message_and_four_replies():
    due = storm(unlocked=200, removed=100, dearer=188, breaking=12)
    message = compose(due, "dlv_1")
    assert len(message.replies) == 4
    assert all(len(lines(reply)) == 25 for reply in message.replies)
    assert message.title == "500 changes for prod"
    assert "and 102 more breaking, first in the thread" in as_text(message)
    assert left(message) == 500 - 10 - 100
    assert not any(reply.replies for reply in message.replies)


def test_the_table_counts_everything():
    message = compose(storm(unlocked=20, removed=3, dearer=11, breaking=7), "dlv_1")
    (table,) = (block for block in message.blocks if isinstance(block, Table))
    assert table.header == ("Change", "Models", "Worst")
    assert {(row[0], row[1]) for row in table.rows} == {
        ("🔓 Unlocked", "20"),
        ("🗑️ Removed", "3"),
        ("📈 Price up", "11"),
        ("🔴 Breaking parameters", "7"),
    }
    (price,) = (row[2] for row in table.rows if row[0] == "📈 Price up")
    assert re.fullmatch(r"simulated-\S+ [0-9.\u202f ]+%", price)


def test_what_breaks_stands_in_the_message_itself():
    message = compose(storm(unlocked=20, removed=0, dearer=0, breaking=4), "dlv_1")
    assert len(lines(message)) == 4
    assert all(line.startswith("🔴 ") for line in lines(message))
    assert message.severity == "breaking"
    assert "4 can break requests." in as_text(message)


def test_the_thread_goes_from_bad_to_good():
    message = compose(storm(unlocked=40, removed=15, dearer=20, breaking=0), "dlv_1")
    order = ["🔴", "🟠", "🟢", "⚪"]
    marks = [order.index(line.split()[0]) for line in told(message)]
    assert marks == sorted(marks)
    assert message.replies[0].title == "25 changes for prod (1 of 3)"


def test_one_kind_of_news_keeps_its_title():
    message = compose(changed([], made_up_models(60)), "dlv_1")
    assert (message.kind, message.emoji, message.title) == ("digest", "🔓", "60 models unlocked for prod")


def test_a_few_changes_of_several_kinds_are_sections():
    message = compose(storm(unlocked=2, removed=3, dearer=2, breaking=1), "dlv_1")
    assert message.replies == ()
    assert [title for title in as_text(message).splitlines() if "removed for prod" in title]


def test_nine_changes_of_several_kinds_are_a_digest():
    assert compose(storm(unlocked=3, removed=3, dearer=2, breaking=1), "dlv_1").replies


def test_conditions_stand_before_the_table():
    text = as_text(compose([condition("access.rejected", "spare", status=401), *changed([], made_up_models(60))], "x"))
    assert text.index("Key spare is rejected (401)") < text.index("Seen ") < text.index("🔓 Unlocked")


def test_the_command_for_the_rest_shows_all_of_it():
    last = as_text(compose(storm(unlocked=300, removed=0, dearer=0, breaking=0), "x").replies[-1])
    assert "and 200 more: syncd changes --since 2026-03-02T09:00:00Z" in last


def test_nobody_is_called_by_a_digest():
    due = storm(unlocked=30, removed=30, dearer=0, breaking=2)
    calling = [mentioning(one) for one in due]
    message = compose(calling, "x")
    assert message.mentions == ()
    assert all(reply.mentions == () for reply in message.replies)
    assert compose(calling[:1], "x").mentions == ("@here",)


def mentioning(one: Due) -> Due:
    assert not isinstance(one, NoticeDue)
    return replace(one, mention="@here")


def test_the_end_of_a_condition_calls_nobody():
    closed = condition("access.rejected", "prod", edge="closed")
    assert compose([mentioning(closed)], "x").mentions == ()
    opened = condition("access.rejected", "prod")
    assert compose([mentioning(opened)], "x").mentions == ("@here",)


def test_a_condition_that_ended_before_it_was_told_is_told_once():
    opened = condition("vendor.unreachable", "prod", subject="url:https://vendor.example")
    over = replace(opened, closed_at=NOW)
    closed = replace(over, edge="closed")
    message = compose([over, closed], "x")
    assert (message.title, message.emoji) == ("Over: The vendor cannot be reached", "✅")
    assert "From 2026-03-02" in as_text(message)


@pytest.mark.parametrize(
    ("kind", "detail", "title"),
    [
        ("test", {"author": "ann"}, "A test of syncd's alerts"),
        (
            "silence.ended",
            {"muted": 3, "author": "ann", "comment": "a migration", "since": "2026-03-02T08:00:00Z", "keys": ["prod"]},
            "A silence has ended: it muted 3 alerts",
        ),
        (
            "summary",
            {"keys": ["prod", "spare"], "models": 42, "changes": 5, "polls": 100, "failed": 0, "since": "Monday"},
            "Watching 42 models on 2 keys; 5 changes; all polls good",
        ),
    ],
)
def test_what_syncd_says_of_itself(kind: str, detail: dict[str, Any], title: str):
    message = compose([NoticeDue(1, NOW, kind, detail)], "x")
    assert (message.title, message.severity) == (title, "informational")
    assert message.keys == tuple(detail.get("keys", ()))


def test_watching_begins():
    assert compose(_first("prod", 42), "x").title == "Watching 42 models for prod"
    several = compose([*_first("prod", 42), *_first("spare", 1)], "x")
    assert several.title == "Watching 2 keys: prod, spare"
    assert "• spare: 1 model" in as_text(several)


def _first(key: str, models: int) -> list[Due]:
    baseline = Change("catalogue.baseline", (), "informational", MISSING, MISSING, detail={"models": models})
    return [ChangeDue(1, key, NOW, baseline)]


counts = st.integers(0, 60)


@settings(max_examples=60, deadline=None)
@given(unlocked=counts, removed=counts, dearer=counts, breaking=counts)
def test_no_change_is_lost_or_told_twice(unlocked: int, removed: int, dearer: int, breaking: int):
    due = storm(unlocked, removed, dearer, breaking)
    if not due:
        return
    message = compose(due, "dlv_1")
    assert decode(encode(message)) == message
    assert len(message.replies) <= 4
    if message.kind == "digest" and message.replies:
        lines_told = told(message)
        assert len(lines_told) == len(set(lines_told))
        assert len(lines_told) + left(message) == len(due)


def test_of_a_model_that_came_and_went_only_the_last_is_told():
    """Else the worse of both would stand first, whichever came first."""
    came, went = changed([], [A_MODEL]), changed([A_MODEL], [])
    assert compose([*came, *went], "x").title == "1 model removed for prod"
    assert compose([*went, *came], "x").title == "1 model unlocked for prod"
    other = changed([], [A_MODEL], key="spare")
    assert compose([*other, *went], "x").title == "2 changes for prod, spare"


def test_what_is_gone_is_named_before_other_changes_that_break():
    due = storm(unlocked=0, removed=3, dearer=0, breaking=20)
    assert [line.endswith(" removed") for line in lines(compose(due, "x"))] == [*[True] * 3, *[False] * 7]


def test_a_first_catalogue_calls_nobody():
    assert compose([mentioning(one) for one in _first("prod", 42)], "x").mentions == ()
