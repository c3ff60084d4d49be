"""Whether everything that alerts in Slack rest on is as it has to be, found out by doing it.

    run
      | auth.test                 which bot and workspace, its scopes, Slack's clock     fails: nothing else is tried
      | blocks.validate           whether Slack finds fault with what alerts are made of
      | for each channel:
      |     conversations.list    its id                                                 fails: nothing is posted
      |     conversations.info    in use, the bot a member                               fails: nothing is posted
      |     chat.postMessage      a message with everything that alerts are made of
      |     look for it           until it shows up, or for ten seconds
      |     chat.update, look     the edit
      |     answer it, look       the answer in its thread
      |     chat.delete           the answer, then the message: whatever happened before
      -> (channel, Fact), as they are found out

Posting, finding, editing and answering are the sink's own calls, so that a trial that succeeds is one of what an alert
does. It changes nothing in the database, and knows nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from syncd.core.delivery import (
    Ambiguous,
    Attempted,
    CannotEverLook,
    CannotLook,
    Delivered,
    Found,
    Impossible,
    Looked,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    Unusable,
)
from syncd.core.message import Bullets, Code, Message, Paragraph, Quote, Span, Table, bold, code
from syncd.core.text import clean, duration, moment
from syncd.sinks import Parcel
from syncd.sinks.slack import answers, render
from syncd.sinks.slack.sink import Answer, Failed, SlackSink

# What the app may do, all of it, and what for; docs/slack-app-manifest.json asks for the same.
SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chat:write": "to post",
        "channels:read": "to find public channels",
        "channels:history": "to see whether a message arrived",
        "groups:read": "to find private channels",
        "groups:history": "to see whether a message arrived in a private channel",
    }
)
# Whoever has no private channel for alerts can do without.
_OF_PRIVATE: Final = ("groups:read", "groups:history")

# A message is looked for from two minutes before it was sent; half of that is left to clocks.
MOST_OFFSET: Final = timedelta(seconds=60)
# What was posted shows up late at times: so many seconds before each look, ten in all.
_WAITS: Final = (0.0, 1.0, 2.0, 3.0, 4.0)
# Longer than this nobody waits in front of a terminal.
_LONGEST_WAIT: Final = timedelta(seconds=15)
_MOST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Fact:
    """Whether something was seen to be so, and what that means. What is not `needed` may be otherwise."""

    name: str
    seen: bool
    meaning: str
    needed: bool = True


# A channel as it was named, empty for what holds for all of them, and what was found out of it.
Finding: TypeAlias = tuple[str, Fact]
NotDelivered: TypeAlias = NotSent | RateLimited | Ambiguous | Refused | Unusable | Impossible


def _seen(name: str, meaning: str) -> Fact:
    return Fact(name, seen=True, meaning=meaning)


def _unseen(name: str, meaning: str, *, needed: bool = True) -> Fact:
    return Fact(name, seen=False, meaning=meaning, needed=needed)


def _judged(name: str, wrong: str, right: str) -> Fact:
    """Seen if nothing is wrong."""
    return _unseen(name, wrong) if wrong else _seen(name, right)


class Trial:
    """Tries a sink out. `new_id` gives delivery ids, `sleep` waits for so many seconds."""

    def __init__(
        self, sink: SlackSink, clock: Callable[[], datetime], new_id: Callable[[], str], sleep: Callable[[float], None]
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._desk = _Desk(sink, clock, new_id, sleep)

    def run(self, targets: Iterable[str]) -> Iterator[Finding]:
        """Everything, one after the other. Raises nothing; closed early, it still takes back what it posted."""
        us = self._sink.call("auth.test")
        if isinstance(us, Failed):
            yield "", _unseen("token", _why(us.meaning))
            yield from ((target, _unseen("tried", "nothing was tried here")) for target in targets)
            return
        for fact in (_bot(us), _scopes(us), _clock(us), self._valid()):
            yield "", fact
        for target in targets:
            with closing(self._channel(target)) as facts:
                yield from ((target, fact) for fact in facts)

    def _valid(self) -> Fact:
        """What Slack's own validator says. Only a post can tell for sure, so nothing hangs on it."""
        blocks = render.payload(_message(_BEFORE, self._clock(), "dlv_0"), "dlv_0")["blocks"]
        answer = self._sink.call("blocks.validate", params={"blocks": json.dumps(blocks)})
        if isinstance(answer, Failed):
            said = f"Slack's validator did not confirm it ({answer.reason}); what counts is whether it can be posted"
            return _unseen("form of messages", said, needed=False)
        return _seen("form of messages", "Slack's validator finds no fault with it")

    def _channel(self, target: str) -> Generator[Fact]:
        """One channel. Nothing is posted where it could not arrive."""
        channel = self._sink.locate(target)
        if not isinstance(channel, str):
            yield _unseen("channel", _why(channel))
            return
        facts = tuple(_of_channel(channel, self._sink.call("conversations.info", params={"channel": channel})))
        yield from facts
        if all(fact.seen or not fact.needed for fact in facts):
            yield from self._there_and_back(target, channel)

    def _there_and_back(self, target: str, channel: str) -> Iterator[Fact]:
        """Everything that is posted is taken back, also where it is broken off in between."""
        trip = _Trip(self._desk, target, channel)
        try:
            yield from trip.facts()
        finally:
            # The answer first: a message with answers leaves "This message was deleted" behind.
            left = [why for ts in reversed(trip.posted) if (why := self._desk.take_back(channel, ts))]
        if left:
            yield _unseen("deleted again", f"{left[0]}; a message “{_BEFORE}” or its answer stays: delete it by hand")
        elif trip.posted:
            yield _seen("deleted again", "nobody sees anything of it any more")


