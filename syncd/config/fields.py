"""Reading one value: each function takes what TOML gave and returns the value, or raises `Refused`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import time, timedelta
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo, available_timezones

from syncd.config.problems import Refused
from syncd.config.secrets import KEY_PREFIX
from syncd.config.urls import url
from syncd.core.slots import Slots

# Nine digits: as many days as a timedelta can hold. Every setting has its own limit far below.
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_DURATION_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_DURATION_HINT = 'write a whole number and a unit (ms, s, m, h, d) in quotes, such as "20s" or "15m"'

_SIZE = re.compile(r"([0-9]{1,12})(KiB|MiB|GiB)")
_SIZE_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE_HINT = 'write a whole number and a unit (KiB, MiB, GiB) in quotes, such as "16MiB", or plain bytes'

_T = TypeVar("_T", timedelta, int, Decimal)


def _within(least: _T, value: _T, most: _T, hint: str) -> _T:
    if not least <= value <= most:
        raise Refused("is out of range", hint)
    return value


def _duration(value: object) -> timedelta:
    if not isinstance(value, str) or not (parts := _DURATION.fullmatch(value)):
        raise Refused("is not a duration", _DURATION_HINT)
    return int(parts[1]) * _DURATION_UNITS[parts[2]]


def interval(value: object) -> timedelta:
    """Below a second a poll costs more than it tells; beyond a month `syncd once` from cron serves better."""
    hint = "1s to 31d: every poll counts against the key's rate limit, and a change should not be told a month late"
    return _within(timedelta(seconds=1), _duration(value), timedelta(days=31), hint)


def timeout(value: object) -> timedelta:
    """At most five minutes: a vendor that hangs holds a worker for that long."""
    hint = "1ms to 5m: a vendor that hangs holds a worker that long; the default is 20s"
    return _within(timedelta(milliseconds=1), _duration(value), timedelta(minutes=5), hint)


def group_wait(value: object) -> timedelta:
    """Zero tells at once; longer than an hour is what a digest is for."""
    return _within(timedelta(0), _duration(value), timedelta(hours=1), "0s to 1h: an alert waits that long")


def confirming_polls(value: object) -> int:
    """One confirms at once; with a hundred nobody would hear of a removal for a day."""
    return _within(1, _whole(value), 100, "1 to 100: so many listings must miss a model; the default is 2")


def confirming_time(value: object) -> timedelta:
    """Zero leaves it to the number of polls; a removal should not be told a month late."""
    hint = "0s to 31d: a model must be missing for that long; the default is 30m"
    return _within(timedelta(0), _duration(value), timedelta(days=31), hint)


def share(value: object) -> Decimal:
    """A part of the models. Of nothing at all every listing would be suspicious."""
    part = _number(value, "write a number without quotes or %, such as 0.2")
    if not 0 < part <= 1:
        raise Refused("is out of range", "more than 0, at most 1: 0.2 is a fifth of the models")
    return part


def drop_count(value: object) -> int:
    """Beside the share, so that one model of four is no drop."""
    if (number := _whole(value)) < 1:
        raise Refused("is out of range", "at least 1: so many models must be missing at once; the default is 5")
    return number


def remind(value: object) -> timedelta | None:
    """How often a condition that lasts is told again; None for never. Below an hour it is noise."""
    if value == "off":
        return None
    hint = 'write "off", or 1h to 31d: those who heard that something is wrong are reminded that often'
    try:
        return _within(timedelta(hours=1), _duration(value), timedelta(days=31), hint)
    except Refused as refused:
        raise Refused(refused.message, hint) from None


def credits(value: object) -> Decimal:
    """An amount that a wallet may hold. No sensible one is greater."""
    hint = "write a number of credits without quotes, such as 1000"
    return _within(Decimal(0), _number(value, hint), Decimal(10**15), "write a number from 0 to 1000000000000000")


def runway(value: object) -> timedelta:
    """Within less than an hour nobody fills a wallet, and what was spent lately says nothing of next year."""
    hint = "1h to 365d: how long the credits should last at what is spent of late; such as 3d"
    return _within(timedelta(hours=1), _duration(value), timedelta(days=365), hint)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("must be a whole number", "without quotes")
    return value


def _number(value: object, hint: str) -> Decimal:
    """A number as it was written: 2.5 is exactly that."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise Refused("is not a number", hint)
    return Decimal(value)


_MENTION = re.compile(r"@here|@channel|[UWS][A-Z0-9]{6,20}")


def mention(value: object) -> str:
    """Who is called to an alert: everybody there, or one user or group, whom Slack knows by an id alone."""
    if not isinstance(value, str) or not _MENTION.fullmatch(value):
        hint = 'write "@here", "@channel", or the id of a user (U…) or of a user group (S…), as Slack shows it'
        raise Refused("calls nobody", hint)
    return value


_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def digest(value: object) -> Slots | None:
    """When what waits is told together; None for at once."""
    if value == "hourly":
        return Slots()
    return _slots(value, ("daily",), 'write "off", "hourly" or "daily 09:00 Europe/Berlin"')


