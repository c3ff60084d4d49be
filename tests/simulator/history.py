"""What happens, as data: steps, each so long after the one before it. Only processes data.

[*every("15m", ten, four, ten), Rotated("prod"), *times(3, "1h", ten)]
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from tests.watching import listing, model, refusal, with_price


@dataclass(frozen=True, slots=True)
class Said:
    """How the vendor answers a poll; with no status it does not. `what` is for people."""

    what: str
    status: int | None = 200
    body: bytes = field(default=b"", repr=False)

    @property
    def good(self) -> bool:
        """Whether it lists a catalogue."""
        return self.status == 200 and self.body.endswith(b"}")


@dataclass(frozen=True, slots=True)
class Polled:
    """The key is polled, and answered so."""

    after: timedelta
    said: Said
    key: str = "prod"


@dataclass(frozen=True, slots=True)
class Waited:
    """Nothing is asked; what waits to be told is told."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Rotated:
    """The configuration has another secret for the key from now on, and the process is started again."""

    key: str = "prod"


@dataclass(frozen=True, slots=True)
class Restarted:
    """The process ends and is started again."""


Step: TypeAlias = Polled | Waited | Rotated | Restarted
History: TypeAlias = tuple[Step, ...]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def span(text: str) -> timedelta:
    """``15m`` as a length of time."""
    found = re.fullmatch(r"([0-9.]+)([smhd])", text)
    assert found is not None, text
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def every(after: str, *said: Said, key: str = "prod") -> History:
    """A poll after each such time."""
    return tuple(Polled(span(after), one, key) for one in said)


def times(number: int, after: str, *said: Said, key: str = "prod") -> History:
    """The same so many times over."""
    return every(after, *said, key=key) * number


def wait(after: str) -> History:
    """A while without a poll."""
    return (Waited(span(after)),)


def together(after: str, answers: Mapping[str, Said]) -> History:
    """Several keys, one right after the other."""
    return tuple(Polled(span(after if first else "1s"), said, key) for first, key, said in _marked(answers))


def _marked(answers: Mapping[str, Said]) -> Iterable[tuple[bool, str, Said]]:
    return ((number == 0, key, said) for number, (key, said) in enumerate(answers.items()))


# --- how the vendor answers ----------------------------------------------------------------------------------------

Model: TypeAlias = dict[str, Any]


def lists(*models: Model, what: str = "", **top: object) -> Said:
    """A catalogue of these models."""
    return Said(what or f"lists {' '.join(one['slug'] for one in models) or 'nothing'}", 200, listing(*models, **top))


def refuses(status: int, code: str) -> Said:
    """A refusal."""
    return Said(f"refuses with {status} {code}", status, refusal(code))


GARBAGE = Said("garbage", 200, b'{"tier": "pro", "mod')
SILENCE = Said("no answer", None)
NOTHING = lists()


def models(*slugs: str) -> list[Model]:
    """Models of which nothing is special."""
    return [model(slug) for slug in slugs]


def many(number: int) -> list[Model]:
    """So many of them: m0, m1, …"""
    return models(*(f"m{n}" for n in range(number)))


def priced(one: Model, low: float, high: float | None = None) -> Model:
    """The same model at another price."""
    return with_price(one, low, low * 2 if high is None else high)


def having(one: Model, **params: Mapping[str, Any] | None) -> Model:
    """The same model with these parameters, or without those that are None."""
    other = copy.deepcopy(one)
    kept = {**other["params"], **params}
    return {**other, "params": {name: spec for name, spec in kept.items() if spec is not None}}