class _Trip:
    """A message, its edit and an answer to it. `posted` names what is to be taken back, as soon as it is there."""

    def __init__(self, desk: _Desk, target: str, channel: str) -> None:
        self.posted: list[str] = []
        self._desk = desk
        self._target = target
        self._channel = channel
        # Where the first message was not found nobody waits for the others.
        self._waits: tuple[float, ...] = _WAITS

    def facts(self) -> Iterator[Fact]:
        """What was seen on the way."""
        parcel = self._desk.parcel(_BEFORE, self._target, self._channel)
        sent = self._desk.post(parcel)
        if not isinstance(sent, Found):
            yield _unseen("posted", _not_posted(sent))
            return
        self.posted.append(sent.reference)
        yield _seen("posted", "alerts can be posted here")
        yield from self._found(parcel, sent)
        yield self._edited(sent)
        yield self._answered(sent)

    def _found(self, parcel: Parcel, sent: Found) -> Iterator[Fact]:
        """Whether the sink finds it, and by each of the two marks that it bears."""
        lost = self._lost(parcel, sent)
        message = {} if lost else self._desk.read(self._channel, sent.reference)
        for mark, part in (("metadata", "metadata"), ("block id", "blocks")):
            there = render.is_ours({part: message.get(part)}, parcel.id)
            wrong = "" if there else lost or "it is found, but does not show this mark"
            yield _judged(f"found by {mark}", wrong, "a message whose answer is lost is found, and not sent twice")

    def _edited(self, sent: Found) -> Fact:
        edit = self._desk.parcel(_AFTER, self._target, self._channel, edits=sent.reference)
        posted = self._desk.post(edit)
        wrong = self._lost(edit, sent) if isinstance(posted, Found) else _why(posted)
        return _judged("edited", wrong, "what an alert says can be brought up to date")

    def _answered(self, sent: Found) -> Fact:
        reply = self._desk.parcel(_REPLY, self._target, self._channel, thread=sent.reference)
        posted = self._desk.post(reply)
        if not isinstance(posted, Found):
            return _unseen("answered in its thread", _not_posted(posted))
        self.posted.append(posted.reference)
        wrong = self._lost(reply, posted)
        return _judged("answered in its thread", wrong, "answers can be posted, and are found again")

    def _lost(self, parcel: Parcel, sent: Found) -> str:
        """What it means that the message is not found; nothing if it is."""
        looked = self._desk.look(parcel, self._waits)
        if looked == sent:
            return ""
        self._waits = _WAITS[:1]
        return _not_found(looked)


