"""Layer 1 of the diff: lossless, invertible operations between two canonical documents.

Every algebraic law lives here and no judgement does. With D(a, b) the operations from a to b:

    L1  D(a, a) = []                        L5  apply(apply(a, D(a, b)), D(b, c)) = c
    L2  apply(a, D(a, b)) = b               L6  key order and list order of models mean nothing
    L3  invert(D(a, b)) = D(b, a)           L7  every differing leaf lies under exactly one operation
    L4  apply(apply(a, D), invert(D)) = a   L8  (with `changes`) every operation belongs to exactly one change

Objects are walked key by key. The elements of a parameter's ``values`` are matched by typed value, never by index;
every other list is one leaf.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from syncd.core.canon import MISSING, Json, Missing, Path, canonical, same


@dataclass(frozen=True, slots=True)
class Set:
    """The value at `path` became another; `MISSING` means that the key is not there."""

    path: Path
    before: Json | Missing
    after: Json | Missing


@dataclass(frozen=True, slots=True)
class ValueAdded:
    """`value` stands at `index` of the new list of values and is new there."""

    path: Path
    index: int
    value: Json


@dataclass(frozen=True, slots=True)
class ValueRemoved:
    """`value` stood at `index` of the old list of values and is gone."""

    path: Path
    index: int
    value: Json


@dataclass(frozen=True, slots=True)
class Reordered:
    """The values common to both lists stand in another order. Both orders are kept, so that inversion is exact."""

    path: Path
    before: tuple[Json, ...]
    after: tuple[Json, ...]


Op: TypeAlias = Set | ValueAdded | ValueRemoved | Reordered

# Where element-wise comparison applies: /models/{slug}/params/{name}/values
_VALUES_DEPTH: Final = 5


def ops(a: Json | Missing, b: Json | Missing, path: Path = ()) -> list[Op]:
    """Every difference between `a` and `b`, in one fixed order."""
    if isinstance(a, dict) and isinstance(b, dict):
        differing = [key for key, value in a.items() if key not in b or _differ(value, b[key])]
        differing += [key for key in b if key not in a]
        return [op for key in sorted(differing) for op in ops(a.get(key, MISSING), b.get(key, MISSING), (*path, key))]
    if isinstance(a, list) and isinstance(b, list) and _is_values(path):
        return _value_ops(a, b, path)
    return [] if same(a, b) else [Set(path, a, b)]


def _differ(a: Json, b: Json) -> bool:
    """One object is equal to itself. What Python calls different is; what it calls equal may be 1 and true."""
    return a is not b and (a != b or not same(a, b))


def _is_values(path: Path) -> bool:
    return len(path) == _VALUES_DEPTH and path[0] == "models" and path[2] == "params" and path[4] == "values"


def _value_ops(a: list[Json], b: list[Json], path: Path) -> list[Op]:
    a_keys, b_keys = [canonical(v) for v in a], [canonical(v) for v in b]
    a_common, b_common = _common(a_keys, b_keys), _common(b_keys, a_keys)
    removed = [ValueRemoved(path, i, v) for i, v in enumerate(a) if i not in a_common]
    added = [ValueAdded(path, i, v) for i, v in enumerate(b) if i not in b_common]
    moved: list[Op] = []
    if [a_keys[i] for i in sorted(a_common)] != [b_keys[i] for i in sorted(b_common)]:
        moved.append(Reordered(path, tuple(a[i] for i in sorted(a_common)), tuple(b[i] for i in sorted(b_common))))
    return [*removed, *added, *moved]


def _common(mine: Sequence[str], other: Sequence[str]) -> set[int]:
    """Indices of the elements that the other list has too; of repeated ones the first so many, on either side."""
    left = Counter(other)
    kept = set()
    for index, key in enumerate(mine):
        if left[key]:
            left[key] -= 1
            kept.add(index)
    return kept


def invert(given: Iterable[Op]) -> list[Op]:
    """The operations that lead back."""
    return in_order(map(_inverse, given))


def _inverse(op: Op) -> Op:
    match op:
        case Set(path, before, after):
            return Set(path, after, before)
        case ValueAdded(path, index, value):
            return ValueRemoved(path, index, value)
        case ValueRemoved(path, index, value):
            return ValueAdded(path, index, value)
        case Reordered(path, before, after):
            return Reordered(path, after, before)
    assert_never(op)


_ORDER: Final = (Set, ValueRemoved, ValueAdded, Reordered)


def in_order(given: Iterable[Op]) -> list[Op]:
    """The order in which `ops` gives them: by path, then removed before added before reordered, then by index."""
    return sorted(given, key=lambda op: (op.path, _ORDER.index(type(op)), getattr(op, "index", 0)))


def apply(document: Json, given: Iterable[Op]) -> Json:
    """The document after the operations; `document` itself is left alone."""
    result = document
    by_path: dict[Path, list[Op]] = {}
    for op in given:
        by_path.setdefault(op.path, []).append(op)
    for path, here in by_path.items():
        result = _at(result, path, here)
    return result


def _at(node: Json, path: Path, here: list[Op]) -> Json:
    if path:
        child = _at(node.get(path[0], MISSING), path[1:], here)
        kept = {k: v for k, v in node.items() if k != path[0]}
        return kept if child is MISSING else {**kept, path[0]: child}
    first = here[0]
    return first.after if isinstance(first, Set) else _apply_values(node, here)


def _apply_values(values: list[Json], here: list[Op]) -> list[Json]:
    gone = {op.index for op in here if isinstance(op, ValueRemoved)}
    result = [v for i, v in enumerate(values) if i not in gone]
    for op in here:
        if isinstance(op, Reordered):
            result = list(op.after)
    for op in sorted((op for op in here if isinstance(op, ValueAdded)), key=lambda op: op.index):
        result.insert(op.index, op.value)
    return result
