"""Where the names of keys stand in what is kept as JSON, so that a key can be renamed or forgotten.

Only processes data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncd.core.canon import Json

# Of a condition or a notice: each is a list of names, or holds something by name.
_MEMBERS: Final = ("keys", "recovered", "retired")
# By name where it is of a wallet; of a listing it is a list of saved requests, which are no keys.
_BY_NAME: Final = "requests"


def renamed(detail: Mapping[str, Json], old: str, new: str) -> dict[str, Json]:
    """The detail with a key called otherwise; what is no name of a key stays, however it reads."""
    return {
        member: _called(value, old, new) if _holds_names(member, value) else value for member, value in detail.items()
    }


def named(detail: Mapping[str, Json]) -> set[str]:
    """Every key that the detail names."""
    return {str(name) for member, value in detail.items() if _holds_names(member, value) for name in value}


def _holds_names(member: str, value: Json) -> bool:
    if member == _BY_NAME:
        return isinstance(value, dict)
    return member in _MEMBERS and isinstance(value, dict | list)


def _called(value: Json, old: str, new: str) -> Json:
    """In the same order."""
    if isinstance(value, dict):
        return {new if name == old else name: one for name, one in value.items()}
    return [new if name == old else name for name in value]
