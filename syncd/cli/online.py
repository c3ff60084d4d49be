"""What check asks of others: the vendor with every key, and Slack with its token.

keys      one request each, read and forgotten; what is odd about the answer is said and makes nothing fail
slack     a line per fact, `seen` or `not seen`, for the token and then for every channel that a route names
webhook   nothing: whatever is sent to its address is a message
"""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, assert_never

import typer

from syncd.core.reading import Failed, Listing, Malformed, Refused, Same, Unreachable, Why, explain
from syncd.core.text import clean, count

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.sinks.slack.trial import Fact


def vendor(config: Config) -> list[bool]:
    """Ask with every key, and say what came. Stores nothing. Whether each is well."""
    from syncd.app import discreet, utc_now
    from syncd.cli.findings import lines
    from syncd.core.catalog import Memo
    from syncd.fetch import Fetcher
    from syncd.providers import vivix

    found = []
    limits = config.vendor
    with Fetcher(timeout=limits.timeout, max_response=limits.max_response, connections=1, clock=utc_now) as fetcher:
        ask = discreet(fetcher.get)
        for key in config.keys:
            reading = vivix.read(ask(vivix.request(key.base_url, key.secret)), None, Memo())
            if isinstance(reading, Listing):
                said = count(len(reading.catalog.models), "model")
            else:
                said = "" if isinstance(reading, Same) else f"! {explain(reading)}: {_remedy(reading)}"
            typer.echo(f"vendor         {key.name} at {key.base_url}: {said}")
            if isinstance(reading, Listing):
                for line in lines(reading.catalog):
                    typer.echo(f"finding        {line}")
            found.append(isinstance(reading, Listing))
    return found


_ADDRESS: Final = "check vendor.base_url, and base_url of the key"
_REMEDIES: Final[Mapping[Why, str]] = {
    "rejected": "put a valid key where the configuration reads it",
    "tier_locked": "move the account to a plan with API access",
    "forbidden": "ask the vendor about this code",
    "rate_limited": "wait a minute; others use the account too",
    "server_error": "try again later; syncd keeps asking by itself",
    "moved": _ADDRESS,
    "client_error": _ADDRESS,
}


def _remedy(reading: Failed) -> str:
    match reading:
        case Refused(why=why):
            return _REMEDIES[why]
        case Malformed():
            return f"{_ADDRESS}; if they are right, the vendor has to mend it"
        case Unreachable():
            return f"{_ADDRESS}, the network and proxies"
    assert_never(reading)


def slack(config: Config) -> list[bool]:
    """Try Slack's token out, and every channel that a route names. Whether each fact is as it has to be."""
    if config.slack.token is None:
        return []
    from syncd.app import delivery_id, utc_now
    from syncd.sinks.slack import SlackSink
    from syncd.sinks.slack.trial import Trial

    targets = [target for scheme, target in _destinations(config) if scheme == "slack"]
    width = max([_MARGIN, *(len(f"slack:{target}") for target in targets)])
    sink = SlackSink(config.slack.token, config.slack.api_url, utc_now)
    found = []
    for target, fact in Trial(sink, utc_now, lambda: delivery_id(utc_now()), time.sleep).run(targets):
        where = f"slack:{target}" if target else "slack"
        typer.echo(f"{where:<{width}}  {_line(fact)}")
        found.append(fact.seen or not fact.needed)
    return found


# As far as what stands before the other lines of check.
_MARGIN: Final = len("configuration")
_WIDTH: Final = len("answered in its thread")


def _line(fact: Fact) -> str:
    """One fact; what must be put right is marked as everywhere in check."""
    mark = "! " if fact.needed and not fact.seen else ""
    return f"{fact.name:<{_WIDTH}}  {'seen' if fact.seen else 'not seen':<8}  {mark}{clean(fact.meaning, 400)}"


def webhooks(config: Config) -> list[bool]:
    """Say that they were not tried."""
    for scheme, target in _destinations(config):
        if scheme == "webhook":
            where = f"webhook:{target}"
            typer.echo(f"{where:<{_MARGIN}}  not tested: it can only be posted to; `syncd alerts test` does")
    return []


def _destinations(config: Config) -> Iterable[tuple[str, str]]:
    """Scheme and target of each, once."""
    for spec in dict.fromkeys(route.to for route in config.routes):
        scheme, _, target = spec.partition(":")
        yield scheme, target
