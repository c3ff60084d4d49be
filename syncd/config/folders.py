"""Many keys in a folder: a file for each, called as the key, and beside it what else there is to say of it.

    [[key_folders]] ──> what is in the folder ─┬─ NAME        a key; its content is read where secrets are       secrets
                                               └─ NAME.toml   what [[keys]] would say of it, read here
                    ──> the tables that [[keys]] would hold, put behind those that stand there

From there on nobody asks where a key came from, except `problems`, which names the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from syncd.config import fields
from syncd.config.document import Document, Fault, toml, without_literals
from syncd.config.files import content
from syncd.config.problems import Refused, beside, shown
from syncd.config.secrets import LITERAL_HINT, LITERAL_MESSAGE
from syncd.errors import Problem

_SETTINGS = ".toml"
_LARGEST_SETTINGS = 64 * 1024

# What package managers and people leave beside a file that they change: the name of a key, but hardly meant as one.
_LEFTOVERS = (".bak", ".old", ".orig", ".save", ".tmp", ".rpmnew", ".rpmsave", ".dpkg-dist", ".dpkg-new", ".dpkg-old")


@dataclass(frozen=True, slots=True)
class _Found:
    """What is found, while it is: the keys of the folders, each with its file. The first one is number `first`."""

    first: int
    tables: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def with_key_folders(document: Document) -> Document:
    """The document with a table in [[keys]] for each key that is a file."""
    keys, folders = document.tables.get("keys", []), document.tables.get("key_folders", [])
    if not isinstance(keys, list) or not isinstance(folders, list):
        return document
    found = _Found(len(keys))
    for number, folder in _folders(folders, document.folder, found.faults):
        _add_keys(folder, number, found)
    return replace(
        document,
        tables={**document.tables, "keys": [*keys, *found.tables]},
        faults=(*document.faults, *found.faults),
        files=MappingProxyType(dict(enumerate(found.files, found.first))),
    )


def _folders(tables: list[Any], base: Path, faults: list[Fault]) -> Iterator[tuple[int, Path]]:
    """Each folder once. A path that is none is told where every setting is."""
    first_with: dict[str, int] = {}
    for number, table in enumerate(tables):
        path = table.get("path") if isinstance(table, dict) else None
        if not isinstance(path, str) or not _can_be_shown(path):
            continue
        if (first := first_with.setdefault(os.path.realpath(base / path), number)) != number:
            faults.append((("key_folders", number, "path"), f"is the path of key_folders[{first}] too", "remove one"))
        else:
            yield number, base / path


def _can_be_shown(path: str) -> bool:
    try:
        fields.folder(path)
    except Refused:
        return False
    return True


def _add_keys(folder: Path, number: int, found: _Found) -> None:
    try:
        names = _names(folder, found.faults)
    except OSError as error:
        found.faults.append((("key_folders", number, "path"), *_unlisted(folder, error)))
        return
    keys = {name for name in names if not name.endswith(_SETTINGS)}
    settings = {name.removesuffix(_SETTINGS) for name in names if name.endswith(_SETTINGS)}
    for name in sorted(settings - keys):
        hint = f"store the secret of the key in {shown(folder / name)}, or remove this file"
        found.faults.append((shown(beside(folder / name)), "tells of a key that has no file", hint))
    for name in sorted(keys):
        _add_key(folder / name, found, has_settings=name in settings)


def _names(folder: Path, faults: list[Fault]) -> list[str]:
    """The files that are meant. What an editor or the system hides is not; what might be a slip is told."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                faults.append((shown(Path(entry)), "is a directory", "put the files of keys right into the folder"))
            elif entry.name.endswith(_LEFTOVERS):
                hint = "remove it, or rename it if it is one: each file here is a key to be watched"
                faults.append((shown(Path(entry)), "looks like the copy of a key's file, not like a key", hint))
            else:
                names.append(entry.name)
    return names


def _is_hidden(name: str) -> bool:
    """Dot files, as a mounted volume of Kubernetes has them too, and what vi and Emacs leave."""
    return name.startswith(".") or name.endswith(("~", ".swp")) or (name.startswith("#") and name.endswith("#"))


def _unlisted(folder: Path, error: OSError) -> tuple[str, str]:
    match error:
        case FileNotFoundError():
            return f"there is no folder {folder}", "create it, or check the path"
        case NotADirectoryError():
            return f"{folder} is no folder", "name the folder that holds the files"
        case PermissionError():
            return f"{folder} may not be listed by this user", "let it list the folder; the files in it may stay closed"
        case _:
            return f"{folder} cannot be listed: {error.strerror}", "check the path"


def _add_key(file: Path, found: _Found, *, has_settings: bool) -> None:
    number = found.first + len(found.files)
    settings = _settings(file, number, found.faults) if has_settings else {}
    found.files.append(file)
    found.tables.append({**settings, "name": file.name, "secret": f"file:{file}"})


def _settings(file: Path, number: int, faults: list[Fault]) -> dict[str, Any]:
    """What stands beside the key; nothing where it cannot be read."""
    place = shown(beside(file))
    try:
        tables = toml(content(beside(file), _LARGEST_SETTINGS))
    except Refused as refused:
        faults.append((place, without(beside(file), refused.message), refused.hint))
        return {}
    if isinstance(tables, Problem):
        faults.append((f"{place}: {tables.place}", tables.message, tables.hint))
        return {}
    misplaced = [name for name in _OF_THE_FILE if name in tables]
    faults.extend((f"{place}: {name}", "does not belong here", _OF_THE_FILE[name]) for name in misplaced)
    cleared, literals = without_literals(tables)
    faults.extend((("keys", number, *loc), LITERAL_MESSAGE, LITERAL_HINT) for loc in literals)
    return cleared


_OF_THE_FILE = {"name": "the name of the file is the key's", "secret": "the content of the key's file is its secret"}


def without(file: Path, message: str) -> str:
    """The message of a fault whose place is this file, which it need not name again."""
    return message.removeprefix("the file ").removeprefix(f"{file} ")
