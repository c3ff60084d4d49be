"""A fault, from the line that finds it to the person who mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from syncd.core.text import clean
from syncd.errors import Problem

# The way to a setting, as pydantic gives it too: ("keys", 1, "labels", "tenant").
Loc: TypeAlias = tuple[str | int, ...]

# Written [[keys]]: any number of them.
LISTS = frozenset({"keys", "key_folders", "routes", "requests"})


class Refused(ValueError):
    """A value that cannot be used: what is wrong, without quoting it, and what to do. pydantic passes it on."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Problems:
    """The problems found so far in these tables. One place tells one fault: what follows from it is not told again.

    `files` are those of keys that have a file of their own, by the number of the key.
    """

    def __init__(self, tables: Mapping[str, Any], files: Mapping[int, Path]) -> None:
        self.found: dict[str, Problem] = {}
        self._tables = tables
        self._files = files

    def add(self, at: Loc | str, message: str, hint: str = "") -> None:
        """Note a fault at a setting, or at what else has a name: a variable of the environment."""
        place = scrubbed(at if isinstance(at, str) else self._place(at))
        self.found.setdefault(place, Problem(place, scrubbed(message), scrubbed(hint)))

    def entry(self, table: str, number: int) -> str:
        """Another entry of the same list, for a message about two: ``keys[1]``, or the file that it is."""
        file = self._file((table, number))
        return f"{table}[{number}]" if file is None else shown(file)

    def _place(self, loc: Loc) -> str:
        """``keys[1] "staging".labels.tenant``: the name is what the reader searches for, the number is unmistakable."""
        if (file := self._file(loc)) is not None:
            return _in_files(file, loc[2:])
        if len(loc) > 1 and loc[0] in LISTS and isinstance(number := loc[1], int):
            entry = f"{loc[0]}[{number}]{_name_of(self._tables[str(loc[0])][number])}"
            return entry + _steps(loc[2:])
        return _steps(loc).removeprefix(".") or "file"

    def _file(self, loc: Loc) -> Path | None:
        """The file that is the key at this place, if it is one."""
        return self._files.get(loc[1]) if len(loc) > 1 and loc[0] == "keys" and isinstance(loc[1], int) else None


def _in_files(file: Path, loc: Loc) -> str:
    """Of a key in a folder, its file is its name and its secret; everything else stands in the file beside it."""
    if not loc or loc[0] in ("name", "secret"):
        return shown(file)
    return f"{shown(beside(file))}: {_steps(loc).removeprefix('.')}"


def beside(file: Path) -> Path:
    """Where the settings of a key in a folder stand."""
    return file.with_name(f"{file.name}.toml")


def shown(path: Path) -> str:
    """A path on one line, whatever its name is made of."""
    return clean(str(path), _LONGEST_PATH)


def _steps(loc: Loc) -> str:
    """``.labels.tenant``, ``.kinds[0]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_bare(step)}" for step in loc)


def _bare(step: str) -> str:
    return step if _BARE_NAME.fullmatch(step) else repr(step[:_LONGEST_SHOWN])


_BARE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_SHOWN = 64
_LONGEST_PATH = 4096


def _name_of(item: object) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    showable = isinstance(name, str) and name and name.isprintable() and len(name) <= _LONGEST_SHOWN
    return f' "{name}"' if showable else ""


# What is known to be secret by its look. A net below the rule that no value is quoted: names of settings and paths are.
_SECRET_LOOK = re.compile(r"(vvx_live_|xox[a-z]-|hooks\.slack\.com/)[^\s\"']+")


def scrubbed(text: str) -> str:
    """The text without what looks like a secret."""
    return _SECRET_LOOK.sub(r"\1…", text)
