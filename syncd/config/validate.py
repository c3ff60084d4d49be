"""What only the whole can tell: where the database is, the secrets, names given twice, where routes lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from syncd.config.database import state_folder, whole_url
from syncd.config.document import Document
from syncd.config.folders import without
from syncd.config.parse import Parsed
from syncd.config.problems import Problems, Refused
from syncd.config.requests import saved_requests
from syncd.config.routes import Lead, check_kinds, check_reach, leads
from syncd.config.secrets import Form, resolve, slack_token, unresolved, vivix_key, webhook_url
from syncd.config.tables import DetectionTable, KeyTable, RequestTable, RouteTable
from syncd.config.values import Config, Database, Detection, Key, Rules, Schedule, Slack, Vendor
from syncd.core.balance import Thresholds
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
    requests: bool,
) -> Config:
    """The configuration. Raises `ConfigError` with every problem, those found earlier included."""
    file = parsed.file
    url = _url(parsed, environ, cwd, problems)
    found = _secrets(parsed, document, environ, problems, wanted=secrets)
    routes = leads(parsed, problems)
    slack = _slack(parsed, routes, document, environ, problems, wanted=secrets)
    # What is wrong in a folder may be why it holds no key.
    if document.is_file and not file.keys and parsed.sound("keys") and not (file.key_folders and document.faults):
        hint = "put a file into the folder for each" if file.key_folders else "add [[keys]] with a name and a secret"
        problems.add(("keys",), "there is no key to watch", hint)
    _check_names("keys", file.keys, parsed, problems)
    _check_former_names(parsed, problems)
    _check_names("routes", file.routes, parsed, problems)
    _check_names("requests", file.requests, parsed, problems)
    check_reach(parsed, problems)
    saved = saved_requests(parsed, document.folder, problems, wanted=requests)
    check_kinds(("rules", "record_only"), file.rules.record_only, kinds, problems)
    for number, route in enumerate(file.routes):
        check_kinds(("routes", number, "kinds"), route.kinds or (), kinds, problems)
    if problems.found:
        raise ConfigError(document.source, tuple(problems.found.values()))
    return Config(
        source=document.source,
        database=Database(url=url, auto_migrate=file.database.auto_migrate),
        vendor=Vendor(file.vendor.base_url, file.vendor.timeout.total_seconds(), file.vendor.max_response),
        schedule=Schedule(file.schedule.interval, file.schedule.max_concurrent),
        keys=tuple(_key(table, found[number], parsed) for number, table in enumerate(file.keys)),
        routes=tuple(lead.route for lead in routes),
        slack=slack,
        rules=Rules(tuple(file.rules.record_only), file.rules.unknown_params, file.rules.required_with_default),
        requests=saved,
        detection=_detection(file.detection),
        credits=Thresholds(file.credits.low, file.credits.runway),
    )


def _detection(table: DetectionTable) -> Detection:
    confirm, drop = table.confirm_removal, table.suspicious_drop
    return Detection(confirm.polls, confirm.after, drop.share, drop.count, table.remind)


def _key(table: KeyTable, secret: Secret, parsed: Parsed) -> Key:
    return Key(
        name=table.name,
        secret=secret,
        account=table.account or table.name,
        interval=table.interval or parsed.file.schedule.interval,
        base_url=table.base_url or parsed.file.vendor.base_url,
        labels=MappingProxyType(dict(table.labels)),
        formerly=tuple(dict.fromkeys(table.formerly)),
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
            file = document.files.get(number)
            message = refused.message if file is None else without(file, refused.message)
            problems.add(loc if document.is_file else "$VIVIX_KEY", message, refused.hint)
            continue
        found[number] = secret
        if wanted and (first := first_with.setdefault(secret, number)) != number:
            hint = "one key is watched once; remove one of them or give it its own secret"
            problems.add(loc, f"is the secret of {problems.entry('keys', first)} too", hint)
    return found


def _secret(reference: str, document: Document, environ: Mapping[str, str], form: Form, *, wanted: bool) -> Secret:
    return resolve(reference, environ, document.folder, form) if wanted else unresolved(reference)


def _slack(
    parsed: Parsed,
    routes: Sequence[Lead],
    document: Document,
    environ: Mapping[str, str],
    problems: Problems,
    *,
    wanted: bool,
) -> Slack:
    """The token, and the URL of each webhook that a route names."""
    token = _token(parsed, document, environ, problems, wanted=wanted)
    webhooks: dict[str, Secret] = {}
    for lead in routes:
        scheme, _, target = lead.route.to.partition(":")
        if scheme == "slack" and parsed.file.slack.token is None and parsed.sound("slack", "token"):
            problems.add(lead.to, "needs a bot token", 'add [slack] with token = "env:SLACK_BOT_TOKEN"')
        if scheme == "webhook":
            try:
                webhooks[target] = _secret(target, document, environ, webhook_url, wanted=wanted)
            except Refused as refused:
                place = lead.to if document.is_file else "$SLACK_WEBHOOK_URL"
                problems.add(place, lead.of_key(refused.message), refused.hint)
    return Slack(token, parsed.file.slack.api_url, MappingProxyType(webhooks))


def _token(
    parsed: Parsed, document: Document, environ: Mapping[str, str], problems: Problems, *, wanted: bool
) -> Secret | None:
    """The bot's token. It must be there where one is given, be there a route to Slack or not: alerts may still wait."""
    given = parsed.file.slack.token
    if given is None or not parsed.sound("slack", "token"):
        return None
    try:
        return _secret(given, document, environ, slack_token, wanted=wanted)
    except Refused as refused:
        problems.add(("slack", "token") if document.is_file else "$SLACK_BOT_TOKEN", refused.message, refused.hint)
        return None


def _check_names(
    table: str, entries: Sequence[KeyTable | RouteTable | RequestTable], parsed: Parsed, problems: Problems
) -> None:
    first_with: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if parsed.sound(table, number, "name") and (first := first_with.setdefault(entry.name, number)) != number:
            problems.add(
                (table, number, "name"), f"is the name of {problems.entry(table, first)} too", "choose another"
            )


def _check_former_names(parsed: Parsed, problems: Problems) -> None:
    """A history goes on under one name: nobody else may have the old one, or claim it."""
    named: dict[str, int] = {}
    for number, key in _with_known(parsed, "name"):
        named.setdefault(key.name, number)
    first_with: dict[str, int] = {}
    for number, key in _with_known(parsed, "formerly"):
        for name in key.formerly:
            loc = ("keys", number, "formerly")
            if (holder := named.get(name)) == number:
                problems.add(loc, "holds the name it has now", "name only what it was called before")
            elif holder is not None:
                hint = "a history goes on under one name: rename that key first, or leave the name out here"
                problems.add(loc, f"holds the name of {problems.entry('keys', holder)}", hint)
            elif (first := first_with.setdefault(name, number)) != number:
                hint = "a history goes on under one name: leave it out of one of them"
                problems.add(loc, f"holds a name that {problems.entry('keys', first)} had too", hint)


def _with_known(parsed: Parsed, setting: str) -> Iterator[tuple[int, KeyTable]]:
    return ((number, key) for number, key in enumerate(parsed.file.keys) if parsed.sound("keys", number, setting))
