"""What a pattern matches. RE2, because its time is linear in the text: no pattern of a vendor's can hang the daemon.

A pattern matches if it matches anywhere in the text, as in JSON Schema. RE2 knows no lookahead and no back-references:
such a pattern is unreadable, and nothing is concluded from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

from syncd.core.canon import Json

# Match every text, so they restrict nothing.
_TRIVIAL: Final = frozenset({"", "^", "$", "^.*$", ".*", "^.*", ".*$"})

_QUIET: Final = re2.Options()
_QUIET.log_errors = False


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Any:  # noqa: ANN401 - re2 has no types
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error:
        return None


def is_readable(pattern: str) -> bool:
    """Whether RE2 understands the pattern."""
    return _compiled(pattern) is not None


def matches(pattern: str, text: str) -> bool:
    """Whether the readable pattern matches somewhere in the text."""
    return _compiled(pattern).search(text) is not None


def is_trivial(pattern: Json) -> bool:
    """Whether it is a pattern that matches every text."""
    return isinstance(pattern, str) and pattern in _TRIVIAL
