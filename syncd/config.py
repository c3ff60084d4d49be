"""From a TOML file and the environment to one frozen `Config`, or to every problem at once.

    find      where the file is                                            --config · $SYNCD_CONFIG · the usual places
    load      read      bytes -> tables of text, numbers and lists         literal keys are taken out here
              1 defaults    what the file leaves out is filled in
              2 parsing     each table by itself: unknown settings, types, units, ranges (pydantic)
              3 validation  what only the whole can tell: secrets, duplicates, routes that never match
              -> Config, plain values that nothing below needs pydantic for

A table that does not parse keeps stand-ins in the settings that are wrong (`_Entry.broken`), so that step 3 can still
look at the others and one run names everything that is to be mended.

No value of the configuration is ever quoted in a message, because any of them may be a secret in the wrong place. What
is quoted are places: names of settings, keys, routes, variables and files.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Generic, Literal, NoReturn, TypeVar
from urllib.parse import quote, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from syncd.core.routing import Route
from syncd.core.rules import Severity
from syncd.core.secret import Secret
from syncd.errors import ConfigError, Problem

# What the rest of the program sees: plain, frozen values.


@dataclass(frozen=True, slots=True)
class Database:
    """Where history is kept. The URL may hold a password, so it is left out of the `repr`."""

    url: str = field(repr=False)
    auto_migrate: bool


@dataclass(frozen=True, slots=True)
class Vendor:
    """How the vendor is asked. `timeout` is seconds for the whole request, `max_response` is bytes."""

    base_url: str
    timeout: float
    max_response: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often, and how many at once."""

    interval: timedelta
    max_concurrent: int


@dataclass(frozen=True, slots=True)
class Key:
    """One key to watch. `name` is its identity in history; `interval` and `base_url` are its own or inherited."""

    name: str
    secret: Secret
    account: str
    interval: timedelta
    base_url: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """How changes are judged."""

    record_only: tuple[str, ...]
    unknown_params: Literal["reject", "ignore"]
    required_with_default: Literal["breaking", "risky"]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is configured. `source` is the path of the file, or ``environment``."""

    source: str
    database: Database
    vendor: Vendor
    schedule: Schedule
    keys: tuple[Key, ...]
    routes: tuple[Route, ...]
    rules: Rules


# Where the file is.


def find(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The configuration file to read, or None where there is none. A file that was asked for by name must exist."""
    for place, asked in (("--config", explicit), ("$SYNCD_CONFIG", environ.get("SYNCD_CONFIG") or None)):
        if asked is None:
            continue
        if not asked:
            raise ConfigError("configuration", (Problem(place, "names no file", f"give a path after {place}"),))
        path = cwd / asked
        if not _is_there(path):
            raise ConfigError(str(path), (Problem(place, f"there is no file {path}", "check the path"),))
        return path
    return next((path for path in _usual_places(environ, cwd) if _is_there(path)), None)


def _usual_places(environ: Mapping[str, str], cwd: Path) -> list[Path]:
    places = [cwd / "config.toml"]
    # The XDG specification: a relative path in the variable is ignored, and ~/.config stands in for a missing one.
    xdg = environ.get("XDG_CONFIG_HOME", "")
    if Path(xdg).is_absolute():
        places.append(Path(xdg) / "syncd" / "config.toml")
    elif home := environ.get("HOME"):
        places.append(Path(home) / ".config" / "syncd" / "config.toml")
    return [*places, Path("/etc/syncd/config.toml")]