class _Desk:
    """The sink in the hands of somebody who waits a little where that helps."""

    def __init__(
        self, sink: SlackSink, clock: Callable[[], datetime], new_id: Callable[[], str], sleep: Callable[[float], None]
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._new_id = new_id
        self._sleep = sleep

    def parcel(
        self, title: str, target: str, channel: str, *, thread: str | None = None, edits: str | None = None
    ) -> Parcel:
        """A delivery of its own, from now."""
        ident, now = self._new_id(), self._clock()
        return Parcel(ident, target, channel, _message(title, now, ident), now, thread=thread, edits=edits)

    def post(self, parcel: Parcel) -> Found | NotDelivered:
        """Send it, and settle by looking whether it arrived where that is not clear."""
        sent = self._sink.send(parcel)
        if isinstance(sent, RateLimited) and self._waited(sent):
            sent = self._sink.send(parcel)
        if isinstance(sent, Delivered):
            return Found(sent.reference or "")
        if isinstance(sent, Ambiguous) and isinstance(found := self.look(parcel, _WAITS), Found):
            return found
        return sent

    def look(self, parcel: Parcel, waits: Iterable[float]) -> Looked:
        """Until it is there, or nothing can be hoped for."""
        looked: Looked = NotFound()
        for wait in waits:
            self._sleep(wait)
            looked = self._sink.look(parcel)
            if isinstance(looked, Found | CannotEverLook):
                break
        return looked

    def read(self, channel: str, ts: str) -> Mapping[str, Any]:
        """The message as Slack shows it."""
        where = {"channel": channel, "oldest": ts, "latest": ts, "inclusive": True, "limit": 1}
        answer = self._sink.call("conversations.history", params={**where, "include_all_metadata": True})
        messages = answer.data.get("messages") if isinstance(answer, Answer) else None
        message = messages[0] if isinstance(messages, list) and messages else None
        return message if isinstance(message, dict) else {}

    def take_back(self, channel: str, ts: str) -> str:
        """Delete a message; why not, if that fails. To ask twice does no harm."""
        why = ""
        for _ in range(2):
            answer = self._sink.call("chat.delete", json={"channel": channel, "ts": ts})
            if isinstance(answer, Answer) or answer.code == "message_not_found":
                return ""
            why = _why(answer.meaning)
            if isinstance(answer.meaning, RateLimited):
                self._waited(answer.meaning)
        return why

    def _waited(self, limited: RateLimited) -> bool:
        """Whether it was short enough to be waited for."""
        wait = limited.until - self._clock()
        if wait > _LONGEST_WAIT:
            return False
        self._sleep(max(0.0, wait.total_seconds()))
        return True


# --- what was found out, in words ----------------------------------------------------------------------------------


def _bot(us: Answer) -> Fact:
    return _seen("token", f"the bot {_named(us, 'user')} of the workspace {_named(us, 'team')}")


def _named(us: Answer, what: str) -> str:
    return clean(str(us.data.get(what) or us.data.get(f"{what}_id") or "without a name"), _MOST_NAME)


def _scopes(us: Answer) -> Fact:
    """What the app may do, which Slack says beside each answer."""
    stated = us.headers.get("x-oauth-scopes")
    if stated is None:
        return _unseen("scopes", "Slack does not name them; what follows shows what the app may do", needed=False)
    granted = {clean(scope.strip(), _MOST_NAME) for scope in stated.split(",")} - {""}
    missing = [scope for scope in SCOPES if scope not in granted]
    if missing:
        named = ", ".join(f"{scope} ({SCOPES[scope]})" for scope in missing)
        said = f"missing {named}: {answers.unusable('token', 'missing_scope').hint}"
        return _unseen("scopes", said, needed=not set(missing) <= set(_OF_PRIVATE))
    surplus = sorted(granted - set(SCOPES))
    return _seen("scopes", f"more than syncd uses: {', '.join(surplus)}" if surplus else "those syncd uses, no more")


def _clock(us: Answer) -> Fact:
    """How far this machine's clock is from Slack's. Where messages are looked for it is allowed for."""
    if not us.headers.get("date"):
        return _unseen("clock", "Slack's answer bears no time to compare with", needed=False)
    offset = abs(us.skew)
    if offset <= MOST_OFFSET:
        return _seen("clock", f"within {duration(max(offset, timedelta(seconds=1)))} of Slack's")
    where = "behind" if us.skew > timedelta(0) else "ahead of"
    what = "syncd allows for it where it looks for messages, but every time it tells is wrong: set this machine's clock"
    return _unseen("clock", f"{duration(offset)} {where} Slack's; {what}", needed=False)


def _of_channel(channel: str, info: Answer | Failed) -> Iterator[Fact]:
    """What Slack says of a channel, as far as it stands in an alert's way."""
    if isinstance(info, Failed):
        # Without the scope only a post can tell.
        yield _unseen("channel", _why(info.meaning), needed=info.code != "missing_scope")
        return
    stated = info.data.get("channel")
    facts: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
    name = clean(str(facts.get("name") or "without a name"), _MOST_NAME)
    yield _seen("channel", f"{channel}, {'private' if facts.get('is_private') is True else 'public'}, named {name}")
    if facts.get("is_archived") is True:
        yield _unseen("in use", _why(answers.unusable("channel", "is_archived")))
    elif facts.get("is_member") is False:
        yield _unseen("the bot is a member", _why(answers.unusable("channel", "not_in_channel")))
    elif facts.get("is_member") is True:
        yield _seen("the bot is a member", "it may post and read here")
    else:
        yield _unseen("the bot is a member", "Slack does not say; whether it can post shows", needed=False)


def _not_found(looked: Looked) -> str:
    """Why a message that was posted was not found, and what that does to alerts."""
    match looked:
        case CannotEverLook():
            what = "its history may not be read"
            return f"{what}: {answers.unusable('token', 'missing_scope').hint}; else alerts may come twice"
        case CannotLook(reason):
            return f"it could not be looked for ({reason}); try again"
    return f"it did not show up within {int(sum(_WAITS))} seconds; try again: if this lasts, alerts may come twice"


def _not_posted(sent: NotDelivered) -> str:
    """Why not; where that is not certain, also what may be left of it."""
    left = f"; if a message “{_BEFORE}” or an answer to it shows up, delete it by hand"
    return _why(sent) + (left if isinstance(sent, Ambiguous) else "")


def _why(failed: Attempted) -> str:
    """What went wrong and what can be done about it."""
    match failed:
        case Unusable(_, reason, hint):
            return f"{reason}: {hint}"
        case RateLimited(until, _):
            return f"Slack wants nothing before {moment(until)}: try again then"
        case Refused(part, reason):
            return f"Slack refuses the {part} ({reason}): alerts come in a plainer form, or by themselves"
        case NotSent(reason) | Ambiguous(reason):
            network = "if this lasts, check the network, proxies, and slack.api_url"
            is_code = answers.code_of({"error": reason}) == reason
            return f"{reason}: {answers.unusable('token', reason).hint if is_code else network}"
        case Impossible(reason):
            return reason
        case Delivered():
            return ""


# --- what is posted ------------------------------------------------------------------------------------------------

_BEFORE: Final = "syncd checks this channel"
_AFTER: Final = "syncd has checked this channel"
_REPLY: Final = "An answer in the thread"


def _message(title: str, now: datetime, ident: str) -> Message:
    """Something of everything that alerts are made of."""
    return Message(
        kind="check",
        severity="informational",
        emoji="🔎",
        title=title,
        summary=title,
        blocks=(
            Paragraph(
                (Span("Sent by "), code("syncd check --online"), Span(", which "), bold("deletes it by itself."))
            ),
            Bullets(((Span("an item"),), (Span("another, "), Span("struck out", "strike")))),
            Table(("Model", "Credits"), (("a-model", "1"), ("another model", "2 to 3"))),
            Quote("somebody's words"),
            Code(("{", '  "prompt": "a lighthouse"', "}")),
        ),
        keys=(),
        detected=now,
        reference=ident,
    )
