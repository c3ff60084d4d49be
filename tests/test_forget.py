"""Erasing a key: nothing of it is left, and nobody else loses anything. On both databases."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import time, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from syncd.core.forgetting import FORGOTTEN, struck_text
from syncd.core.key_names import named, renamed
from syncd.core.message import decode
from syncd.core.routing import KeyFacts, Route
from syncd.core.silence import Silence
from syncd.core.slots import Slots
from syncd.demo.vendor import SimulatedVendor
from syncd.errors import UsageError
from syncd.outbox import Outbox
from syncd.store.forget import Forgotten
from syncd.store.tables import metadata
from tests.conftest import Clock
from tests.program import Home
from tests.test_outbox import FakeSink, PowerCutError
from tests.watching import Watch, listing, model, refusal, with_price

SHARED = model("shared-model")
DOOMED = model("doomed-model")
ITS_OWN = model("model-of-the-other")

ROUTES = (Route("all", "console", summary=Slots(time(11))), Route("chat", "slack:#vivix"))


class History:
    """Two keys that share a model and an outage, and everything that is told of them."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.sink = FakeSink()
        self._numbers = count(1)

    def key(self, name: str, account: str) -> None:
        self.watch.keys[name] = KeyFacts(name, account, "https://vendor.example", {"of": name}, "0123abcd")
        self.watch.store.register(self.watch.keys.values(), self.watch.clock())

    def poll(self, name: str, *models: dict[str, Any], balance: int = 1000) -> None:
        self.watch.clock.advance(minutes=20)
        self.watch.answer(name, listing(*models, balance=balance))

    def tell(self, steps: int = 4) -> None:
        """Send what waits."""
        outbox = Outbox(
            store=self.watch.store,
            sinks={"console": self.sink, "slack": self.sink},
            routes=self.watch.poller.judgement.routes,
            keys=dict(self.watch.keys),
            clock=self.watch.clock,
            new_id=lambda: f"dlv_{next(self._numbers):03}",
            chance=random.Random(1),  # noqa: S311  it spreads retries
        )
        for _ in range(steps):
            self.watch.clock.advance(minutes=1)
            outbox.step()

    def forget(self, name: str = "doomed") -> Forgotten:
        return self.watch.store.forget(name)

    def everything(self) -> Iterator[tuple[str, str, str]]:
        """Every text in every column of every table, with its place."""
        with self.watch.store.read() as connection:
            for table in metadata.sorted_tables:
                for row in connection.execute(sa.text(f"SELECT * FROM {table.name}")).mappings():
                    yield from ((table.name, name, value) for name, value in row.items() if isinstance(value, str))

    def places_of(self, word: str) -> list[tuple[str, str, str]]:
        return [place for place in self.everything() if word in place[2]]

    def messages(self) -> dict[str, str]:
        return {key: decode_all(text) for key, text in self._stored_messages()}

    def _stored_messages(self) -> list[tuple[str, str]]:
        with self.watch.store.read() as connection:
            rows = connection.execute(sa.text("SELECT id, message FROM deliveries ORDER BY id"))
            return [(row.id, row.message) for row in rows]


def decode_all(text: str) -> str:
    return repr(decode(text))


@pytest.fixture
def history(migrated_url: str, clock: Clock) -> Iterator[History]:
    watch = Watch(migrated_url, clock, routes=ROUTES)
    history = History(watch)
    history.key("doomed", "wallet-of-doomed")
    history.key("other", "wallet-of-other")
    yield history
    watch.close()


