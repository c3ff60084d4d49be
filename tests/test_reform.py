"""Our own upgrades: another canonical form neither invents a change nor hides one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from syncd.core import catalog
from syncd.core.canon import FORM, Json, dumps
from syncd.core.catalog import Catalog, Listed, Memo
from syncd.core.routing import Route
from syncd.store import engine, reform
from tests.conftest import Clock
from tests.watching import Watch, at, listing, listing_text, model, watching, with_price

A, B, C = model("a"), model("b", price=None), model("c", price=(1, 2))
ROUTES = [Route("all", "console")]

OTHER_FORMS = pytest.mark.parametrize("form", [FORM - 1, FORM + 1], ids=["an older", "a newer"])


@pytest.fixture
def watch(migrated_url: str, clock: Clock):
    with watching(migrated_url, clock, routes=ROUTES) as watch:
        yield watch


def poll(watch: Watch, body: bytes, key: str = "prod") -> str:
    """An hour later; what came of it."""
    watch.clock.advance(hours=1)
    return watch.answer(key, body).outcome


def written_under(watch: Watch, form: int) -> None:
    """Everything is as a program with another form would have written it."""
    watch.write("UPDATE model_versions SET form = :form, digest = 'other ' || SUBSTR(digest, 7)", form=form)
    watch.write("UPDATE snapshots SET form = :form, digest = 'other ' || SUBSTR(digest, 7)", form=form)


def restart(watch: Watch) -> None:
    """Another process with today's program, from its start on."""
    watch.store.close()
    again = Watch(watch.url, watch.clock, routes=ROUTES)
    watch.store, watch.poller = again.store, again.poller
    watch.store.register(watch.keys.values(), watch.clock())


def history(watch: Watch) -> dict[str, list[tuple[Any, ...]]]:
    """What people can see of the past, but not when it was asked for."""
    views = ("model_history", "credit_history", "param_history", "current_models", "change_log")
    return {view: sorted(watch.rows(f"SELECT * FROM {view}"), key=str) for view in views}


def addresses(watch: Watch) -> dict[str, list[tuple[Any, ...]]]:
    """How contents and the current states are addressed."""
    current = "SELECT s.id, s.form, s.digest FROM snapshots s JOIN api_keys k ON k.snapshot_id = s.id ORDER BY s.id"
    return {
        "contents": watch.rows("SELECT id, form, digest, slug FROM model_versions ORDER BY id"),
        "states": watch.rows(current),
    }


def found_since(watch: Watch, moment: str) -> list[tuple[Any, ...]]:
    """The changes that were found after a time, with what became of them."""
    return [
        (kind, slug, state)
        for kind, slug, state, when in watch.rows("SELECT kind, slug, state, detected_at FROM change_log")
        if when > moment
    ]


def lived(watch: Watch) -> None:
    """A history of two keys: prices there and back, a model that comes, one that goes, odd contents."""
    odd = b'{"slug":"odd","credits_band":{"min":1.50,"max":2e0},"params":{"n":{"type":"integer","max":80.0}}}'
    twice = '{"slug":"twice","name":"one"}', '{"slug":"twice","name":"two"}'
    texts = [json.dumps(one) for one in (A, B)]
    poll(watch, listing_text(*texts, odd.decode(), *twice))
    poll(watch, listing(A, B), key="test")
    poll(watch, listing_text(json.dumps(with_price(A, 15, 20)), texts[1], odd.decode(), *twice, json.dumps(C)))
    poll(watch, listing_text(*texts, odd.decode(), *reversed(twice)))


LAST = listing_text(
    json.dumps(A),
    json.dumps(B),
    '{"slug":"odd","credits_band":{"min":1.50,"max":2e0},"params":{"n":{"type":"integer","max":80.0}}}',
    '{"slug":"twice","name":"one"}',
    '{"slug":"twice","name":"two"}',
)


# --- written by a program with another form ------------------------------------------------------------------------


@OTHER_FORMS
def test_everything_is_addressed_as_if_today_s_program_had_written_it(watch: Watch, form: int):
    lived(watch)
    before, then = addresses(watch), history(watch)
    written_under(watch, form)
    restart(watch)
    assert addresses(watch) == before
    assert history(watch) == then


