"""Which of two sides belong together, when some things went and others came: names alike, and no tie."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

# Beyond so many pairs nothing was renamed, everything was replaced; and comparing them all would take seconds.
MOST_PAIRS: Final = 10_000


def alike(a: str, b: str) -> float:
    """How alike two names are, from 0 to 1: the Sørensen-Dice coefficient of their pairs of letters.

    The same both ways round, and its time is linear: names are the vendor's, and of any length.
    """
    if a == b:
        return 1
    mine, other = _bigrams(a), _bigrams(b)
    return 2 * (mine & other).total() / (mine.total() + other.total() or 1)


def _bigrams(name: str) -> Counter[str]:
    return Counter(map("".join, itertools.pairwise(name)))


def pairs(gone: Sequence[str], new: Sequence[str], score: Callable[[str, str], float]) -> dict[str, str]:
    """The pairs of which each is the other's only best. A score of 0 is no pair, and a tie is not decided by chance."""
    if not gone or not new or len(gone) * len(new) > MOST_PAIRS:
        return {}
    scores = {(a, b): score(a, b) for a in gone for b in new}
    best = {a: _only_best({b: scores[a, b] for b in new}) for a in gone}
    back = {b: _only_best({a: scores[a, b] for a in gone}) for b in new}
    return {a: b for a, b in best.items() if b is not None and back[b] == a}


def _only_best(scores: dict[str, float]) -> str | None:
    highest = max(scores.values())
    found = [one for one, score in scores.items() if score == highest]
    return found[0] if highest > 0 and len(found) == 1 else None