def summary(value: object) -> Slots | None:
    """When a line says that all is well; None for never."""
    hint = 'write "off", "monday 09:00 Europe/Berlin" (any weekday) or "daily 09:00 Europe/Berlin"'
    return _slots(value, ("daily", *_WEEKDAYS), hint)


def _slots(value: object, days: Sequence[str], hint: str) -> Slots | None:
    """Three words: one of these days, a time, a zone. None for ``off``."""
    if value == "off":
        return None
    match value.split() if isinstance(value, str) else ():
        case [day, clock, zone] if day in days:
            return Slots(_time(clock), None if day == "daily" else _WEEKDAYS.index(day), _zone(zone))
        case [day, *_] if day in days:
            raise Refused("is not a day, a time and a time zone", hint)
        case [word, *_] if close := difflib.get_close_matches(word.lower(), days, n=1, cutoff=0.7):
            raise Refused("does not say when", f"did you mean {close[0]}?")
        case _:
            raise Refused("does not say when", hint)


_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


def _time(text: str) -> time:
    if not _TIME.fullmatch(text):
        raise Refused("names no time of day", "write hours and minutes with two digits each, from 00:00 to 23:59")
    return time.fromisoformat(text)


def _zone(name: str) -> ZoneInfo:
    """By its exact name: looking for a file would take other spellings on some machines, and paths."""
    known = available_timezones()
    if name in known:
        return ZoneInfo(name)
    # Abbreviations look like one another and are hours apart: only names of places are near a name.
    places = {each.lower(): each for each in known if "/" in each or each == "UTC"}
    close = difflib.get_close_matches(name.lower(), sorted(places), n=1)
    hint = f"did you mean {places[close[0]]}?" if close else 'write a name such as "Europe/Berlin" or "UTC"'
    raise Refused("names no time zone", hint)


_API_URL_HINT = 'leave it out: it is "https://slack.com/api/"'


def api_url(value: object) -> str:
    """Slack's address, or a stand-in's on this machine; Slack's library puts the method's name right behind it."""
    parts = url(value, _API_URL_HINT)
    if parts.user:
        raise Refused("holds a user name or password", "the token is the only credential; " + _API_URL_HINT)
    if parts.more:
        raise Refused("holds more than an address", _API_URL_HINT)
    if parts.host == "hooks.slack.com":
        raise Refused("is the address of a webhook", 'name it in a route: to = "webhook:env:SLACK_WEBHOOK_URL"')
    if not parts.safe:
        raise Refused("is not https", "the token would travel in clear text; http is for this machine only (127.0.0.1)")
    return f"{parts.origin}{parts.path.rstrip('/')}/"


def response_size(value: object) -> int:
    """Bytes. One model alone is about 600; the whole answer is held in memory."""
    if isinstance(value, str) and (parts := _SIZE.fullmatch(value)):
        size = int(parts[1]) * _SIZE_UNITS[parts[2]]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise Refused("is not a size", _SIZE_HINT)
    return _within(1024, size, 1024**3, "1KiB to 1GiB: an answer is held in memory; the default is 16MiB")


def percent(value: object) -> Decimal:
    """By how much a price moved: one may become many times what it was."""
    number = _number(value, "write a number without quotes or %, such as 5 or 2.5")
    return _within(Decimal(0), number, Decimal(1000), "write a number from 0 to 1000")


_BASE_URL_HINT = 'write the scheme and the host only, such as "https://getvivix.com"'


def base_url(value: object) -> str:
    """``scheme://host[:port]`` without a slash at the end, so that paths are appended as they are."""
    parts = url(value, _BASE_URL_HINT)
    if parts.user:
        raise Refused("holds a user name or password", "the key is the only credential; " + _BASE_URL_HINT)
    if parts.path not in ("", "/") or parts.more:
        raise Refused("holds more than scheme and host", "syncd adds the path itself; " + _BASE_URL_HINT)
    if not parts.safe:
        raise Refused("is not https", "the key would travel in clear text; http is for this machine only (127.0.0.1)")
    return parts.origin


_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,64}")
_LONGEST_FREE_NAME = 64


def name(value: str) -> str:
    """What a key or an account is called, everywhere and for good."""
    if not _NAME.fullmatch(value):
        raise Refused("is not a name", "1 to 64 characters, letters, digits and . _ : / @ -")
    if KEY_PREFIX in value:
        raise Refused("looks like a key", "a name is stored and shown; choose one that tells nothing of the secret")
    return value


def folder(value: str) -> str:
    """A path that can be shown."""
    if not value.strip() or not value.isprintable():
        raise Refused("is not the name of a folder", 'write a path, absolute or from the folder of this file: "keys.d"')
    return value


def free_name(value: str) -> str:
    """What a route or a saved request is called in messages: free, but on one line."""
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST_FREE_NAME:
        raise Refused("is not a name", "1 to 64 printable characters on one line, such as prices")
    return value
