"""`syncd check --online` as a process: what it says of Slack and of the vendor, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.demo.vendor import SimulatedVendor
from syncd.sinks.slack import answers, render
from syncd.sinks.slack.trial import SCOPES
from tests import fake_slack, hostile
from tests.fake_slack import FakeSlack
from tests.program import COMMAND, ROOT, ROUTE, Home, Result, secret, until

OF_TOKEN = ("token", "scopes", "clock", "form of messages")
OF_CHANNEL = (
    *("channel", "the bot is a member", "posted", "found by metadata", "found by block id", "edited"),
    *("answered in its thread", "deleted again"),
)
HOOK = "https://hooks.slack.com/services/T000/B000/verysecret"


@pytest.fixture(scope="module")
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as running:
        yield running


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack(lambda: datetime.now(UTC)) as fake:
        fake.channel("C0ALERTS", "vivix")
        yield fake


@pytest.fixture
def home(tmp_path: Path, vendor: SimulatedVendor, slack: FakeSlack) -> Home:
    vendor.keys.clear()
    made = Home(tmp_path, vendor, "prod")
    made.environ |= {"SLACK_BOT_TOKEN": slack.token, "HOOK": HOOK}
    leads_to(made, slack, "slack:#vivix")
    return made


def leads_to(home: Home, slack: FakeSlack, *destinations: str, url: str = "") -> None:
    """Configure a route to each."""
    table = f'[slack]\ntoken = "env:SLACK_BOT_TOKEN"\napi_url = "{url or slack.url}"\n'
    routes = (f'[[routes]]\nname = "{n}"\nto = "{to}"\n' for n, to in enumerate(destinations))
    home.configure("prod", routes=table + "".join(routes))


def check(home: Home) -> Result:
    checked = home.run("check", "--online")
    for private in (home.environ["SLACK_BOT_TOKEN"], HOOK, "verysecret", *home.vendor.keys):
        assert private not in checked.said
    assert not home.file.exists()
    assert ("all is well" in checked.out, "something must be put right" in checked.out) == (
        checked.code == 0,
        checked.code == 1,
    )
    return checked


def facts(checked: Result, where: str = "slack:#vivix") -> dict[str, tuple[bool, str]]:
    """What was said of the token (``slack``) or of a channel: of each fact whether it was seen, and what it means."""
    lines = re.findall(rf"^{re.escape(where)} +(\S.*?) {{2,}}(seen|not seen) +(.*)$", checked.out, re.MULTILINE)
    return {name: (seen == "seen", meaning) for name, seen, meaning in lines}


def unseen(checked: Result, where: str = "slack:#vivix") -> list[str]:
    return [name for name, (seen, _) in facts(checked, where).items() if not seen]


# --- all is well -----------------------------------------------------------------------------------------------------


def test_everything_is_seen_and_nothing_stays(home, slack):
    checked = check(home)
    assert (checked.code, checked.err) == (0, "")
    assert tuple(facts(checked, "slack")) == OF_TOKEN
    assert tuple(facts(checked)) == OF_CHANNEL
    assert unseen(checked, "slack") == unseen(checked) == []
    assert "the bot syncd of the workspace Acme" in checked.out
    assert slack.messages("C0ALERTS") == []
    assert [len(slack.calls(method)) for method in ("chat.postMessage", "chat.update", "chat.delete")] == [2, 1, 2]


def test_what_is_posted_calls_nobody_and_is_marked_as_alerts_are(home, slack):
    check(home)
    post, reply = slack.calls("chat.postMessage")
    ident = post["metadata"]["event_payload"]["delivery_id"]
    assert re.fullmatch("dlv_[0-9A-Z]{15}", ident)
    assert all(block["block_id"].startswith(f"sd:{ident}:") for block in post["blocks"])
    assert {block["type"] for block in post["blocks"]} == {"header", "rich_text", "table", "context"}
    assert not re.search("broadcast|usergroup|user_id", json.dumps([post, reply]))
    # The answer first: else "This message was deleted" would stay.
    assert [one["ts"] for one in slack.calls("chat.delete")][1] == reply["thread_ts"]


def test_a_private_channel_by_its_id(home, slack):
    slack.channel("G0PRIVATE", "secret", is_private=True)
    leads_to(home, slack, "slack:G0PRIVATE")
    checked = check(home)
    assert checked.code == 0
    assert facts(checked, "slack:G0PRIVATE")["channel"] == (True, "G0PRIVATE, private, named secret")


def test_a_message_that_shows_up_late_is_waited_for(home, slack):
    slack.lag_seconds = 1.5
    checked = check(home)
    assert (checked.code, unseen(checked)) == (0, [])


def test_without_online_nobody_is_asked(home, slack, vendor):
    before = len(vendor.requests)
    checked = home.run("check")
    assert checked.code == 0
    assert slack.requests == []
    assert facts(checked, "slack") == facts(checked) == {}
    assert len(vendor.requests) == before


def test_an_invalid_configuration_is_no_trial(home, slack):
    home.environ["SLACK_BOT_TOKEN"] = "xoxp-of-a-person"
    assert home.run("check", "--online").code == 2
    assert slack.requests == []


# --- the token -------------------------------------------------------------------------------------------------------


def test_a_wrong_token(home, slack):
    home.environ["SLACK_BOT_TOKEN"] = "xoxb-revoked-token"
    checked = check(home)
    assert checked.code == 1
    assert facts(checked, "slack") == {
        "token": (False, f"! invalid_auth: {answers.unusable('token', 'invalid_auth').hint}")
    }
    assert unseen(checked) == ["tried"]
    assert {seen.method for seen in slack.requests} == {"auth.test"}


def test_a_scope_without_which_nothing_can_be_posted(home, slack):
    slack.scopes.remove("chat:write")
    checked = check(home)
    assert checked.code == 1
    assert "chat:write (to post)" in facts(checked, "slack")["scopes"][1]
    assert unseen(checked) == ["posted"]
    assert facts(checked)["posted"][1].startswith("! missing_scope: add the scopes")
    assert "deleted again" not in facts(checked)


def test_a_scope_without_which_nothing_is_found_again(home, slack):
    slack.scopes.remove("channels:history")
    checked = check(home)
    assert checked.code == 1
    assert unseen(checked, "slack") == ["scopes"]
    assert unseen(checked) == ["found by metadata", "found by block id", "edited", "answered in its thread"]
    assert "may come twice" in facts(checked)["found by metadata"][1]
    assert slack.messages("C0ALERTS") == []


def test_scopes_for_private_channels_are_not_needed_for_public_ones(home, slack):
    slack.scopes -= {"groups:read", "groups:history"}
    checked = check(home)
    assert checked.code == 0
    assert facts(checked, "slack")["scopes"][1].startswith("missing groups:read")
    assert unseen(checked) == []


def test_scopes_that_nobody_uses_are_named(home, slack):
    slack.scopes.add("files:read")
    checked = check(home)
    assert checked.code == 0
    assert facts(checked, "slack")["scopes"] == (True, "more than syncd uses: files:read")


@pytest.mark.parametrize(("minutes", "where"), [(5, " behind Slack's"), (-5, " ahead of Slack's")])
def test_a_clock_that_is_off_is_a_warning(home, slack, minutes, where):
    slack.ahead = timedelta(minutes=minutes)
    checked = check(home)
    assert checked.code == 0
    seen, meaning = facts(checked, "slack")["clock"]
    assert not seen
    assert where in meaning
    # Looking allows for it.
    assert unseen(checked) == []


def test_a_validator_that_does_not_know_or_does_not_like_it_is_no_fault(home, slack):
    slack.faults["blocks.validate"] = [fake_slack.code("unknown_method")]
    checked = check(home)
    assert checked.code == 0
    assert unseen(checked, "slack") == ["form of messages"]
    assert "unknown_method" in checked.out


def test_slack_out_of_reach_is_a_line_each(home, slack, vendor):
    leads_to(home, slack, "slack:#vivix", url="http://127.0.0.1:9/api/")
    checked = check(home)
    assert (checked.code, checked.err) == (1, "")
    assert facts(checked, "slack")["token"][1].startswith("! Connection refused: ")
    assert unseen(checked) == ["tried"]
    assert re.search(r"^vendor +prod at .*: 6 models$", checked.out, re.MULTILINE)


# --- the channel -----------------------------------------------------------------------------------------------------


def test_a_channel_out_of_order_does_not_keep_others_from_being_tried(home, slack):
    slack.channel("C0OLDONE", "old", is_archived=True)
    slack.channel("C0OTHERS", "theirs", is_member=False)
    leads_to(home, slack, "slack:#old", "slack:#theirs", "slack:#nowhere", "slack:C0NOWHERE", "slack:#vivix")
    checked = check(home)
    assert checked.code == 1
    assert facts(checked, "slack:#old")["in use"][1].startswith("! is_archived: unarchive")
    assert facts(checked, "slack:#theirs")["the bot is a member"][1].startswith("! not_in_channel: invite")
    for where in ("slack:#nowhere", "slack:C0NOWHERE"):
        assert facts(checked, where)["channel"][1].startswith("! channel_not_found: check the channel's name")
    assert unseen(checked) == []
    assert {one["channel"] for one in slack.calls("chat.postMessage")} == {"C0ALERTS"}


def test_a_message_that_is_never_found(home, slack):
    slack.lag_looks = 1000
    checked = check(home)
    assert checked.code == 1
    assert unseen(checked) == ["found by metadata", "found by block id", "edited", "answered in its thread"]
    assert "did not show up within 10 seconds" in checked.out
    assert slack.messages("C0ALERTS") == []


def test_a_mark_that_slack_does_not_show(home, slack):
    slack.shows_metadata = False
    checked = check(home)
    assert checked.code == 1
    assert unseen(checked) == ["found by metadata"]


def test_a_post_whose_answer_is_lost_is_found_and_taken_back(home, slack):
    slack.faults["chat.postMessage"] = [fake_slack.drop_after(), fake_slack.drop_after()]
    checked = check(home)
    assert (checked.code, unseen(checked)) == (0, [])
    assert slack.messages("C0ALERTS") == []


def test_a_post_that_may_have_arrived_is_said_to_be_one(home, slack):
    slack.lag_looks = 1000
    slack.faults["chat.postMessage"] = [fake_slack.drop_after()]
    checked = check(home)
    assert checked.code == 1
    assert "delete it by hand" in facts(checked)["posted"][1]


def test_a_form_that_slack_refuses(home, slack):
    slack.faults["chat.postMessage"] = [fake_slack.code("invalid_blocks")]
    checked = check(home)
    assert (checked.code, unseen(checked)) == (1, ["posted"])
    assert "invalid_blocks" in checked.out


def test_a_short_wait_that_slack_asks_for_is_waited_and_a_long_one_is_said(home, slack):
    slack.faults["chat.postMessage"] = [fake_slack.rate_limited("1")]
    assert check(home).code == 0
    slack.faults["chat.postMessage"] = [fake_slack.rate_limited("600")]
    checked = check(home)
    assert checked.code == 1
    assert "Slack wants nothing before" in facts(checked)["posted"][1]


def test_a_message_that_stays_is_said_to_stay(home, slack):
    slack.faults["chat.delete"] = [fake_slack.code("internal_error")] * 4
    checked = check(home)
    assert checked.code == 1
    assert unseen(checked) == ["deleted again"]
    assert "delete it by hand" in facts(checked)["deleted again"][1]
    assert len(slack.messages("C0ALERTS")) == 2


def test_whoever_loses_patience_leaves_nothing_behind(home, slack):
    slack.lag_looks = 1000
    started = subprocess.Popen(
        [*COMMAND, "check", "--online"],
        cwd=home.folder,
        env=home.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: slack.calls("conversations.history"))
    started.send_signal(signal.SIGINT)
    started.wait(20)
    assert slack.messages("C0ALERTS") == []


def test_a_webhook_is_not_tried(home, slack):
    leads_to(home, slack, "slack:#vivix", "webhook:env:HOOK")
    checked = check(home)
    assert checked.code == 0
    assert "webhook:env:HOOK  not tested: it can only be posted to; `syncd alerts test` does\n" in checked.out


# --- the vendor ------------------------------------------------------------------------------------------------------


def test_a_rejected_key_is_said_with_what_to_do(tmp_path, vendor):
    vendor.keys.clear()
    home = Home(tmp_path, vendor, "good", "revoked", "locked", "silent", "page", routes=ROUTE)
    for name, reply in (("revoked", hostile.KEY_REVOKED), ("locked", hostile.TIER_LOCKED), ("silent", hostile.closed)):
        home.account(name).answer = hostile.always(reply)
    home.account("page").answer = hostile.always(hostile.refusal(401, secret("page")))
    home.environ["SLACK_BOT_TOKEN"] = "xoxb-of-nobody"
    before = len(vendor.requests)
    checked = check(home)
    assert checked.code == 1
    said = dict(re.findall(r"^vendor +(\w+) at \S+: (.*)$", checked.out, re.MULTILINE))
    assert said["good"] == "6 models"
    assert (
        said["revoked"] == "! the key is rejected (401 KEY_REVOKED): put a valid key where the configuration reads it"
    )
    assert said["locked"].endswith("move the account to a plan with API access")
    assert said["silent"].startswith("! ")
    assert said["page"].startswith("! the key is rejected (401 (the key))")
    asked = [seen.key for seen in vendor.requests[before:] if seen.key != secret("silent")]
    assert asked == [secret(name) for name in ("good", "revoked", "locked", "page")]


# --- what is written about it ----------------------------------------------------------------------------------------


def test_the_app_asks_for_the_scopes_that_are_used_and_no_others():
    manifest = json.loads((ROOT / "docs" / "slack-app-manifest.json").read_text("utf-8"))
    assert manifest["oauth_config"] == {"scopes": {"bot": list(SCOPES)}}
    assert set(manifest["features"]) == {"bot_user"}
    assert not any(manifest["settings"].values())
    assert len(manifest["display_information"]["name"]) <= 35
    assert len(manifest["display_information"]["description"]) <= 140


def test_the_page_names_the_scopes_the_codes_and_the_limits_of_the_program():
    page = (ROOT / "docs" / "slack.md").read_text("utf-8")
    assert {f"`{scope}`" for scope in SCOPES} <= set(re.findall(r"`[a-z]+:[a-z]+`", page))
    table = page.split("## When something is wrong")[1].split("\n## ")[0]
    codes = set(re.findall(r"`([a-z]+_[a-z_]+)`", table))
    assert codes
    assert [code for code in codes if answers.kind_of(code) is None and not _of_webhooks(code)] == []
    for limit in (f"{render.MOST_BLOCKS} blocks", f"{render.MOST_CHARACTERS:,} characters", f"{render.MOST_TEXT} char"):
        assert limit in page


def _of_webhooks(code: str) -> bool:
    found = answers.of_webhook(403, {}, code, datetime.now(UTC))
    return found == answers.unusable("token", code) or found == answers.unusable("channel", code)
