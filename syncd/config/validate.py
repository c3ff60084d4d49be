"""What only the whole can tell: where the database is, the secrets, names given twice, routes that can never match."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from syncd.config.database import state_folder, whole_url
from syncd.config.document import Document
from syncd.config.parse import Parsed
from syncd.config.problems import Loc, Problems, Refused
from syncd.config.secrets import Form, resolve, slack_token, unresolved, vivix_key, webhook_url
from syncd.config.tables import KeyTable, RouteTable
from syncd.config.values import Config, Database, Key, Rules, Schedule, Slack, Vendor
from syncd.core.routing import Route
from syncd.core.secret import Secret
from syncd.errors import ConfigError


def validate(
    parsed: Parsed,
    document: Document,
    problems: Problems,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    kinds: frozenset[str],
    secrets: bool,
) -> Config:
    """The configuration. Raises `ConfigError` with every problem, those found earlier included."""
    file = parsed.file
    url = _url(parsed, environ, cwd, problems)
    found = _secrets(parsed, document, environ, problems, wanted=secrets)
    slack = _slack(parsed, document, environ, problems, wanted=secrets)
    if document.is_file and not file.keys and parsed.sound("keys"):
        problems.add(("keys",), "there is no key to watch", "add [[keys]] with a name and a secret")
    _check_names("keys", file.keys, parsed, problems)
    _check_names("routes", file.routes, parsed, problems)
    _check_reach(parsed, problems)
    _check_kinds(("rules", "record_only"), file.rules.record_only, kinds, problems)
    for number, route in enumerate(file.routes):
        _check_kinds(("routes", number, "kinds"), route.kinds or (), kinds, problems)
    if problems.found:
        raise ConfigError(document.source, tuple(problems.found.values()))
    return Config(
        source=document.source,
        database=Database(url=url, auto_migrate=file.database.auto_migrate),
        vendor=Vendor(file.vendor.base_url, file.vendor.timeout.total_seconds(), file.vendor.max_response),
        schedule=Schedule(file.schedule.interval, file.schedule.max_concurrent),
        keys=tuple(_key(table, found[number], parsed) for number, table in enumerate(file.keys)),
        routes=tuple(_route(table) for table in file.routes),
        slack=slack,
        rules=Rules(tuple(file.rules.record_only), file.rules.unknown_params, file.rules.required_with_default),
    )


def _key(table: KeyTable, secret: Secret, parsed: Parsed) -> Key:
    return Key(
        name=table.name,
        secret=secret,
        account=table.account or table.name,
        interval=table.interval or parsed.file.schedule.interval,
        base_url=table.base_url or parsed.file.vendor.base_url,
        labels=MappingProxyType(dict(table.labels)),
    )


def _route(table: RouteTable) -> Route:
    return Route(
        name=table.name,
        to=table.to,
        kinds=tuple(table.kinds or ()),
        keys=tuple(table.keys or ()),
        labels=MappingProxyType(dict(table.labels or {})),
        models=tuple(table.models or ()),
        categories=tuple(table.categories or ()),
        min_severity=table.min_severity,
        min_percent=table.min_percent,
        group_wait=table.group_wait,
    )


def _url(parsed: Parsed, environ: Mapping[str, str], cwd: Path, problems: Problems) -> str:
    """The URL that counts: $SYNCD_DATABASE_URL before the file."""
    override = environ.get("SYNCD_DATABASE_URL")
    if not override and not parsed.sound("database", "url"):
        return ""
    try:
        return whole_url(override or parsed.file.database.url, state_folder(environ, cwd))
    except Refused as refused:
        problems.add("$SYNCD_DATABASE_URL" if override else ("database", "url"), refused.message, refused.hint)
        return ""


def _secrets(
    parsed: Parsed, document: Document, environ: Mapping[str, str], problems: Problems, *, wanted: bool
) -> dict[int, Secret]:
    """The secret of each key; where it is not `wanted`, only the form of the reference is looked at."""
    found: dict[int, Secret] = {}
    first_with: dict[Secret, int] = {}
    for number, key in enumerate(parsed.file.keys):
        if not parsed.sound("keys", number, "secret"):
            continue
        loc = ("keys", number, "secret")
        try:
            secret = _secret(key.secret, document, environ, vivix_key, wanted=wanted)
        except Refused as refused:
            problems.add(loc if document.is_file else "$VIVIX_KEY", refused.message, refused.hint)
            continue
        found[number] = secret
        if wanted and (first := first_with.setdefault(secret, number)) != number:
            hint = "one key is watched once; remove one of them or give it its own secret"
            problems.add(loc, f"is the secret of keys[{first}] too", hint)
    return found


def _secret(reference: str, document: Document, environ: Mapping[str, str], form: Form, *, wanted: bool) -> Secret:
    return resolve(reference, environ, document.folder, form) if wanted else unresolved(reference)


def _slack(
    parsed: Parsed, document: Document, environ: Mapping[str, str], problems: Problems, *, wanted: bool
) -> Slack:
    """The token, if some route needs one, and the URL of each webhook that a route names."""
    token, webhooks = None, {}
    given = parsed.file.slack.token
    if given is not None and parsed.sound("slack", "token"):
        try:
            token = _secret(given, document, environ, slack_token, wanted=wanted)
        except Refused as refused:
            problems.add(("slack", "token") if document.is_file else "$SLACK_BOT_TOKEN", refused.message, refused.hint)
    for number, route in enumerate(parsed.file.routes):
        loc = ("routes", number, "to")
        scheme, _, target = route.to.partition(":")
        if scheme == "slack" and given is None and parsed.sound("slack"):
            problems.add(loc, "needs a bot token", 'add [slack] with token = "env:SLACK_BOT_TOKEN"')
        if scheme == "webhook" and parsed.sound(*loc):
            try:
                webhooks[target] = _secret(target, document, environ, webhook_url, wanted=wanted)
            except Refused as refused:
                problems.add(loc if document.is_file else "$SLACK_WEBHOOK_URL", refused.message, refused.hint)
    return Slack(token, parsed.file.slack.api_url, MappingProxyType(webhooks))


def _check_names(table: str, entries: Sequence[KeyTable | RouteTable], parsed: Parsed, problems: Problems) -> None:
    first_with: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if parsed.sound(table, number, "name") and (first := first_with.setdefault(entry.name, number)) != number:
            problems.add((table, number, "name"), f"is the name of {table}[{first}] too", "choose another")


def _check_kinds(loc: Loc, globs: Sequence[str], kinds: frozenset[str], problems: Problems) -> None:
    """Every glob must match, not only one: the kinds are fixed, so one that matches none is a slip of the pen."""
    for number, glob in enumerate(globs):
        if kinds and not any(fnmatchcase(kind, glob) for kind in kinds):
            close = difflib.get_close_matches(glob, sorted(kinds), n=1)
            hint = f"did you mean {close[0]}?" if close else "the kinds are listed in docs/changes.md"
            problems.add((*loc, number), "matches no kind of change", hint)


def _check_reach(parsed: Parsed, problems: Problems) -> None:
    """A route must reach at least one key. Of its key globs one is enough: keys come and go."""
    keys = parsed.file.keys
    numbers = range(len(keys))
    # With a key whose name or labels are unknown, or none at all, nobody can say that a route reaches no key.
    if not keys or not all(parsed.sound("keys", n, "name") and parsed.sound("keys", n, "labels") for n in numbers):
        return
    for number, route in enumerate(parsed.file.routes):
        globs, labels = route.keys or ["*"], route.labels or {}
        reached = [key for key in keys if any(fnmatchcase(key.name, glob) for glob in globs)]
        if not reached:
            hint = "configured keys: " + _some([key.name for key in keys])
            problems.add(("routes", number, "keys"), "matches no key, so the route can never match", hint)
        elif not any(labels.items() <= key.labels.items() for key in reached):
            hint = "labels are matched exactly, and all of them on one key; keys that could: "
            message = "no key has them all, so the route can never match"
            problems.add(("routes", number, "labels"), message, hint + _some([key.name for key in reached]))


_MOST_NAMES = 8


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
