"""A fault, from the line that finds it to the person who mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from syncd.errors import Problem

# The way to a setting, as pydantic gives it too: ("keys", 1, "labels", "tenant").
Loc: TypeAlias = tuple[str | int, ...]

# Written [[keys]]: any number of them.
LISTS = frozenset({"keys", "routes", "requests"})


class Refused(ValueError):
    """A value that cannot be used: what is wrong, without quoting it, and what to do. pydantic passes it on."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Problems:
    """The problems found so far in these tables. One place tells one fault: what follows from it is not told again."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.found: dict[str, Problem] = {}
        self._tables = tables

    def add(self, at: Loc | str, message: str, hint: str = "") -> None:
        """Note a fault at a setting, or at what else has a name: a variable of the environment."""
        place = scrubbed(at if isinstance(at, str) else self._place(at))
        self.found.setdefault(place, Problem(place, scrubbed(message), scrubbed(hint)))

    def _place(self, loc: Loc) -> str:
        """``keys[1] "staging".labels.tenant``: the name is what the reader searches for, the number is unmistakable."""
        place = ""
        for depth, step in enumerate(loc):
            if isinstance(step, str):
                shown = step if _BARE_NAME.fullmatch(step) else repr(step[:_LONGEST_SHOWN])
                place += f".{shown}" if place else shown
            else:
                place += f"[{step}]"
                if depth == 1 and loc[0] in LISTS:
                    place += _name_of(self._tables[str(loc[0])][step])
        return place or "file"


_BARE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_SHOWN = 64


def _name_of(item: object) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    showable = isinstance(name, str) and name and name.isprintable() and len(name) <= _LONGEST_SHOWN
    return f' "{name}"' if showable else ""


# What is known to be secret by its look. A net below the rule that no value is quoted: names of settings and paths are.
_SECRET_LOOK = re.compile(r"(vvx_live_|xox[a-z]-|hooks\.slack\.com/)[^\s\"']+")


def scrubbed(text: str) -> str:
    """The text without what looks like a secret."""
    return _SECRET_LOOK.sub(r"\1…", text)