def live(history: History) -> None:
    """Months in minutes: changes of one and of both, refusals, an outage of both and one of each, a silence."""
    history.poll("doomed", SHARED, DOOMED)
    history.poll("other", SHARED, ITS_OWN)
    history.tell()
    history.poll("doomed", with_price(SHARED, 11, 20), with_price(DOOMED, 11, 20))
    history.tell()
    history.poll("other", with_price(SHARED, 11, 20), with_price(ITS_OWN, 11, 20))
    history.tell()
    # Told together, in one message.
    history.poll("doomed", with_price(SHARED, 12, 20), with_price(DOOMED, 12, 20), balance=900)
    history.poll("other", with_price(SHARED, 12, 20), with_price(ITS_OWN, 12, 20), balance=900)
    history.tell()
    for name in ("doomed", "other") * 2:
        history.watch.no_answer(name)
    history.tell()
    history.poll("doomed", with_price(SHARED, 12, 20))
    history.poll("other", with_price(SHARED, 12, 20), with_price(ITS_OWN, 12, 20))
    history.tell()
    for _ in range(2):
        history.watch.no_answer("doomed")
    history.tell()
    history.watch.answer("doomed", refusal("KEY_REVOKED"), status=401)
    history.tell()
    with history.watch.store.outbox() as tx:
        until = history.watch.clock() + timedelta(hours=1)
        tx.silences.add(
            Silence(id=0, keys=("doomed", "o*"), until=until, author="ana", comment="why not"), history.watch.clock()
        )
        tx.silences.add(
            Silence(id=0, models=("wan",), until=until, author="ana", comment="why not"), history.watch.clock()
        )
    history.poll("other", with_price(SHARED, 13, 20), with_price(ITS_OWN, 12, 20))
    history.watch.answer("doomed", refusal("TIER_LOCKED"), status=403)
    history.tell()
    history.watch.clock.advance(hours=2)
    history.tell()


VIEWS = (
    *("current_models", "model_history", "credit_history", "param_history"),
    *("change_log", "poll_log", "key_status", "balance_history"),
)


def views_of(history: History, key: str) -> dict[str, list[tuple[Any, ...]]]:
    found = {
        view: history.watch.rows(f"SELECT * FROM {view} WHERE key_name = :key ORDER BY 1, 2, 3", key=key)
        for view in VIEWS
    }
    assert all(found.values()), found
    return found


# --- what is left --------------------------------------------------------------------------------------------------


def test_nothing_of_the_key_is_left_in_any_table(history: History):
    live(history)
    assert {table for table, _, _ in history.places_of("doomed")} >= {
        *("api_keys", "conditions", "deliveries", "model_versions", "listings", "changes", "balance_days"),
        *("notices", "silences"),
    }
    history.watch.retire("doomed")
    history.tell()
    history.forget()
    assert history.places_of("doomed") == []


def test_the_other_key_loses_nothing(history: History):
    live(history)
    history.watch.retire("doomed")
    history.tell()
    before = views_of(history, "other")
    history.forget()
    assert views_of(history, "other") == before
    assert history.watch.rows("SELECT DISTINCT slug FROM model_versions ORDER BY slug") == [
        ("model-of-the-other",),
        ("shared-model",),
    ]


def test_it_says_how_much_it_was(history: History):
    history.poll("doomed", SHARED, DOOMED)
    history.poll("other", SHARED)
    history.tell()
    history.poll("doomed", with_price(SHARED, 11, 20), DOOMED)
    history.tell()
    history.watch.retire("doomed")
    forgotten = history.forget()
    assert (forgotten.changes, forgotten.conditions, forgotten.versions) == (2, 0, 2)
    assert forgotten.balance_days == 1
    assert history.watch.one("SELECT COUNT(*) FROM polls") == 1


def test_both_databases_are_whole_afterwards(history: History):
    live(history)
    history.watch.retire("doomed")
    history.tell()
    history.forget()
    if history.watch.url.startswith("sqlite"):
        assert history.watch.rows("PRAGMA foreign_key_check") == []
        assert history.watch.rows("PRAGMA integrity_check") == [("ok",)]
        kept = history.watch.rows("SELECT name FROM sqlite_master WHERE name LIKE 'forgetting%'")
    else:
        kept = history.watch.rows("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'forgetting%'")
    assert kept == []
    # And life goes on: a key of that name begins anew.
    history.key("doomed", "wallet-of-doomed")
    history.poll("doomed", SHARED, DOOMED)
    history.poll("other", SHARED)
    history.tell()
    assert history.watch.one("SELECT COUNT(*) FROM change_log WHERE key_name = 'doomed'") == 1


def test_a_key_that_never_was_polled_can_be_forgotten(history: History):
    history.watch.retire("doomed")
    assert history.forget() == Forgotten(0, 0, 0, 0, 0, 0, 0, 0)
    assert history.watch.rows("SELECT name FROM api_keys") == [("other",)]


