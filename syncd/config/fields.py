"""Reading one value: each function takes what TOML gave and returns the value, or raises `Refused`."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlsplit

from syncd.config.problems import Refused
from syncd.config.secrets import KEY_PREFIX, unresolved

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


_SLACK_CHANNEL = re.compile(r"#[^\s#,:]{1,80}|[CG][A-Z0-9]{6,20}")


def destination(value: str) -> str:
    """Where a route leads. The reference of a webhook's secret is looked at with the other secrets."""
    scheme, _, target = value.partition(":")
    hint = 'write "slack:#channel", "slack:C0123456789", "webhook:env:NAME" or "console"'
    if value == "console" or (scheme == "slack" and _SLACK_CHANNEL.fullmatch(target)):
        return value
    if scheme == "webhook" and target:
        unresolved(target)
        return value
    raise Refused("is no destination", hint)


def api_url(value: object) -> str:
    """Slack's address, or a stand-in's on this machine; Slack's library puts the method's name right behind it."""
    if not isinstance(value, str) or not value.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise Refused("is not the address of Slack's API", 'leave it out: it is "https://slack.com/api/"')
    return value if value.endswith("/") else value + "/"


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
    """A number as it was written: 2.5 is exactly that."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise Refused("is not a number", "write a number without quotes or %, such as 5 or 2.5")
    return _within(Decimal(0), Decimal(value), Decimal(1000), "write a number from 0 to 1000")


_BASE_URL_HINT = 'write the scheme and the host only, such as "https://getvivix.com"'
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def base_url(value: object) -> str:
    """``scheme://host[:port]`` without a slash at the end, so that paths are appended as they are."""
    # Before parsing: urlsplit silently drops tabs and line ends.
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise Refused("is not a URL", _BASE_URL_HINT)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("is not a URL", _BASE_URL_HINT) from None
    if parts.scheme not in ("http", "https"):
        raise Refused("is not an https URL", _BASE_URL_HINT)
    if "@" in parts.netloc:
        raise Refused("holds a user name or password", "the key is the only credential; " + _BASE_URL_HINT)
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        raise Refused("holds more than scheme and host", "syncd adds the path itself; " + _BASE_URL_HINT)
    address = _address(host)
    if address is None and not _HOST_NAME.fullmatch(host):
        raise Refused("names no host", _BASE_URL_HINT)
    if parts.scheme == "http" and not (address.is_loopback if address else host == "localhost"):
        raise Refused("is not https", "the key would travel in clear text; http is for this machine only (127.0.0.1)")
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}" + (f":{port}" if port is not None else "")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,64}")
_LONGEST_ROUTE_NAME = 64


def name(value: str) -> str:
    """What a key or an account is called, everywhere and for good."""
    if not _NAME.fullmatch(value):
        raise Refused("is not a name", "1 to 64 characters, letters, digits and . _ : / @ -")
    if KEY_PREFIX in value:
        raise Refused("looks like a key", "a name is stored and shown; choose one that tells nothing of the secret")
    return value


def route_name(value: str) -> str:
    """What a route is called in messages: free, but on one line."""
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST_ROUTE_NAME:
        raise Refused("is not a name", "1 to 64 printable characters on one line, such as prices")
    return value