@OTHER_FORMS
def test_the_same_answer_is_no_change_and_begins_no_interval(watch: Watch, form: int):
    lived(watch)
    written_under(watch, form)
    restart(watch)
    intervals = watch.rows("SELECT * FROM listings ORDER BY id")
    last = at(watch.clock())
    assert poll(watch, LAST) == "unchanged"
    assert poll(watch, listing(A, B), key="test") == "unchanged"
    # C is still missing, which it was before.
    assert found_since(watch, last) == []
    assert watch.rows("SELECT * FROM listings ORDER BY id") == intervals


@OTHER_FORMS
def test_a_real_change_right_after_the_upgrade_is_the_one_that_is_found(watch: Watch, form: int):
    poll(watch, listing(A, B))
    poll(watch, listing(A, B), key="test")
    written_under(watch, form)
    restart(watch)
    last = at(watch.clock())
    assert poll(watch, listing(with_price(A, 11, 20), B)) == "changed"
    assert found_since(watch, last) == [("credits.band.floor-raised", "a", "announced")]
    assert poll(watch, listing(A, B), key="test") == "unchanged"


@OTHER_FORMS
def test_a_removal_that_was_held_goes_on_being_held(watch: Watch, form: int):
    poll(watch, listing(A, B))
    watch.clock.advance(minutes=5)
    watch.answer("prod", listing(B))
    held = "SELECT slug FROM change_log WHERE state = 'held'"
    assert watch.rows(held) == [("a",)]
    missing = "SELECT slug, missing_since FROM current_models ORDER BY slug"
    then = watch.rows(missing)
    written_under(watch, form)
    restart(watch)
    assert watch.rows(missing) == then
    watch.clock.advance(minutes=5)
    assert watch.answer("prod", listing(with_price(A, 11, 20), B)).outcome == "changed"
    # Compared with what it was before it was missing.
    assert sorted(found_since(watch, then[0][1])) == [("credits.band.floor-raised", "a", "announced")]
    assert watch.rows("SELECT slug, state FROM change_log WHERE kind = 'model.removed'") == [("a", "retracted")]


def test_a_model_that_went_before_the_upgrade_is_known_when_it_comes_back(watch: Watch):
    poll(watch, listing(A, B))
    for _ in range(3):
        poll(watch, listing(B))
    written_under(watch, FORM + 1)
    restart(watch)
    last = at(watch.clock())
    poll(watch, listing(A, B))
    assert found_since(watch, last) == [("model.returned", "a", "announced")]


def test_a_retired_key_goes_on_from_where_it_was_when_it_comes_back(watch: Watch):
    poll(watch, listing(A))
    poll(watch, listing(A), key="test")
    watch.retire("test")
    written_under(watch, FORM - 1)
    restart(watch)
    watch.add("test")
    assert poll(watch, listing(A), key="test") == "unchanged"


def test_the_second_start_changes_nothing(watch: Watch):
    lived(watch)
    written_under(watch, FORM - 1)
    restart(watch)
    # Had it any reason to look at contents, it would mend this one.
    watch.write("UPDATE model_versions SET name = 'mark'")
    then = addresses(watch), watch.rows("SELECT * FROM listings ORDER BY id")
    restart(watch)
    assert (addresses(watch), watch.rows("SELECT * FROM listings ORDER BY id")) == then
    assert watch.rows("SELECT DISTINCT name FROM model_versions") == [("mark",)]


def test_earlier_states_keep_the_address_they_were_given(watch: Watch):
    poll(watch, listing(A))
    poll(watch, listing(A, B))
    written_under(watch, FORM - 1)
    restart(watch)
    forms = watch.rows("SELECT form, digest LIKE 'other %' FROM snapshots ORDER BY id")
    assert [(form, bool(other)) for form, other in forms] == [(FORM - 1, True), (FORM, False)]


def test_columns_that_people_query_follow_the_text(watch: Watch):
    poll(watch, listing(A, C))
    then = history(watch)
    written_under(watch, FORM - 1)
    watch.write("UPDATE model_versions SET category = 'other', credits_min = NULL, params = NULL, name = NULL")
    restart(watch)
    assert history(watch) == then