# --- messages ------------------------------------------------------------------------------------------------------


def test_a_message_about_this_key_alone_is_gone_with_its_attempts(history: History):
    history.poll("doomed", DOOMED)
    history.tell()
    assert history.watch.one("SELECT COUNT(*) FROM attempts") == 2
    history.watch.retire("doomed")
    assert history.forget().messages == 2
    assert history.watch.one("SELECT COUNT(*) FROM deliveries") == 0
    assert history.watch.one("SELECT COUNT(*) FROM attempts") == 0
    assert history.watch.one("SELECT COUNT(*) FROM announcements") == 0


def test_a_message_about_several_keys_keeps_its_place_and_loses_its_text(history: History):
    history.poll("doomed", SHARED)
    history.poll("other", SHARED)
    history.tell()
    history.poll("doomed", with_price(SHARED, 12, 20))
    history.poll("other", with_price(SHARED, 12, 20))
    history.tell()
    log = history.watch.rows("SELECT * FROM alert_log ORDER BY delivery_id")
    history.watch.retire("doomed")
    forgotten = history.forget()
    assert (forgotten.messages, forgotten.emptied) == (0, 4)
    assert history.watch.rows("SELECT * FROM alert_log ORDER BY delivery_id") == log
    assert all("emptied" in text and "doomed" not in text for text in history.messages().values())
    assert all("'other'" in text for text in history.messages().values())


def test_what_is_on_its_way_is_waited_for(history: History):
    history.poll("doomed", DOOMED)
    history.sink.answers = [PowerCutError()]
    with pytest.raises(PowerCutError):
        history.tell()
    history.watch.retire("doomed")
    before = list(history.everything())
    with pytest.raises(UsageError, match="is on its way: dlv_001; wait until it has arrived, or give it up"):
        history.forget()
    assert list(history.everything()) == before


def test_what_waits_to_be_told_of_it_is_not_told(history: History):
    history.poll("doomed", DOOMED)
    history.watch.retire("doomed")
    history.forget()
    history.tell()
    assert history.sink.seen == []


def test_an_outage_that_others_shared_stays_without_its_name(history: History):
    history.poll("doomed", SHARED)
    history.poll("other", SHARED)
    history.tell()
    for name in ("doomed", "other") * 2:
        history.watch.no_answer(name)
    history.tell()
    history.watch.retire("doomed")
    assert history.forget().struck > 0
    (detail,) = history.watch.row("SELECT detail FROM conditions WHERE closed_at IS NULL")
    assert (detail["keys"], detail["retired"]) == ({"other": "failing"}, [FORGOTTEN])
    history.poll("other", SHARED)
    assert history.watch.one("SELECT COUNT(*) FROM conditions WHERE closed_at IS NULL") == 0


def test_an_outage_of_its_own_is_gone(history: History):
    history.poll("doomed", SHARED)
    for _ in range(2):
        history.watch.no_answer("doomed")
    history.tell()
    history.watch.retire("doomed")
    history.tell()
    assert history.forget().conditions == 1
    assert history.watch.one("SELECT COUNT(*) FROM conditions") == 0


# --- what is shared ------------------------------------------------------------------------------------------------


def test_an_account_that_another_key_uses_keeps_its_days(history: History):
    history.key("third", "wallet-of-doomed")
    history.poll("doomed", SHARED)
    history.watch.retire("doomed")
    assert history.forget().balance_days == 0
    assert history.watch.rows("SELECT account FROM balance_days") == [("wallet-of-doomed",)]


def test_the_account_that_was_called_as_the_key_goes_with_it(history: History):
    history.key("doomed", "doomed")
    history.poll("doomed", SHARED)
    history.key("doomed", "wallet-of-other")
    history.poll("doomed", SHARED, balance=900)
    history.watch.retire("doomed")
    assert history.forget().balance_days == 1
    assert history.watch.rows("SELECT account FROM balance_days") == [("wallet-of-other",)]


