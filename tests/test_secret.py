"""A secret leaves only through `reveal`, whatever people do to it by accident."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pytest
import structlog

from syncd.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "vvx_live_hunter2hunter2hunter2"
FINGERPRINT = "0788a324"


@dataclass(frozen=True)
class Holder:
    name: str
    secret: Secret


def by_print(secret: Secret) -> str:
    out = io.StringIO()
    print(secret, [secret], {"key": secret}, (secret,), {secret}, file=out)
    return out.getvalue()


def by_logging(secret: Secret) -> str:
    out = io.StringIO()
    logger = logging.getLogger("tests.secret")
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s %(secret)s"))
    logger.addHandler(handler)
    logger.warning("key %s %r", secret, [secret], extra={"secret": secret})
    logger.removeHandler(handler)
    return out.getvalue()


def by_structlog(renderer: Callable[..., str | bytes]) -> Callable[[Secret], str]:
    def log(secret: Secret) -> str:
        out = io.StringIO()
        logger = structlog.wrap_logger(structlog.PrintLogger(out), processors=[renderer])
        logger.info("polled", secret=secret, nested={"secrets": [secret]}, holder=Holder("prod", secret))
        return out.getvalue()

    return log


def by_traceback(secret: Secret) -> str:
    return "".join(traceback.format_exception(ValueError("no", secret)))


def by_traceback_with_locals(secret: Secret) -> str:
    def fail(argument: Secret) -> None:
        local = [argument]
        raise ValueError(local)

    try:
        fail(secret)
    except ValueError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return ""


WAYS_TO_SHOW: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "print": by_print,
    "an f-string": lambda secret: f"{secret}",
    "an f-string with !r": lambda secret: f"{secret!r}",
    "an f-string with =": lambda secret: f"{secret=}",
    "an f-string with a width": lambda secret: f"{secret:>40}|{secret:<2}",
    "format": lambda secret: format(secret, "^50"),
    "str.format": lambda secret: "{} {!s} {!r} {:.20}".format(secret, secret, secret, secret),  # noqa: UP032
    "per cent": lambda secret: "%s %r %20s" % (secret, secret, secret),  # noqa: UP031
    "joining": lambda secret: " ".join(map(str, [secret, secret])),
    "json with default=str": lambda secret: json.dumps({"secret": secret}, default=str),
    "json with default=repr": lambda secret: json.dumps([secret], default=repr),
    "the repr of a dataclass": lambda secret: repr(Holder("prod", secret)),
    "the vars of a dataclass": lambda secret: repr(vars(Holder("prod", secret))),
    "logging": by_logging,
    "structlog to the console": by_structlog(structlog.dev.ConsoleRenderer(colors=False)),
    "structlog as JSON": by_structlog(structlog.processors.JSONRenderer()),
    "structlog as key=value": by_structlog(structlog.processors.KeyValueRenderer()),
    "a traceback": by_traceback,
    "a traceback with locals": by_traceback_with_locals,
    "a prefixed secret": lambda secret: repr(secret.prefixed("Bearer ")),
}


@pytest.mark.parametrize("show", WAYS_TO_SHOW.values(), ids=WAYS_TO_SHOW)
def test_showing_a_secret_shows_its_fingerprint_at_most(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(TEXT))

    assert "Secret(" in shown
    assert "hunter2" not in shown
    assert "vvx_live" not in shown


WAYS_TO_CARRY: dict[str, Callable[[Secret], object]] = {
    "pickle": pickle.dumps,
    "the oldest pickle": lambda secret: pickle.dumps(secret, protocol=0),
    "pickle inside something": lambda secret: pickle.dumps({"holder": [Holder("prod", secret)]}),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside something": lambda secret: copy.deepcopy([Holder("prod", secret)]),
    "asdict": lambda secret: asdict(Holder("prod", secret)),
    "json": json.dumps,
    "json inside something": lambda secret: json.dumps({"secret": secret}),
    "vars": vars,
    "joining as text": lambda secret: "".join(["Bearer ", secret]),  # type: ignore[list-item]  # noqa: FLY002 - the point
    "adding to text": lambda secret: "Bearer " + secret,  # type: ignore[operator]
    "iterating": list,  # type: ignore[dict-item]
    "encoding": bytes,  # type: ignore[dict-item]
}


@pytest.mark.parametrize("carry", WAYS_TO_CARRY.values(), ids=WAYS_TO_CARRY)
def test_a_secret_cannot_be_carried_away(carry: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as caught:
        carry(Secret(TEXT))

    assert "hunter2" not in str(caught.value)


def test_reveal_gives_the_text_back() -> None:
    assert Secret(TEXT).reveal() == TEXT
    assert f"Bearer {TEXT}" == Secret(TEXT).prefixed("Bearer ").reveal()


def test_the_fingerprint_is_the_same_for_the_same_text_only() -> None:
    assert Secret(TEXT).fingerprint == FINGERPRINT
    assert Secret(TEXT + "x").fingerprint != FINGERPRINT
    assert f"Secret({FINGERPRINT})" == repr(Secret(TEXT))


def test_equal_secrets_are_equal_and_stand_for_each_other_in_a_set() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert len({Secret(TEXT), Secret(TEXT)}) == 1
    assert Secret(TEXT) != Secret(TEXT + "x")


def test_a_secret_never_equals_its_text() -> None:
    assert Secret(TEXT) != TEXT
    assert TEXT not in [Secret(TEXT), Secret("")]


def test_only_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret(TEXT)