def test_more_contents_than_fit_one_statement(watch: Watch):
    many = [model(f"m{n}") for n in range(1_200)]
    poll(watch, listing(*many))
    before = addresses(watch)
    written_under(watch, FORM - 1)
    restart(watch)
    assert addresses(watch) == before
    assert poll(watch, listing(*many)) == "unchanged"


def test_a_rehearsal_leaves_everything_as_it_was(watch: Watch):
    poll(watch, listing(A))
    written_under(watch, FORM - 1)
    then = addresses(watch)
    with watch.store.rehearsal():
        watch.store.register(watch.keys.values(), watch.clock())
    assert addresses(watch) == then


# --- what is one content today ---------------------------------------------------------------------------------------


def sized(largest: str) -> bytes:
    """A catalogue with B, and with a model whose parameter has this maximum, spelled so."""
    spelled = f'{{"slug":"n","params":{{"n":{{"type":"number","max":{largest}}}}}}}'
    return listing_text(json.dumps(B), spelled)


GONE = listing_text(json.dumps(B))


def spelled_apart(watch: Watch) -> None:
    """An older form took `80.0` for another value than `80`, which today are one. (80.5 stood for it until now.)"""
    watch.write("UPDATE model_versions SET body = REPLACE(body, '80.5', '80.0')")
    written_under(watch, FORM - 1)


def intervals(watch: Watch, slug: str, key: str = "prod") -> list[tuple[Any, ...]]:
    query = "SELECT valid_from, valid_to FROM model_history WHERE slug = :slug AND key_name = :key ORDER BY valid_from"
    return watch.rows(query, slug=slug, key=key)


def observed(watch: Watch, body: bytes, key: str = "prod") -> str:
    poll(watch, body, key)
    return at(watch.clock())


def test_two_contents_that_are_one_today_are_one_interval(watch: Watch):
    t1 = observed(watch, sized("80.5"))
    observed(watch, sized("80"))
    observed(watch, sized("80.5"))
    spelled_apart(watch)
    restart(watch)
    assert watch.one("SELECT COUNT(*) FROM model_versions WHERE slug = 'n'") == 1
    assert intervals(watch, "n") == [(t1, None)]
    assert watch.rows("SELECT valid_from, valid_to FROM param_history WHERE param = 'n'") == [(t1, None)]
    last = at(watch.clock())
    assert poll(watch, sized("80.0")) == "unchanged"
    assert poll(watch, sized("80")) == "unchanged"
    assert poll(watch, sized("90")) == "changed"
    assert found_since(watch, last) == [("param.max.raised", "n", "announced")]


def test_a_time_without_the_model_stays_one(watch: Watch):
    t1 = observed(watch, sized("80.5"))
    observed(watch, sized("80"))
    t3 = observed(watch, GONE)
    t4 = observed(watch, sized("80.5"))
    spelled_apart(watch)
    restart(watch)
    assert intervals(watch, "n") == [(t1, t3), (t4, None)]
    assert len(intervals(watch, "b")) == 1


def test_keys_that_share_contents_keep_intervals_of_their_own(watch: Watch):
    t1 = observed(watch, sized("80.5"))
    t2 = observed(watch, sized("80"), "test")
    t3 = observed(watch, sized("90"))
    t4 = observed(watch, sized("80"))
    t5 = observed(watch, sized("80.5"), "test")
    t6 = observed(watch, GONE, "test")
    spelled_apart(watch)
    restart(watch)
    assert intervals(watch, "n") == [(t1, t3), (t3, t4), (t4, None)]
    assert intervals(watch, "n", "test") == [(t2, t6)]
    assert t5 < t6
    assert poll(watch, sized("80.00")) == "unchanged"
    assert poll(watch, GONE, "test") == "unchanged"


def test_a_held_model_is_compared_with_the_content_that_stands_for_both(watch: Watch):
    observed(watch, sized("80.5"))
    observed(watch, sized("80"))
    last = observed(watch, GONE)
    spelled_apart(watch)
    restart(watch)
    watch.clock.advance(minutes=5)
    watch.answer("prod", sized("80.0"))
    assert found_since(watch, last) == []
    assert watch.rows("SELECT state FROM change_log WHERE kind = 'model.removed'") == [("retracted",)]