def test_a_silence_of_the_key_does_not_become_one_of_all(history: History):
    live(history)
    history.watch.retire("doomed")
    history.tell()
    history.forget()
    query = "SELECT matchers FROM silences ORDER BY id"
    assert [matchers for (matchers,) in history.watch.rows(query)] == [{"key": [FORGOTTEN, "o*"]}, {"model": ["wan"]}]


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_key_that_is_watched_is_refused(history: History):
    live(history)
    before = list(history.everything())
    with pytest.raises(UsageError, match="'doomed' is not retired"):
        history.forget()
    assert list(history.everything()) == before


def test_a_key_that_nobody_knows_is_refused_with_those_that_could_be_meant(history: History):
    with pytest.raises(UsageError, match="there is no key 'domed'; no key is retired"):
        history.forget("domed")
    history.watch.retire("doomed")
    with pytest.raises(UsageError, match="there is no key 'domed'; retired: doomed"):
        history.forget("domed")


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("prod is refused", "* is refused"),
        ("of prod.", "of *."),
        ("key:prod", "key:*"),
        ("prod, spare", "*, spare"),
        ("(prod)", "(*)"),
        ("prod-eu and eu/prod and a@prod", "prod-eu and eu/prod and a@prod"),
        ("prod.eu and eu:prod, prod: gone", "prod.eu and eu:prod, *: gone"),
        ("product", "product"),
        ("nonprod", "nonprod"),
    ],
)
def test_a_name_is_struck_out_where_it_is_a_word(text: str, left: str):
    assert struck_text(text, "prod") == left.replace("*", FORGOTTEN)


def test_a_name_is_no_pattern():
    assert struck_text("axb a.b", "a.b") == f"axb {FORGOTTEN}"


def test_names_of_keys_are_told_from_everything_else_that_reads_alike():
    detail = {"keys": {"a": "a"}, "retired": ["a", "b"], "what": "a", "requests": ["a"], "n": 1}
    assert renamed(detail, "a", "c") == {**detail, "keys": {"c": "a"}, "retired": ["c", "b"]}
    assert named(detail) == {"a", "b"}
    wallet = {"requests": {"a": {"request": "a"}}}
    assert renamed(wallet, "a", "c") == {"requests": {"c": {"request": "a"}}}


# --- a long history ------------------------------------------------------------------------------------------------


def test_a_long_history_is_erased_row_by_row_without_a_scan_for_each(migrated_sqlite: Path):
    """By the plan of the database and not by the clock: no delete looks for what refers to it without an index."""
    with closing(sqlite3.connect(migrated_sqlite)) as connection:
        for table in metadata.sorted_tables:
            for key in table.foreign_keys:
                if key.column.table.name in ("api_keys", "destinations", "silences"):
                    continue  # one row, or none, of these is erased
                query = f"SELECT 1 FROM {table.name} WHERE {key.parent.name} = ?"
                (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {query}", (1,))
                assert plan[3].startswith("SEARCH"), (query, plan)


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_asks_first_erases_then_and_refuses_what_is_configured(tmp_path: Path):
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "doomed", "other")
        assert home.run("once").code == 0
        refused = home.run("forget", "doomed", "--yes")
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith("syncd: the key 'doomed' is configured; take it out of the configuration")
        home.configure("other")
        early = home.run("forget", "doomed", "--yes")
        assert early.code == 2
        assert "is not retired: syncd has not run since it left the configuration" in early.err
        assert home.run("once").code == 0

        before = home.dump()
        asked = home.run("forget", "doomed")
        assert asked.code == 1
        assert asked.out.startswith("would erase the key doomed with 1 change, ")
        assert asked.out.endswith("nothing is erased yet: repeat it with --yes\n")
        assert home.dump() == before

        done = home.run("forget", "doomed", "--yes")
        assert (done.code, done.err) == (0, "")
        assert done.out == asked.out.replace("would erase", "erased").splitlines(keepends=True)[0]
        assert not any("doomed" in line for line in home.dump())
        assert home.run("status").code == 0
        assert home.run("forget", "doomed", "--yes").code == 2


def test_it_may_be_forgotten_beside_the_daemon(tmp_path: Path):
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "doomed", "other")
        assert home.run("once").code == 0
        home.configure("other")
        with home.daemon() as daemon:
            assert home.run("forget", "doomed", "--yes").code == 0
            assert daemon.alive
        assert home.rows("SELECT name FROM api_keys") == [("other",)]
