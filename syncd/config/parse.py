"""Each setting by itself: filled in where it was left out, known, of the right type and in range.

tables as written -> with_defaults -> parse -> Parsed, and a problem for every setting that is wrong
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from syncd.config.problems import LISTS, Loc, Problems, Refused
from syncd.config.tables import DEFAULTS, File, members, settings

# In place of a required setting that is missing or wrong, only so that the rest of the file can be looked at.
_STAND_INS: Mapping[str, Mapping[str, Any]] = {
    **DEFAULTS,
    "keys": {"name": "unnamed", "secret": ""},
    "key_folders": {"path": "unnamed"},
    "routes": {"name": "unnamed", "to": "console"},
    "requests": {"name": "unnamed"},
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """The file. What is in `broken`, settings or whole tables, was wrong: a stand-in that nobody may look at."""

    file: File
    broken: frozenset[Loc]

    def sound(self, *loc: str | int) -> bool:
        """Whether what stands at `loc` is what was written there."""
        return not any(loc[:depth] in self.broken for depth in range(1, len(loc) + 1))


def with_defaults(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with every default written out. What is no table stays, to be told."""
    filled = {**{table: [] for table in LISTS}, **tables}
    for table, defaults in DEFAULTS.items():
        filled[table] = _filled(defaults, tables.get(table, {}))
    return filled


def _filled(default: Any, given: Any) -> Any:  # noqa: ANN401 - any TOML value
    """What was given; of a table each setting by itself, so that one may be given alone."""
    if not (isinstance(default, Mapping) and isinstance(given, dict)):
        return given
    return {**default, **given, **{name: _filled(default[name], given[name]) for name in default.keys() & given}}


def parse(filled: Mapping[str, Any], problems: Problems) -> Parsed:
    """The file that the tables make."""
    # Left before anything is raised: a ConfigError must not carry pydantic's error, which holds the input, as context.
    try:
        return Parsed(File.model_validate(filled), frozenset())
    except ValidationError as error:
        faults = error.errors(include_url=False)
    for fault in faults:
        problems.add(fault["loc"], *_told(fault))
    # A fault inside a setting, in one glob or label, breaks the whole setting.
    broken = frozenset(loc[: 3 if loc[0] in LISTS else 2] for loc in (fault["loc"] for fault in faults))
    return Parsed(File.model_validate(_mended(filled, broken)), broken)


def _mended(filled: Mapping[str, Any], broken: frozenset[Loc]) -> dict[str, Any]:
    def mended(loc: Loc, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {} if loc in broken else values
        return {
            **_STAND_INS[str(loc[0])],
            **{name: value for name, value in given.items() if (*loc, name) not in broken},
        }

    tables = {table: mended((table,), filled[table]) for table in DEFAULTS}
    lists = {
        table: [mended((table, n), item) for n, item in enumerate(filled[table])] if (table,) not in broken else []
        for table in LISTS
    }
    return {**tables, **lists}


# pydantic's type of error -> what is wrong, what to do. Its own words may quote the input.
_TYPE_FAULTS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "every {heading} needs it"),
    "string_type": ("must be text", "put it in quotes"),
    "bool_type": ("must be true or false", "without quotes"),
    "int_type": ("must be a whole number", "without quotes"),
    "greater_than_equal": ("is too small", "at least {ge}"),
    "less_than_equal": ("is too large", "at most {le}"),
    "list_type": ("must be a list", 'write {name} = ["…"]'),
    "dict_type": ("must be a table", 'write {name} = {{ {member} = "…" }}'),
    "model_type": ("must be a table", "write {heading} on a line of its own"),
    "too_short": ("is empty, so it matches nothing", "leave it out to match everything"),
    "string_too_short": ("is empty", 'a glob that matches everything is "*"'),
}


def _told(fault: ErrorDetails) -> tuple[str, str]:
    """Message and hint of one fault that pydantic found."""
    kind, loc, context = fault["type"], fault["loc"], fault.get("ctx", {})
    heading = _heading(str(loc[0]))
    if kind == "value_error" and isinstance(refused := context["error"], Refused):
        return refused.message, refused.hint
    if kind == "extra_forbidden":
        return ("unknown" if len(loc) == 1 else "unknown setting"), _unknown_hint(loc)
    if kind == "literal_error":
        return "is not one of the choices", f"write {context['expected']}".replace("'", '"')
    if len(loc) == 1 and loc[0] in LISTS:
        return "must be a list of tables", f"write {heading} on a line of its own, with two brackets"
    if kind == "model_type" and (inline := _inline(loc)):
        return "must be a table", f"write {loc[-1]} = {inline}"
    message, hint = _TYPE_FAULTS.get(kind, (f"is not valid ({kind})", ""))
    member = "model" if loc[-1] == "body" else "tenant"
    return message, hint.format(heading=heading, name=loc[-1], member=member, **context)


def _inline(loc: Loc) -> str:
    """The default of a setting whose value is a table, as it would be written; nothing for any other."""
    default = DEFAULTS.get(str(loc[0]), {}).get(str(loc[-1]))
    if len(loc) == 1 or not isinstance(default, Mapping):
        return ""
    written = (
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in default.items()
    )
    return f"{{ {', '.join(written)} }}"


def _heading(table: str) -> str:
    return f"[[{table}]]" if table in LISTS else f"[{table}]"


def _unknown_hint(loc: Loc) -> str:
    """What was probably meant: a name nearly the same, the same name in its own table, or one of these."""
    name, tables = str(loc[-1]), settings()
    within = [step for step in loc[:-1] if isinstance(step, str)]
    known = {each: _heading(each) if not within else each for each in members(*within)}
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.7):
        return f"did you mean {known[close[0]]}?"
    homes = [_heading(table) for table, names in tables.items() if name in names]
    listing = "known here: " + ", ".join(known.values())
    return f"it belongs under {' or '.join(homes)}; {listing}" if homes else listing