def test_contents_that_conflicted_and_agree_today_are_one(watch: Watch):
    def twice(one: str, other: str) -> bytes:
        return listing_text(f'{{"slug":"n","max":{one}}}', f'{{"slug":"n","max":{other}}}')

    observed(watch, twice("80.5", "80"))
    spelled_apart(watch)
    restart(watch)
    last = at(watch.clock())
    assert watch.one("SELECT body FROM model_versions")["slug"] == "n"
    assert poll(watch, twice("80.0", "80")) == "unchanged"
    assert poll(watch, twice("80.0", "81")) == "changed"
    assert found_since(watch, last) != []


# --- what cannot be rebuilt ------------------------------------------------------------------------------------------


def test_a_content_that_today_s_program_does_not_read_is_left_alone_and_not_tried_again(watch: Watch):
    poll(watch, listing(A, B))
    written_under(watch, FORM + 1)
    watch.write("UPDATE model_versions SET body = '{\"slug\":\"a\",' WHERE slug = 'a'")
    address = watch.one("SELECT digest FROM model_versions WHERE slug = 'a'")
    restart(watch)
    assert watch.row("SELECT form, digest FROM model_versions WHERE slug = 'a'") == (FORM, address)
    assert watch.one("SELECT form FROM model_versions WHERE slug = 'b'") == FORM
    assert watch.one("SELECT COUNT(*) FROM current_models") == 2


def test_an_answer_that_did_not_list_everything_is_no_change_after_the_upgrade_either(watch: Watch):
    poll(watch, listing(A, B))
    poll(watch, listing(A, has_more=True))
    written_under(watch, FORM - 1)
    restart(watch)
    last = at(watch.clock())
    poll(watch, listing(A, has_more=True))
    poll(watch, listing(A, B, has_more=True))
    assert found_since(watch, last) == []
    assert len(intervals(watch, "b")) == 1


# --- a form that really is another -----------------------------------------------------------------------------------


def without_description(account: Mapping[str, Json], raws: Iterable[bytes], memo: Memo) -> Catalog:
    """A form to which a description means nothing. It keeps the whole text all the same."""
    texts = {text: raw.decode() for raw in raws for text in [dumps({**json.loads(raw), "description": None})]}
    found = catalog.assemble(account, [text.encode() for text in texts], memo)
    models = {
        slug: Listed(slug, f"2{one.digest[1:]}", texts.get(one.text, one.text)) for slug, one in found.models.items()
    }
    return Catalog(address(account, models), account, models)


def address(account: Mapping[str, Json], models: Mapping[str, Listed]) -> str:
    return f"2{catalog.state_digest(account, models)[1:]}"


COARSER = reform.Form(FORM + 1, without_description, address)


def brought_to(watch: Watch, form: reform.Form) -> None:
    writer = engine.writer(watch.url)
    with engine.begin(writer, "here") as connection:
        reform.reform(connection, form)
    writer.dispose()


def described(one: dict[str, Any], description: str) -> dict[str, Any]:
    return {**one, "description": description}


def test_under_a_form_that_overlooks_something_history_has_no_step_of_it(watch: Watch):
    t1 = observed(watch, listing(A, B))
    observed(watch, listing(described(A, "e"), B))
    t3 = observed(watch, listing(with_price(described(A, "e"), 11, 20), B))
    brought_to(watch, COARSER)
    assert intervals(watch, "a") == [(t1, t3), (t3, None)]
    assert watch.rows("SELECT DISTINCT form FROM model_versions") == [(FORM + 1,)]
    # Of two that are one the newer text stays.
    assert watch.rows("SELECT description FROM model_history WHERE slug = 'a'") == [("e",), ("e",)]


def test_there_and_back_again_no_change_is_invented_and_none_is_hidden(watch: Watch):
    observed(watch, listing(A, B))
    observed(watch, listing(A, B), "test")
    observed(watch, listing(described(A, "e"), B))
    brought_to(watch, COARSER)
    brought_to(watch, COARSER)
    restart(watch)
    last = at(watch.clock())
    assert poll(watch, listing(described(A, "e"), B)) == "unchanged"
    assert poll(watch, listing(described(A, "e"), described(B, "f"))) == "changed"
    assert found_since(watch, last) == [("model.description.changed", "b", "announced")]