def _is_there(path: Path) -> bool:
    """Whether anything stands at `path`: a file that cannot be read or a broken link is told later, not passed over."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


# What stands in a file that says nothing, in the file's own words.

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "database": {"url": "sqlite:///syncd.db", "auto_migrate": True},
    "vendor": {"base_url": "https://getvivix.com", "timeout": "20s", "max_response": "16MiB"},
    "schedule": {"interval": "15m", "max_concurrent": 16},
    "rules": {"record_only": [], "unknown_params": "reject", "required_with_default": "breaking"},
    # What a key leaves out it takes from [vendor], [schedule] and its own name; a route's missing matchers match all.
    "keys": {},
    "routes": {},
}

# The start without a file: one key, everything to the console.
_WITHOUT_FILE: Mapping[str, Any] = {
    "keys": [{"name": "default", "secret": "env:VIVIX_KEY"}],
    "routes": [{"name": "everything", "to": "console"}],
}

# Put in place of a required setting that is missing or wrong, only so that the rest of its table can be read.
_STAND_INS: Mapping[str, Mapping[str, Any]] = {
    "keys": {"name": "unnamed", "secret": ""},
    "routes": {"name": "unnamed", "to": "console"},
}


# Reading one value. Each function takes what TOML gave and returns the value or refuses it.


def _refuse(message: str, hint: str) -> NoReturn:
    raise PydanticCustomError("syncd", "{message}", {"message": message, "hint": hint})


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

# Below a second the poll costs more than it tells; beyond a month a date is better served by `syncd once` from cron.
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = timedelta(seconds=1), timedelta(days=31)
_LONGEST_TIMEOUT = timedelta(minutes=5)
# One model alone is about 600 bytes; the whole answer is held in memory.
_SMALLEST_RESPONSE, _LARGEST_RESPONSE = 1024, 1024**3
_LARGEST_PERCENT = 1000


def _duration(value: object) -> timedelta:
    if not isinstance(value, str) or not (parts := _DURATION.fullmatch(value)):
        _refuse("is not a duration", _DURATION_HINT)
    return int(parts[1]) * _DURATION_UNITS[parts[2]]


def _interval(value: object) -> timedelta:
    interval = _duration(value)
    if interval < _SHORTEST_INTERVAL:
        _refuse("is shorter than a second", "every poll is a request that counts against the key's rate limit")
    if interval > _LONGEST_INTERVAL:
        _refuse("is longer than 31 days", "a change would be told a month late; at most 31d")
    return interval


def _timeout(value: object) -> timedelta:
    timeout = _duration(value)
    if not timeout:
        _refuse("is zero", "no request could ever be answered in time; the default is 20s")
    if timeout > _LONGEST_TIMEOUT:
        _refuse("is longer than 5 minutes", "a vendor that hangs would hold a worker that long; at most 5m")
    return timeout


def _response_size(value: object) -> int:
    if isinstance(value, str) and (parts := _SIZE.fullmatch(value)):
        size = int(parts[1]) * _SIZE_UNITS[parts[2]]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        _refuse("is not a size", _SIZE_HINT)
    if size < _SMALLEST_RESPONSE:
        _refuse("is smaller than 1KiB", "not even a listing of two models would fit; the default is 16MiB")
    if size > _LARGEST_RESPONSE:
        _refuse("is larger than 1GiB", "an answer is held in memory; the default is 16MiB")
    return size


def _percent(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        _refuse("is not a number", "write a number without quotes or %, such as 5 or 2.5")
    percent = Decimal(value)
    if not percent.is_finite() or not 0 <= percent <= _LARGEST_PERCENT:
        _refuse("is out of range", f"write a number from 0 to {_LARGEST_PERCENT}")
    return percent


_BASE_URL_HINT = 'write the scheme and the host only, such as "https://getvivix.com"'
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def _base_url(value: object) -> str:
    """``scheme://host[:port]`` without a slash at the end, so that paths are appended as they are."""
    if not isinstance(value, str):
        _refuse("must be text", _BASE_URL_HINT)
    # Before parsing: urlsplit silently drops tabs and line ends.
    if not re.fullmatch(r"[!-~]+", value):
        _refuse("is not a URL", _BASE_URL_HINT)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        _refuse("is not a URL", _BASE_URL_HINT)
    if parts.scheme not in ("http", "https"):
        _refuse("is not an https URL", _BASE_URL_HINT)
    if "@" in parts.netloc:
        _refuse("holds a user name or password", "the key is the only credential; " + _BASE_URL_HINT)
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        _refuse("holds more than scheme and host", "syncd adds the path itself; " + _BASE_URL_HINT)
    if not _is_host(host):
        _refuse("names no host", _BASE_URL_HINT)
    if parts.scheme == "http" and not _is_loopback(host):
        _refuse("is not https", "the key would travel in clear text; http is for this machine only (127.0.0.1)")
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}" + (f":{port}" if port is not None else "")


def _is_host(host: str) -> bool:
    return _HOST_NAME.fullmatch(host) is not None if ":" not in host else _address(host) is not None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,64}")
_LONGEST_ROUTE_NAME = 64


def _name(value: object) -> str:
    if not isinstance(value, str):
        _refuse("must be text", "put it in quotes")
    if not _NAME.fullmatch(value):
        _refuse("is not a name", "1 to 64 characters, letters, digits and . _ : / @ -")
    if _KEY_PREFIX in value:
        _refuse("looks like a key", "a name is stored and shown; choose one that tells nothing of the secret")
    return value


def _route_name(value: object) -> str:
    if not isinstance(value, str):
        _refuse("must be text", "put it in quotes")
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST_ROUTE_NAME:
        _refuse("is not a name", "1 to 64 printable characters on one line, such as prices")
    return value


