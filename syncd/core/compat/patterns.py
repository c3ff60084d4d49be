"""What a pattern matches. RE2, because its time is linear in the text: no pattern of a vendor's can hang the daemon.

A pattern matches if it matches anywhere in the text, as in JSON Schema. RE2 knows no lookahead and no back-references:
such a pattern is unreadable, and nothing is concluded from it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import re2

from syncd.core.canon import Json

# Match every text, so they restrict nothing.
_TRIVIAL: Final = frozenset({"", "^", "$", ".*", "^.*", ".*$"})

_QUIET: Final = re2.Options()
_QUIET.log_errors = False
# A pattern of a few hundred characters can ask for an automaton of any size; such a one is unreadable.
_QUIET.max_mem = 1 << 18

_LONGEST: Final = 2_000


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Any:  # noqa: ANN401 - re2 has no types
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error:
        return None


def is_readable(pattern: str) -> bool:
    """Whether RE2 understands the pattern, and it is of a size that people write."""
    return len(pattern) <= _LONGEST and _compiled(pattern) is not None


def matches(pattern: str, text: str) -> bool:
    """Whether the readable pattern matches somewhere in the text."""
    return _compiled(pattern).search(text) is not None


# What dialects read differently: classes (of ASCII, or of all letters), and flags.
_DIALECT: Final = re.compile(r"\\[a-zA-Z]|\(\?|\[\[:")


def is_refused_anywhere(pattern: str, text: str) -> bool:
    """Whether a text that the pattern does not match is refused in every dialect, anchored or not."""
    return not text.endswith("\n") and (text.isascii() or _DIALECT.search(pattern) is None)


def is_trivial(pattern: Json) -> bool:
    """Whether it is a pattern that matches every text."""
    return isinstance(pattern, str) and pattern in _TRIVIAL
