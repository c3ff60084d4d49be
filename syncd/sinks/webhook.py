"""Slack, through an incoming webhook: for those who have no bot.

It can post and nothing else. It gives no name of what it posted, so there are no threads and no edits; it cannot be
read back, so a message of which it is not known whether it arrived comes once more, marked as perhaps a repetition; and
it cannot be asked whether it works, so `probe` says no more than whether there is an address, and the next message is
the question: a refusal posts nothing, and comes no more often than a probe would.

The address is a secret as a whole. It is in no message, reason or repr.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from urllib.request import Request

from syncd import __version__
from syncd.core.delivery import Attempted, CannotEverLook, Delivered, Looked, NotSent, Refused, Unusable
from syncd.core.secret import Secret
from syncd.sinks import NotReached, Parcel
from syncd.sinks.post import exchange
from syncd.sinks.slack import answers, render
from syncd.sinks.slack.sink import APART

Clock: TypeAlias = Callable[[], datetime]


_UNKNOWN: Final = Unusable("token", "no webhook is configured under this name", "add the route again, or drop it")


class WebhookSink:
    """Posts to the address that `urls` has for a target."""

    distance = APART
    settles = timedelta(0)  # nobody can look for it

    def __init__(self, urls: Mapping[str, Secret], clock: Clock, timeout: float = 10) -> None:
        self._urls = dict(urls)
        self._clock = clock
        self._timeout = timeout
        self._trust = ssl.create_default_context()
        self._one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __repr__(self) -> str:
        return "WebhookSink()"

    def locate(self, target: str) -> str | NotReached:
        """The address decides where it leads."""
        return target

    def send(self, parcel: Parcel) -> Attempted:
        """Post by itself, whatever it answers or edits."""
        url = self._urls.get(parcel.target)
        if url is None:
            return _UNKNOWN
        try:
            content = render.payload(parcel.message, parcel.id, parcel.rung, parcel.note)
        except Exception as error:  # noqa: BLE001 - a bug of ours; the plainer form may do without it
            return Refused("payload", f"{type(error).__name__} in rendering")
        body = json.dumps(render.for_webhook(content)).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"syncd/{__version__}"}
        try:
            request = Request(url.reveal(), data=body, headers=headers, method="POST")  # noqa: S310 - checked with the configuration
        except ValueError:  # its text is the address
            return NotSent("no address of HTTP")
        try:
            with self._one_at_a_time[parcel.target]:
                reply = exchange(request, self._timeout, self._trust)
        except Exception as error:  # noqa: BLE001 - a sink raises nothing
            return answers.of_error(error)
        if reply.status == answers.OK and reply.text == "ok":
            return Delivered()
        return answers.of_webhook(reply.status, reply.headers, reply.text, self._clock())

    def look(self, parcel: Parcel) -> Looked:  # noqa: ARG002 - nobody can read through a webhook
        """There is no looking."""
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:
        """What can be known without posting: whether there is an address at all."""
        return None if target in self._urls else _UNKNOWN