def _destination(value: object) -> str:
    if value != "console":
        _refuse("is no destination that this version knows", "this version can alert to: console")
    return "console"


def _glob(value: str) -> str:
    if not value:
        _refuse("is empty", 'a glob that matches everything is "*"')
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    if not all(name.strip() and name.isprintable() for name in value):
        _refuse("holds a label without a name", 'write labels = { tenant = "acme" }')
    return value


# The tables of the file. A setting is known if and only if it stands here; docs/configuration.md describes each.

_Name = Annotated[str, PlainValidator(_name)]
_Interval = Annotated[timedelta, PlainValidator(_interval)]
_BaseUrl = Annotated[str, PlainValidator(_base_url)]
_Globs = list[Annotated[str, AfterValidator(_glob)]]
_Matcher = Annotated[_Globs, Field(min_length=1)]
_Labels = Annotated[dict[str, str], AfterValidator(_labels)]


class _Table(BaseModel):
    # hide_input_in_errors: no text of pydantic is shown, but should one ever be, it must not quote a secret.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _DatabaseTable(_Table):
    url: str
    auto_migrate: bool


class _VendorTable(_Table):
    base_url: _BaseUrl
    timeout: Annotated[timedelta, PlainValidator(_timeout)]
    max_response: Annotated[int, PlainValidator(_response_size)]


class _ScheduleTable(_Table):
    interval: _Interval
    max_concurrent: Annotated[int, Field(ge=1, le=32)]


class _RulesTable(_Table):
    record_only: _Globs
    unknown_params: Literal["reject", "ignore"]
    required_with_default: Literal["breaking", "risky"]


class _KeyTable(_Table):
    name: _Name
    secret: str
    account: _Name | None = None
    interval: _Interval | None = None
    base_url: _BaseUrl | None = None
    labels: _Labels = Field(default_factory=dict)


class _RouteTable(_Table):
    name: Annotated[str, PlainValidator(_route_name)]
    to: Annotated[str, PlainValidator(_destination)]
    kinds: _Matcher | None = None
    keys: _Matcher | None = None
    labels: Annotated[_Labels, Field(min_length=1)] | None = None
    models: _Matcher | None = None
    categories: _Matcher | None = None
    min_severity: Severity | None = None
    min_percent: Annotated[Decimal, PlainValidator(_percent)] | None = None


_TABLES: Mapping[str, type[_Table]] = {
    "database": _DatabaseTable,
    "vendor": _VendorTable,
    "schedule": _ScheduleTable,
    "rules": _RulesTable,
    "keys": _KeyTable,
    "routes": _RouteTable,
}
_LISTS = frozenset({"keys", "routes"})  # written [[keys]]: any number of them


def settings() -> dict[str, tuple[str, ...]]:
    """Every table this version knows and the settings in it; the documentation is tested against it."""
    return {table: tuple(model.model_fields) for table, model in _TABLES.items()}


# Loading.


def load(path: Path | None, environ: Mapping[str, str], cwd: Path, *, known_kinds: Collection[str] = ()) -> Config:
    """The configuration in the file at `path`, or the one that the environment alone gives when `path` is None.

    `known_kinds` are the change kinds that globs are held against; without them `kinds` are taken as they stand.
    Raises `ConfigError` with every problem.
    """
    cwd = cwd.absolute()
    document = _document_without_file(environ, cwd) if path is None else _document(cwd / path)
    problems = _Problems(document.faults)

    filled = _with_defaults(_tables(document.tables, problems))
    parsed = _parse(filled, problems)
    config = _validate(parsed, document, problems, environ=environ, cwd=cwd, kinds=frozenset(known_kinds))

    if problems.found:
        raise ConfigError(document.source, tuple(problems.found))
    return config


class _Problems:
    """The problems found so far. One place tells one fault: what follows from the first is not told again."""

    def __init__(self, faults: Iterable[Problem]) -> None:
        self.found: list[Problem] = []
        self._told: set[str] = set()
        for fault in faults:
            self.add(fault.place, fault.message, fault.hint)

    def add(self, place: str, message: str, hint: str = "") -> None:
        if place not in self._told:
            self._told.add(place)
            self.found.append(Problem(_scrubbed(place), _scrubbed(message), _scrubbed(hint)))


# What is known to be secret by its look. A net below the rule that no value is quoted: names of settings and paths are.
_SECRET_LOOK = re.compile(r"(vvx_live_|xox[a-z]-|hooks\.slack\.com/)[^\s\"']*")


def _scrubbed(text: str) -> str:
    return _SECRET_LOOK.sub(r"\1…", text)


# Reading the file.


