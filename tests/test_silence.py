"""Silences: what matches is recorded and not told, and what was missed is told at the end. On both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncd.core.changes import Change
from syncd.core.compose import ChangeDue, ConditionDue, Due, NoticeDue
from syncd.core.message import as_text
from syncd.core.routing import Route
from syncd.core.silence import Silence, ended, in_words, matchers, muted_by, silence_of
from syncd.demo.vendor import SimulatedVendor, made_up_models
from syncd.outbox import notices
from syncd.store import silences
from tests.conftest import Clock
from tests.program import Home, until
from tests.test_outbox import A, FakeSink, Mail, mailing
from tests.watching import listing, model, refusal, with_price

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPS = Route("ops", "slack:#ops")
CONSOLE = Route("all", "console")


def silence(number: int = 1, *, until: datetime = NOW + 2 * HOUR, **matchers: Any) -> Silence:
    return Silence(id=number, until=until, author="ana", comment="the vendor's maintenance", **matchers)


def change(kind: str = "model.removed", *, key: str = "prod", slug: str | None = "wan", severity: Any = "breaking"):
    return ChangeDue(1, key, NOW, Change(kind, ("models",), severity, None, None, slug))


def condition(kind: str = "vendor.unreachable", *keys: str, **more: Any) -> ConditionDue:
    given = {"edge": "opened", "subject": "url:https://vendor.example", "opened_at": NOW, "detail": {}, **more}
    return ConditionDue(1, 1, keys, NOW, kind, **given)


# --- what matches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matchers", "due", "mutes"),
    [
        ({}, change(), True),
        ({"keys": ("pro*",)}, change(), True),
        ({"keys": ("staging", "prod")}, change(), True),
        ({"keys": ("staging",)}, change(), False),
        ({"keys": ("PROD",)}, change(), False),
        ({"kinds": ("model.*",)}, change(), True),
        ({"kinds": ("param.*",)}, change(), False),
        ({"models": ("wa*",)}, change(), True),
        ({"models": ("veo*",)}, change(), False),
        # a model matcher is about models: the account and conditions have none
        ({"models": ("*",)}, change("account.tier.changed", slug=None), False),
        ({"models": ("*",)}, condition("vendor.unreachable", "prod"), False),
        ({"destinations": ("slack:*",)}, change(), True),
        ({"destinations": ("console",)}, change(), False),
        ({"max_severity": "breaking"}, change(), True),
        ({"max_severity": "risky"}, change(), False),
        ({"max_severity": "risky"}, change(severity="risky"), True),
        ({"max_severity": "risky"}, change(severity="informational"), True),
        ({"max_severity": "risky"}, condition("vendor.unreachable", "prod"), True),
        ({"max_severity": "risky"}, condition("access.rejected", "prod"), False),
        # every matcher that is given must match
        ({"keys": ("prod",), "kinds": ("param.*",)}, change(), False),
        ({"keys": ("prod",), "kinds": ("model.*",), "models": ("wan",)}, change(), True),
        # of a condition that keys share, every one that may be read of there
        ({"keys": ("prod",)}, condition("vendor.unreachable", "prod"), True),
        ({"keys": ("prod",)}, condition("vendor.unreachable", "prod", "spare"), False),
        ({"keys": ("prod", "sp*")}, condition("vendor.unreachable", "prod", "spare"), True),
        ({"keys": ("*",)}, condition("destination.broken"), False),
        ({"kinds": ("destination.*",)}, condition("destination.broken"), True),
        # the end of a condition is as bad as its beginning
        ({"max_severity": "risky"}, condition("access.rejected", "prod", edge="closed"), False),
        # what syncd says of itself is waited for
        ({}, NoticeDue(1, NOW, "test", {}), False),
    ],
)
def test_what_a_silence_mutes(matchers: dict[str, Any], due: Due, mutes: bool):  # noqa: FBT001
    found = muted_by(due, "slack:#ops", [silence(**matchers)], NOW)
    assert (found is not None) is mutes


def test_a_silence_mutes_until_its_time_and_not_in_it():
    assert muted_by(change(), "console", [silence(until=NOW + timedelta(microseconds=1))], NOW) is not None
    assert muted_by(change(), "console", [silence(until=NOW)], NOW) is None
    assert muted_by(change(), "console", [], NOW) is None


def test_of_several_the_one_that_lasts_longest_mutes():
    several = [silence(1), silence(2, until=NOW + 5 * HOUR), silence(3), silence(4, until=NOW + 5 * HOUR)]
    found = muted_by(change(), "console", several, NOW)
    assert found is not None
    assert found.id == 2


def test_matchers_are_kept_by_the_names_of_their_options():
    full = silence(keys=("a", "b"), kinds=("c",), models=("d",), destinations=("e",), max_severity="risky")
    kept = json.loads(json.dumps(matchers(full)))
    assert silence_of(kept, silence=1, until=full.until, author=full.author, comment=full.comment) == full
    assert in_words(kept) == "key a or b, kind c, model d, destination e, severity risky and below"
    assert (matchers(silence()), in_words({})) == ({}, "everything")


def test_the_end_names_what_it_muted_as_far_as_it_may_be_read_of():
    rejected = condition("access.rejected", "prod", subject="key:prod", detail={"status": 401})
    over = condition("access.rejected", "late", subject="key:late", closed_at=NOW)
    hidden = replace(change(key="secret"), at=NOW - HOUR - timedelta(milliseconds=3))
    detail = ended(silence(), [hidden, change(), rejected, over], lambda key: key != "secret")
    assert detail == {
        "muted": 4,
        "author": "ana",
        "comment": "the vendor's maintenance",
        "since": "2026-03-02T07:59:59Z",
        "keys": ["prod", "late"],
        "open": ["Key prod is rejected (401)"],
    }


# --- in the outbox -------------------------------------------------------------------------------------------------


@pytest.fixture
def mail(migrated_url: str, clock: Clock) -> Iterator[Mail]:
    mail = mailing(migrated_url, clock, CONSOLE, OPS)
    yield mail
    mail.watch.close()


def mute(mail: Mail, *, hours: float = 2, **matchers: Any) -> int:
    """A silence from now on, as the command writes it."""
    with mail.watch.store.outbox() as tx:
        return tx.silences.add(silence(until=mail.clock() + hours * HOUR, **matchers), mail.clock())


def expire(mail: Mail, number: int) -> bool:
    with mail.watch.store.outbox() as tx:
        return tx.silences.expire(number, mail.clock())


def titles(sink: FakeSink) -> list[str]:
    return [title for _, title, _ in sink.seen]


def told(mail: Mail, **others: Any) -> list[tuple[str, str]]:
    """One step: where something went, and what."""
    outbox = replace(mail.outbox(), **others)
    before = len(mail.console.seen), len(mail.slack.seen)
    while outbox.step():
        pass
    new = [("console", title) for title in titles(mail.console)[before[0] :]]
    return new + [("slack", title) for title in titles(mail.slack)[before[1] :]]


def announced(mail: Mail) -> list[tuple[Any, ...]]:
    return mail.watch.rows(
        "SELECT d.spec, a.edge, a.state, a.silence_id FROM announcements a JOIN destinations d"
        " ON d.id = a.destination_id WHERE a.notice_id IS NULL ORDER BY a.id"
    )


def test_what_is_muted_is_recorded_and_not_told(mail: Mail):
    number = mute(mail, destinations=("slack:*",))
    mail.change_price(11)
    assert [where for where, _ in told(mail)] == ["console"]
    assert announced(mail) == [("console", None, "sent", None), ("slack:#ops", None, "silenced", number)]
    assert mail.watch.one("SELECT COUNT(*) FROM change_log WHERE slug = 'a' AND state = 'announced'") == 1
    assert mail.outbox().next_due() is None


def test_what_the_silence_does_not_match_is_told(mail: Mail):
    mute(mail, kinds=("model.*",))
    mail.watch.answer("prod", listing(with_price(A, 11, 100), model("b")))
    for where, title in told(mail):
        assert "b" not in title, where
    kinds = mail.watch.rows(
        "SELECT DISTINCT c.kind FROM announcements a JOIN changes c ON c.id = a.change_id WHERE a.state = 'silenced'"
    )
    assert kinds == [("model.added",)]


def test_its_end_is_told_once_where_it_muted_something(mail: Mail):
    mute(mail, destinations=("slack:*",))
    found = mail.clock()
    for price in (11, 12):
        mail.change_price(price)
    told(mail)
    mail.clock.advance(hours=1, minutes=59)
    assert told(mail) == []
    mail.clock.advance(minutes=1)
    assert told(mail) == [("slack", "A silence has ended: it muted 2 alerts")]
    message = mail.slack.messages[-1]
    assert message.keys == ("prod",)
    text = as_text(message)
    assert "Set by ana: the vendor's maintenance. What changed meanwhile: " in text
    assert f"syncd changes --since {found:%Y-%m-%dT%H:%M:%SZ}" in text
    mail.clock.advance(hours=3)
    assert told(mail) == []
    assert mail.watch.one("SELECT COUNT(*) FROM notices") == 1


def test_after_its_end_everything_is_told_again(mail: Mail):
    mute(mail)
    told(mail)
    mail.clock.advance(hours=2)
    mail.change_price(11)
    assert len(told(mail)) == 2


def test_a_silence_that_muted_nothing_ends_without_a_word(mail: Mail):
    mute(mail, keys=("other",))
    mail.change_price(11)
    told(mail)
    mail.clock.advance(hours=2)
    assert told(mail) == []


def test_a_silence_that_is_ended_by_hand_says_so_at_the_next_step(mail: Mail):
    number = mute(mail)
    mail.change_price(11)
    assert told(mail) == []
    assert expire(mail, number) is True
    assert expire(mail, number) is False
    assert told(mail) == [(where, "A silence has ended: it muted 1 alert") for where in ("console", "slack")]
    assert told(mail) == []


def test_of_two_processes_that_see_the_end_one_tells_it(mail: Mail):
    number = mute(mail)
    mail.change_price(11)
    told(mail)
    expire(mail, number)
    for _ in range(2):
        with mail.watch.store.outbox() as tx:
            notices.say(tx, mail.outbox().audience, mail.clock())
    assert mail.watch.one("SELECT COUNT(*) FROM announcements WHERE notice_id IS NOT NULL") == 2


def test_the_end_of_one_silence_is_not_muted_by_another(mail: Mail):
    number = mute(mail)
    mail.change_price(11)
    told(mail)
    expire(mail, number)
    mute(mail)
    assert len(told(mail)) == 2


def test_a_destination_is_told_of_no_key_that_it_may_not_read_of(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, Route("ours", "slack:#ours", keys=("prod",)), CONSOLE)
    mail.watch.answer("spare", listing(A))
    mail.watch.write("DELETE FROM announcements")
    number = mute(mail)
    for _ in range(2):
        for key in ("prod", "spare"):
            mail.watch.no_answer(key)
    assert told(mail) == []
    expire(mail, number)
    assert len(told(mail)) == 2
    assert mail.slack.messages[0].keys == ("prod",)
    assert mail.console.messages[0].keys == ("prod", "spare")
    assert "Still so: The vendor cannot be reached. " in as_text(mail.slack.messages[0])
    mail.watch.close()


# --- conditions ----------------------------------------------------------------------------------------------------


def reject(mail: Mail) -> None:
    mail.watch.answer("prod", refusal("KEY_REVOKED"), status=401)


def test_the_end_of_a_condition_is_muted_where_its_beginning_was(mail: Mail):
    number = mute(mail, destinations=("console",))
    reject(mail)
    assert told(mail) == [("slack", "Key prod is rejected (401)")]
    mail.clock.advance(hours=3)
    assert told(mail) == [("console", "A silence has ended: it muted 1 alert")]
    assert "Still so: Key prod is rejected (401). " in as_text(mail.console.messages[-1])
    mail.watch.answer("prod", listing(A))
    assert [where for where, _ in told(mail)] == ["slack", "slack"]  # the end, and the first message brought up to date
    assert [row for row in announced(mail) if row[0] == "console"] == [
        ("console", edge, "silenced", number) for edge in ("opened", "closed", "changed")
    ]
    assert mail.outbox().next_due() is None
    mail.clock.advance(hours=3)
    assert told(mail) == []


def test_a_condition_that_comes_and_goes_in_a_silence_is_not_told(mail: Mail):
    number = mute(mail)
    reject(mail)
    mail.watch.answer("prod", listing(A))
    assert told(mail) == []
    assert {row[2:] for row in announced(mail)} == {("silenced", number)}
    expire(mail, number)
    assert [title for _, title in told(mail)] == ["A silence has ended: it muted 2 alerts"] * 2
    assert "Still so" not in as_text(mail.console.messages[-1])


def test_the_end_of_a_condition_that_was_told_is_muted_while_the_silence_lasts(mail: Mail):
    reject(mail)
    assert len(told(mail)) == 2
    mute(mail)
    mail.watch.answer("prod", listing(A))
    # Bringing a message up to date alerts nobody.
    assert told(mail) == [("slack", "Over: Key prod is rejected (401)")]


def test_an_outage_that_spreads_beyond_the_silence_is_told(mail: Mail):
    mail.watch.answer("spare", listing(A))
    mail.watch.write("DELETE FROM announcements")
    number = mute(mail, keys=("spare",))
    for _ in range(2):
        mail.watch.no_answer("spare")
    assert told(mail) == []
    for _ in range(2):
        mail.watch.no_answer("prod")
    assert told(mail) == [("console", "The vendor cannot be reached"), ("slack", "The vendor cannot be reached")]
    assert mail.console.messages[-1].keys == ("spare", "prod")
    for key in ("prod", "spare"):
        mail.watch.answer(key, listing(A))
    assert ("console", "The vendor answers again") in told(mail)
    expire(mail, number)
    assert told(mail) == []  # in the end it muted nothing


def test_an_outage_that_spreads_within_the_silence_stays_muted(mail: Mail):
    mail.watch.answer("spare", listing(A))
    mail.watch.write("DELETE FROM announcements")
    mute(mail, kinds=("vendor.*",))
    for key in ("spare", "prod"):
        for _ in range(2):
            mail.watch.no_answer(key)
        assert told(mail) == []
    assert {row[2] for row in announced(mail)} == {"silenced"}


# --- prices --------------------------------------------------------------------------------------------------------


def test_a_price_is_told_from_the_one_told_last_not_from_one_that_was_muted(mail: Mail):
    number = mute(mail)
    mail.change_price(11)
    assert told(mail) == []
    expire(mail, number)
    told(mail)
    mail.change_price(12)
    assert len(told(mail)) == 2
    assert "10 \u2192 12 (+20.0 %)" in as_text(mail.console.messages[-1])


def test_a_price_that_comes_back_after_a_silence_is_told_as_the_step_it_took(mail: Mail):
    mail.watch.answer("prod", listing(with_price(A, 10, 100)))
    told(mail)
    number = mute(mail)
    mail.change_price(11)
    told(mail)
    expire(mail, number)
    told(mail)
    mail.clock.advance(hours=25)  # sooner it would take back what was muted, and be muted with it
    mail.change_price(10)
    assert len(told(mail)) == 2
    assert "11 \u2192 10" in as_text(mail.console.messages[-1])


def test_what_was_muted_counts_towards_a_threshold(migrated_url: str, clock: Clock):
    mail = mailing(migrated_url, clock, Route("prices", "console", min_percent=Decimal(5)))
    number = mute(mail)
    mail.watch.answer("prod", listing(with_price(A, 10.6, 20)))
    assert told(mail) == []
    expire(mail, number)
    told(mail)
    # 2 % more than what was muted, and 8 % more than what was told last
    mail.watch.answer("prod", listing(with_price(A, 10.8, 20)))
    assert len(told(mail)) == 1
    assert "10 \u2192 10.8 (+8.0 %)" in as_text(mail.console.messages[-1])
    mail.watch.close()


def test_how_much_each_has_muted_is_counted_without_edits(mail: Mail):
    first, second = mute(mail, kinds=("access.*",)), mute(mail, keys=("other",), hours=1)
    reject(mail)
    mail.watch.answer("prod", listing(A))
    told(mail)
    with mail.watch.store.read() as connection:
        found = silences.listed(connection, None).dicts()
        mail.clock.advance(hours=1)
        active = silences.listed(connection, mail.clock()).dicts()
    assert [(row["id"], row["muted"]) for row in found] == [(first, 4), (second, 0)]
    assert [row["id"] for row in active] == [first]


# --- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, vendor: SimulatedVendor, database_url: str) -> Home:
    vendor.keys.clear()
    home = Home(tmp_path, vendor, "prod", "spare", url=database_url)
    assert home.run("migrate").code == 0
    return home


ADD = ("silence", "add", "--comment", "maintenance")


def listed(home: Home, *more: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.run("silence", "list", *more).out.splitlines()]


def test_once_obeys_a_silence_and_tells_its_end(home: Home):
    assert home.run("once").code == 0
    added = home.run(*ADD, "--key", "pro*", "--for", "2h", environ={"USER": "ana"})
    assert (added.code, added.err) == (0, "")
    assert added.out.startswith("silence 1 mutes key pro* until 2")
    for key in ("prod", "spare"):
        home.account(key).models = [*home.account(key).models, made_up_models(1)[0]]
    polled = home.run("once")
    assert polled.code == 0
    assert "simulated-image-0000" in polled.out
    assert "key spare" in polled.out
    (row,) = listed(home)
    assert {**row, "until": ""} == {
        "id": 1, "matchers": {"key": ["pro*"]}, "until": "", "author": "ana", "comment": "maintenance", "muted": 1,
    }  # fmt: skip
    assert home.run("silence", "expire", "1").out == "silence 1 has ended\n"
    assert listed(home) == []
    assert [row["id"] for row in listed(home, "--all")] == [1]
    assert "A silence has ended: it muted 1 alert" in home.run("once").out
    assert "A silence has ended" not in home.run("once").out


def test_a_running_daemon_obeys(home: Home):
    home.configure("prod", "spare", interval="1s")
    with home.daemon() as daemon:
        until(lambda: "Watching" in daemon.out)
        home.run(*ADD, "--all", "--for", "1d")
        home.account("prod").models = [*home.account("prod").models, made_up_models(1)[0]]
        until(lambda: [row["muted"] for row in listed(home)] == [1])
        home.run("silence", "expire", "1")
        until(lambda: "A silence has ended: it muted 1 alert" in daemon.out)
        assert "simulated-image-0000" not in daemon.out


def test_the_author_is_the_person_behind_sudo(home: Home):
    home.run(*ADD, "--all", "--for", "1h", environ={"USER": "root", "SUDO_USER": "ana"})
    home.run(*ADD, "--all", "--for", "1h", "--author", "bob", environ={"USER": "ana"})
    assert [row["author"] for row in listed(home)] == ["ana", "bob"]


def test_silences_are_listed_for_people_and_for_programs(home: Home):
    home.run(*ADD, "--kind", "param.*", "--severity", "risky", "--until", "2999-01-01T12:00:00+02:00")
    table = home.run("silence", "list", "--format", "table").out
    assert "kind param.*, severity risky and below" in table
    assert "2999-01-01 10:00:00" in table
    (row,) = json.loads(home.run("silence", "list", "--format", "json").out)
    assert row["matchers"] == {"kind": ["param.*"], "severity": "risky"}
    header, line = home.run("silence", "list", "--format", "csv").out.splitlines()
    assert header == "id,matchers,until,author,comment,muted"
    assert '"{""kind"": [""param.*""], ""severity"": ""risky""}"' in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--for", "2h"), "the silence does not say what to mute; give --key, "),
        (("--all", "--key", "prod", "--for", "2h"), "--all mutes every alert, matchers or not; "),
        (("--all",), "the silence does not say when it ends; give --for 2h or --until "),
        (("--all", "--for", "2h", "--until", "2999-01-01"), "the silence ends at two times; "),
        (
            ("--all", "--until", "2020-01-01"),
            "the silence would end before it begins: '2020-01-01' is 2020-01-01 00:00",
        ),
        (("--all", "--until", "2h"), "the silence would end before it begins: '2h' is "),
        (("--all", "--for", "0h"), "the silence would end before it begins: '0h' is "),
        (("--all", "--for", "soon"), "'soon' is not a duration; write a whole number and a unit"),
        (("--all", "--for", "2h", "--comment", " "), "the silence does not say why; give --comment"),
        (("--key", "stag*", "--for", "2h"), "--key 'stag*' matches no key; known: prod, spare"),
        (("--key", "prood", "--for", "2h"), "--key 'prood' matches no key; did you mean prod?"),
        (("--kind", "vendor.unreachabel", "--for", "2h"), "did you mean vendor.unreachable?"),
        (("--kind", "nothing", "--for", "2h"), "matches no kind of change or condition; docs/changes.md lists them"),
        (("--destination", "slack:#x", "--for", "2h"), "matches no destination; known: console"),
        (("--severity", "bad", "--for", "2h"), "'bad' is not a severity; one of breaking, risky, "),
    ],
)
def test_a_silence_that_cannot_be_is_refused_in_a_line(refusing: Home, arguments: tuple[str, ...], said: str):
    refused = refusing.run(*ADD, *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("syncd: ")
    assert refused.err.count("\n") == 1
    assert said in refused.err


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory, vendor: SimulatedVendor) -> Home:
    home = Home(tmp_path_factory.mktemp("refusing"), vendor, "prod", "spare")
    assert home.run("migrate").code == 0
    return home


def test_what_is_no_silence_cannot_be_ended(refusing: Home):
    missing = refusing.run("silence", "expire", "7")
    assert (missing.code, missing.err) == (
        2,
        "syncd: there is no silence 7; `syncd silence list --all` shows every one\n",
    )


def test_ending_a_silence_again_does_no_harm(home: Home):
    home.run(*ADD, "--all", "--for", "1h")
    assert home.run("silence", "expire", "1").code == 0
    again = home.run("silence", "expire", "1")
    assert again.code == 0
    assert again.out.startswith("silence 1 had ended already, at 2")


def test_the_help_of_each_command_teaches(refusing: Home):
    for command in ("add", "list", "expire"):
        shown = refusing.run("silence", command, "--help")
        assert shown.code == 0
        assert shown.out.startswith(f"Usage: syncd silence {command}")