@dataclass(frozen=True, slots=True)
class _Document:
    """What was read: `tables` holds no literal key any more, `faults` tells where they stood."""

    source: str
    folder: Path  # relative `file:` secrets start here
    tables: dict[str, Any]
    faults: tuple[Problem, ...] = ()
    zero: bool = False  # nothing was read: this is the start without a file


# Room for a hundred thousand keys; a device file that never ends stops here.
_LARGEST_FILE = 32 * 1024**2


def _document(path: Path) -> _Document:
    source = str(path)
    content = _read(path, _LARGEST_FILE)
    if isinstance(content, _Unreadable):
        raise ConfigError(source, (Problem("file", content.message, content.hint),))
    tables = _toml(content)
    if isinstance(tables, Problem):
        raise ConfigError(source, (tables,))
    faults: list[Problem] = []
    return _Document(source, path.parent, _without_literal_keys(tables, "", faults), tuple(faults))


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Why a file or a secret could not be read, and what to do about it."""

    message: str
    hint: str


def _read(path: Path, limit: int) -> bytes | _Unreadable:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        return _Unreadable(f"there is no file {path}", "check the path")
    except IsADirectoryError:
        return _Unreadable(f"{path} is a directory", "name the file inside it")
    except PermissionError:
        return _Unreadable(f"{path} may not be read by this user", "change its owner or mode, or run as another user")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return _Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'bad path'}", "check the path")
    if len(content) > limit:
        return _Unreadable(f"{path} is larger than {limit} bytes", "check that it is the right file")
    return content


def _toml(content: bytes) -> dict[str, Any] | Problem:
    try:
        text = content.decode("utf-8-sig")  # editors on Windows put a mark at the start
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem(f"line {line}", "is not UTF-8", "save the file as UTF-8")
    try:
        return tomllib.loads(text, parse_float=_exact)
    except tomllib.TOMLDecodeError as error:
        return _syntax_problem(str(error), text)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a thousand nested brackets
        return Problem("file", "cannot be read as TOML", "a number is too long or lists are nested too deep")


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what even Decimal holds: whoever wants a number refuses this one
        return Decimal("NaN")


def _syntax_problem(message: str, text: str) -> Problem:
    """Turn "Invalid value (at line 3, column 14)", or "(at end of document)", into a problem with a place."""
    what, _, where = message.rpartition(" (at ")
    if at := re.fullmatch(r"line (\d+), column (\d+)\)", where):
        line, column = int(at[1]), int(at[2])
    else:
        lines = text.split("\n")
        line, column = len(lines), len(lines[-1]) + 1
    # Scrubbed: some of the messages name a setting, which may be anything.
    hint = "text needs quotes, a table its brackets, a list its commas"
    return Problem(f"line {line}, column {column}", f"TOML syntax: {_scrubbed(what or message)}", hint)


def _document_without_file(environ: Mapping[str, str], cwd: Path) -> _Document:
    if not environ.get("VIVIX_KEY"):
        looked = ", ".join(str(place) for place in _usual_places(environ, cwd))
        fault = Problem(
            "configuration",
            f"there is no file (looked for {looked}) and VIVIX_KEY is not set",
            "set VIVIX_KEY to start at once, or copy config.example.toml to config.toml",
        )
        raise ConfigError("configuration", (fault,))
    slack = [name for name in ("SLACK_WEBHOOK_URL", "SLACK_BOT_TOKEN", "SLACK_CHANNEL") if environ.get(name)]
    faults = tuple(
        Problem(f"${name}", "this version can only alert to the console", "unset it, or write a configuration file")
        for name in slack
    )
    return _Document("environment", cwd, dict(_WITHOUT_FILE), faults, zero=True)


# Literal keys.

_KEY_PREFIX = "vvx_live_"
# Long enough not to mistake a file called vvx_live_prod for a key.
_LITERAL_KEY = re.compile(rf"{_KEY_PREFIX}(?:[A-Za-z0-9]{{8,}}|[A-Za-z0-9_-]{{16,}})")
_LITERAL_KEY_HINT = 'revoke it, and give the new one as "env:NAME", "file:/path" or "credential:NAME"'
_LITERAL_KEY_MESSAGE = "a literal key is refused: whoever reads this file could use it"


def _without_literal_keys(value: Any, place: str, faults: list[Problem]) -> Any:  # noqa: ANN401 - any TOML value
    """The same value with every literal key emptied, so that nothing later can show one; each is a fault."""
    if isinstance(value, str) and _LITERAL_KEY.search(value):
        faults.append(Problem(place, _LITERAL_KEY_MESSAGE, _LITERAL_KEY_HINT))
        return ""
    if isinstance(value, list):
        return [_without_literal_keys(item, _item_place(place, n, item), faults) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, item in value.items():
        if _LITERAL_KEY.search(name):
            faults.append(Problem(place or "file", _LITERAL_KEY_MESSAGE, _LITERAL_KEY_HINT))
        else:
            kept[name] = _without_literal_keys(item, _setting_place(place, name), faults)
    return kept


# Places.

_BARE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_SHOWN = 64


def _setting_place(place: str, name: str) -> str:
    shown = name if _BARE_NAME.fullmatch(name) else repr(name[:_LONGEST_SHOWN])
    return f"{place}.{shown}" if place else shown


def _item_place(place: str, number: int, item: object) -> str:
    """``keys[1] "staging"``: the name is what the reader searches for, the number tells it from its namesakes."""
    name = item.get("name") if place in _LISTS and isinstance(item, dict) else None
    showable = isinstance(name, str) and name and name.isprintable() and len(name) <= _LONGEST_SHOWN
    return f'{place}[{number}] "{name}"' if showable and not _LITERAL_KEY.search(str(name)) else f"{place}[{number}]"


# Step 1, defaults. Before it, what is not a table at all is sorted out.


@dataclass(frozen=True, slots=True)
class _Given:
    """One table as it was written, with its place."""

    table: str
    place: str
    values: dict[str, Any]


def _tables(document: Mapping[str, Any], problems: _Problems) -> list[_Given]:
    """The tables of the document; those that are no tables, and tables nobody knows, become problems."""
    for name in document:
        if name not in _TABLES:
            problems.add(_setting_place("", name), "unknown", _unknown_hint(name, tuple(_TABLES), _heading))
    given: list[_Given] = []
    for table in _TABLES:
        value = document.get(table)
        if table in _LISTS:
            given.extend(_listed(table, value, problems))
        elif value is None or isinstance(value, dict):
            given.append(_Given(table, table, value or {}))
        else:
            problems.add(table, "must be one table", f"write [{table}] on a line of its own")
            given.append(_Given(table, table, {}))
    return given


def _listed(table: str, value: object, problems: _Problems) -> Iterator[_Given]:
    if value is None:
        return
    if not isinstance(value, list):
        problems.add(table, "must be a list of tables", f"write [[{table}]] on a line of its own, with two brackets")
        return
    for number, item in enumerate(value):
        place = _item_place(table, number, item)
        if isinstance(item, dict):
            yield _Given(table, place, item)
        else:
            problems.add(place, "must be a table", f"write [[{table}]] on a line of its own")


def _with_defaults(tables: Iterable[_Given]) -> list[_Given]:
    return [_Given(given.table, given.place, {**_DEFAULTS[given.table], **given.values}) for given in tables]


def _heading(table: str) -> str:
    return f"[[{table}]]" if table in _LISTS else f"[{table}]"


def _unknown_hint(name: str, known: Sequence[str], shown: Callable[[str], str] = str) -> str:
    """What was probably meant: a name nearly the same, the same name in its own table, or one of these."""
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.7):
        return f"did you mean {shown(close[0])}?"
    homes = [_heading(table) for table, names in settings().items() if name in names]
    listing = "known here: " + ", ".join(shown(each) for each in known)
    return f"it belongs under {' or '.join(homes)}; {listing}" if homes else listing


# Step 2, parsing.

_T = TypeVar("_T", bound=_Table)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_T]):
    """A table that was parsed. Settings in `broken` were wrong and hold a stand-in that nobody may look at."""

    place: str
    table: _T
    broken: frozenset[str]

    def sound(self, setting: str) -> bool:
        return setting not in self.broken


@dataclass(frozen=True, slots=True)
class _Parsed:
    database: _Entry[_DatabaseTable]
    vendor: _Entry[_VendorTable]
    schedule: _Entry[_ScheduleTable]
    rules: _Entry[_RulesTable]
    keys: list[_Entry[_KeyTable]]
    routes: list[_Entry[_RouteTable]]


def _parse(tables: Sequence[_Given], problems: _Problems) -> _Parsed:
    def every(table: str, model: type[_T]) -> list[_Entry[_T]]:
        return [_entry(model, given, problems) for given in tables if given.table == table]

    return _Parsed(
        database=every("database", _DatabaseTable)[0],
        vendor=every("vendor", _VendorTable)[0],
        schedule=every("schedule", _ScheduleTable)[0],
        rules=every("rules", _RulesTable)[0],
        keys=every("keys", _KeyTable),
        routes=every("routes", _RouteTable),
    )


def _entry(model: type[_T], given: _Given, problems: _Problems) -> _Entry[_T]:
    # Left before anything is raised: a ConfigError must not carry pydantic's error, which holds the input, as context.
    try:
        return _Entry(given.place, model.model_validate(given.values), frozenset())
    except ValidationError as error:
        faults = error.errors(include_url=False)
    for fault in faults:
        problems.add(*_told(fault, given, tuple(model.model_fields)))
    broken = frozenset(str(fault["loc"][0]) for fault in faults)
    sound = {name: value for name, value in given.values.items() if name not in broken}
    stand_ins = {**_DEFAULTS[given.table], **_STAND_INS.get(given.table, {})}
    return _Entry(given.place, model.model_validate({**stand_ins, **sound}), broken)


# pydantic's type of error -> what is wrong, what to do.
_TYPE_FAULTS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "every {table} needs it"),
    "string_type": ("must be text", "put it in quotes"),
    "bool_type": ("must be true or false", "without quotes"),
    "int_type": ("must be a whole number", "without quotes"),
    "greater_than_equal": ("is too small", "at least {ge}"),
    "less_than_equal": ("is too large", "at most {le}"),
    "list_type": ("must be a list", 'write {name} = ["…"]'),
    "dict_type": ("must be a table", 'write {name} = {{ tenant = "acme" }}'),
    "too_short": ("is empty, so it matches nothing", "leave it out to match everything"),
}


def _told(fault: ErrorDetails, given: _Given, known: Sequence[str]) -> tuple[str, str, str]:
    """Place, message and hint of one fault that pydantic found. Its own words may quote the input."""
    kind, context = fault["type"], fault.get("ctx", {})
    place = given.place
    for step in fault["loc"]:
        place = f"{place}[{step}]" if isinstance(step, int) else _setting_place(place, step)
    if kind == "extra_forbidden":
        return place, "unknown setting", _unknown_hint(str(fault["loc"][-1]), known)
    if kind == "syncd":
        return place, str(context["message"]), str(context["hint"])
    if kind == "literal_error":
        return place, "is not one of the choices", f"write {context['expected']}".replace("'", '"')
    message, hint = _TYPE_FAULTS.get(kind, (f"is not valid ({kind})", ""))
    return place, message, hint.format(table=_heading(given.table), name=fault["loc"][0], **context)


# Step 3, validation.


def _validate(
    parsed: _Parsed,
    document: _Document,
    problems: _Problems,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    kinds: frozenset[str],
) -> Config:
    url = _effective_url(parsed.database, environ, cwd, problems)
    secrets = _secrets(parsed.keys, document, environ, problems)
    _check_keys(parsed.keys, secrets, problems)
    _check_routes(parsed.routes, parsed.keys, kinds, problems)
    _check_kinds(parsed.rules.place + ".record_only", parsed.rules.table.record_only, kinds, problems)

    vendor, schedule, rules = parsed.vendor.table, parsed.schedule.table, parsed.rules.table
    return Config(
        source=document.source,
        database=Database(url=url, auto_migrate=parsed.database.table.auto_migrate),
        vendor=Vendor(vendor.base_url, vendor.timeout.total_seconds(), vendor.max_response),
        schedule=Schedule(schedule.interval, schedule.max_concurrent),
        # A key whose secret failed is left out; its problem stops the loading anyway.
        keys=tuple(
            _key(entry.table, secret, parsed) for entry, secret in zip(parsed.keys, secrets, strict=True) if secret
        ),
        routes=tuple(_route(entry.table) for entry in parsed.routes),
        rules=Rules(tuple(rules.record_only), rules.unknown_params, rules.required_with_default),
    )


def _key(table: _KeyTable, secret: Secret, parsed: _Parsed) -> Key:
    return Key(
        name=table.name,
        secret=secret,
        account=table.account or table.name,
        interval=table.interval or parsed.schedule.table.interval,
        base_url=table.base_url or parsed.vendor.table.base_url,
        labels=MappingProxyType(dict(table.labels)),
    )


def _route(table: _RouteTable) -> Route:
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
    )


# The database URL.

_URL_HINT = 'write "sqlite:///path/to/file.db" or "postgresql+psycopg://user@host/database"'


def _effective_url(database: _Entry[_DatabaseTable], environ: Mapping[str, str], cwd: Path, problems: _Problems) -> str:
    """The URL that counts, whole: $SYNCD_DATABASE_URL before the file, a relative path made absolute."""
    place, given = f"{database.place}.url", database.table.url
    if override := environ.get("SYNCD_DATABASE_URL"):
        place, given = "$SYNCD_DATABASE_URL", override
    elif not database.sound("url"):
        return ""
    url = _database_url(given, _state_folder(environ, cwd))
    if isinstance(url, _Unreadable):
        problems.add(place, url.message, url.hint)
        return ""
    return url


def _state_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """Where a relative database path starts. systemd lists several state directories with colons: the first counts."""
    state = next((part for part in environ.get("STATE_DIRECTORY", "").split(":") if part), "")
    return cwd / state


def _database_url(given: str, base: Path) -> str | _Unreadable:
    scheme, mark, rest = given.partition("://")
    if not given.isprintable() or given != given.strip():
        return _Unreadable("holds white space or a control character", "remove it; inside a password write it as %20")
    if not mark:
        return _Unreadable("is not a database URL", _URL_HINT)
    match scheme.lower():
        case "sqlite":
            return _sqlite_url(rest, base)
        case "postgresql+psycopg" | "postgresql" | "postgres":  # the short forms are what hosters let people copy
            return f"postgresql+psycopg://{rest}" if rest.strip("/") else _Unreadable("names no database", _URL_HINT)
        case _:
            return _Unreadable("is not a database that syncd can use: SQLite and PostgreSQL", _URL_HINT)


def _sqlite_url(rest: str, base: Path) -> str | _Unreadable:
    name = unquote(rest.removeprefix("/"))
    if not name or ":memory:" in name or "mode=memory" in rest:
        return _Unreadable("is a database in memory, whose history ends with the process", _URL_HINT)
    if not rest.startswith("/"):
        return _Unreadable("has two slashes", "write three before a relative path and four before an absolute one")
    if "?" in rest or name.startswith("file:"):
        return _Unreadable("holds options", "write only the path; syncd sets what SQLite needs itself")
    if name.startswith("~"):
        return _Unreadable("starts with ~, which is not expanded here", "write the whole path, with four slashes")
    path = str(base / name)
    if name.endswith("/") or not path.isprintable():  # the base may hold bytes that are no text
        return _Unreadable("names no file", _URL_HINT)
    # Percent signs and the like as SQLAlchemy reads them back; a space stays readable.
    return "sqlite:///" + quote(path, safe="/ ")


# Secrets.

_LARGEST_SECRET = 64 * 1024
_REFERENCE_HINT = 'write "env:NAME", "file:/path" or "credential:NAME"'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


def _secrets(
    keys: Sequence[_Entry[_KeyTable]], document: _Document, environ: Mapping[str, str], problems: _Problems
) -> list[Secret | None]:
    """The secret of each key, None where there is a problem."""
    secrets: list[Secret | None] = []
    for entry in keys:
        secret = _secret(entry.table.secret, environ, document.folder) if entry.sound("secret") else None
        if isinstance(secret, _Unreadable):
            place = "$VIVIX_KEY" if document.zero else f"{entry.place}.secret"
            problems.add(place, secret.message, secret.hint)
            secret = None
        secrets.append(secret)
    return secrets


def _secret(reference: str, environ: Mapping[str, str], folder: Path) -> Secret | _Unreadable:
    """The key that `reference` leads to. What is not a reference is taken for a secret and never quoted."""
    scheme, _, name = reference.partition(":")
    match scheme:
        case "env":
            found = _from_environment(name, environ)
        case "file":
            found = _from_file(name, folder)
        case "credential":
            found = _from_credential(name, environ)
        case _:
            hint = _LITERAL_KEY_HINT if reference.startswith(_KEY_PREFIX) else _REFERENCE_HINT
            return _Unreadable(_LITERAL_KEY_MESSAGE, hint)
    if isinstance(found, _Unreadable):
        return found
    where, value = found
    if fault := _fault_of(value):
        return _Unreadable(f"{where} {fault}", "store the key alone, as the dashboard shows it")
    if not value.startswith(_KEY_PREFIX):
        return _Unreadable(f"{where} is not a Vivix key: it does not start with {_KEY_PREFIX}", "copy the whole key")
    return Secret(value)


def _from_environment(name: str, environ: Mapping[str, str]) -> tuple[str, str] | _Unreadable:
    if not _VARIABLE.fullmatch(name):
        return _Unreadable("env: is not followed by the name of a variable", 'write "env:VIVIX_KEY", without $')
    if (value := environ.get(name)) is None:
        return _Unreadable(f"the environment variable {name} is not set", "set it where syncd is started")
    return f"the environment variable {name}", value


def _from_file(name: str, folder: Path) -> tuple[str, str] | _Unreadable:
    if not name or name.startswith("~") or not name.isprintable():
        return _Unreadable(
            "file: is not followed by a path", 'write "file:/path", absolute or from the folder of this file'
        )
    return _content(folder / name)


def _from_credential(name: str, environ: Mapping[str, str]) -> tuple[str, str] | _Unreadable:
    if not _CREDENTIAL.fullmatch(name):
        return _Unreadable("credential: is not followed by the name of a credential", "a name without slashes")
    if not (folder := environ.get("CREDENTIALS_DIRECTORY")):
        return _Unreadable(
            f"the credential {name} cannot be read: CREDENTIALS_DIRECTORY is not set",
            f"start syncd by systemd with LoadCredential={name}:/path, or write file:/path",
        )
    content = _content(Path(folder) / name)
    if isinstance(content, _Unreadable) and content.message.startswith("there is no file"):
        return _Unreadable(content.message, f"add LoadCredential={name}:/path to the unit")
    return content


def _content(path: Path) -> tuple[str, str] | _Unreadable:
    content = _read(path, _LARGEST_SECRET)
    if isinstance(content, _Unreadable):
        return content
    # Anything that is no UTF-8 becomes a character that is refused just below.
    return f"the file {path}", content.decode("utf-8", "replace").rstrip("\r\n")


def _fault_of(value: str) -> str | None:
    """What makes a text unfit to be sent in a header, without showing any of it."""
    if not value:
        return "is empty"
    if any(character.isspace() for character in value):
        return "holds white space"
    if any(character in _QUOTES for character in value):
        return "holds a quote"
    if not value.isprintable():
        return "holds a control or invisible character"
    if not value.isascii():
        return "holds a character that is not ASCII"
    return None


# What only the whole can tell.


def _check_keys(keys: Sequence[_Entry[_KeyTable]], secrets: Sequence[Secret | None], problems: _Problems) -> None:
    if not keys:
        problems.add("keys", "there is no key to watch", "add [[keys]] with a name and a secret")
    _check_names(keys, problems)
    holders: dict[Secret, _Entry[_KeyTable]] = {}
    for entry, secret in zip(keys, secrets, strict=True):
        if secret is None:
            continue
        first = holders.setdefault(secret, entry)
        if first is not entry:
            a, b = (each.table.name if each.sound("name") else each.place for each in (first, entry))
            hint = "one key is watched once; remove one of them or give it its own secret"
            problems.add(f"{entry.place}.secret", f"keys '{a}' and '{b}' hold the same secret", hint)


def _check_names(entries: Sequence[_Entry[_KeyTable]] | Sequence[_Entry[_RouteTable]], problems: _Problems) -> None:
    first_with: dict[str, str] = {}
    for entry in entries:
        if entry.sound("name"):
            first = first_with.setdefault(entry.table.name, entry.place)
            if first != entry.place:
                problems.add(f"{entry.place}.name", f"is the name of {first.split(' ')[0]} too", "choose another")


def _check_routes(
    routes: Sequence[_Entry[_RouteTable]],
    keys: Sequence[_Entry[_KeyTable]],
    kinds: frozenset[str],
    problems: _Problems,
) -> None:
    _check_names(routes, problems)
    # With a key whose name or labels are unknown, or none at all, nobody can say that a route reaches no key.
    told_apart = bool(keys) and all(key.sound("name") and key.sound("labels") for key in keys)
    for route in routes:
        _check_kinds(f"{route.place}.kinds", route.table.kinds or (), kinds, problems)
        if told_apart:
            _check_reach(route, [key.table for key in keys], problems)


def _check_kinds(place: str, globs: Sequence[str], kinds: frozenset[str], problems: _Problems) -> None:
    """Every glob must match, not only one: the kinds are fixed, so one that matches none is a slip of the pen."""
    for number, glob in enumerate(globs):
        if kinds and not any(fnmatchcase(kind, glob) for kind in kinds):
            close = difflib.get_close_matches(glob, sorted(kinds), n=1)
            hint = f"did you mean {close[0]}?" if close else "the kinds of change are listed in the documentation"
            problems.add(f"{place}[{number}]", "matches no kind of change", hint)


def _check_reach(route: _Entry[_RouteTable], keys: Sequence[_KeyTable], problems: _Problems) -> None:
    """A route must reach at least one key. Of its key globs one is enough: keys come and go."""
    globs, labels = route.table.keys, route.table.labels or {}
    reached = [key for key in keys if globs is None or any(fnmatchcase(key.name, glob) for glob in globs)]
    if not reached:
        hint = "configured keys: " + _some([key.name for key in keys])
        problems.add(f"{route.place}.keys", "matches no key, so the route can never match", hint)
    elif not any(labels.items() <= key.labels.items() for key in reached):
        hint = "labels are matched exactly, and all of them on one key; keys that could: "
        problems.add(
            f"{route.place}.labels",
            "no key has them all, so the route can never match",
            hint + _some([key.name for key in reached]),
        )


_MOST_NAMES = 8


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
