"""The operations that concern one thing, together: what every family of changes is handed.

Group --family--> changes, each made by `Group.change`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from syncd.core import compat
from syncd.core.canon import MISSING, Json, Missing, Path
from syncd.core.changes.values import Change, Policy
from syncd.core.compat import Domain, Smallest
from syncd.core.ops import Op
from syncd.core.rules import RULES, Severity

Side: TypeAlias = Literal["old", "new"]

# Both readings of where the grid of a step begins: not at the minimum, and there.
EITHER: Final = (False, True)


@dataclass(frozen=True)
class Sides:
    """Both sides of what is compared: a model, or the account's fields. What is made of them is made once."""

    old: Mapping[str, Json]
    new: Mapping[str, Json]
    policy: Policy
    slug: str | None = None
    _domains: dict[tuple[Side, str, bool], Domain] = field(default_factory=dict)
    _smallest: dict[bool, Smallest | None] = field(default_factory=dict)

    @property
    def category(self) -> str | None:
        """The model's, as it is now."""
        return None if self.slug is None else category_of(self.new)

    def spec(self, side: Side, param: str) -> Json:
        """The whole spec of a parameter on one side, None if it is not there."""
        params = (self.old if side == "old" else self.new).get("params")
        return params.get(param) if isinstance(params, dict) else None

    def domain(self, side: Side, param: str, *, grid_at_min: bool = False) -> Domain:
        """What a parameter admits on one side, under a reading of the grid."""
        key = (side, param, grid_at_min)
        found = self._domains.get(key)
        if found is None:
            spec = self.spec(side, param)
            same = grid_at_min and not compat.anchors_matter(spec)
            found = self.domain(side, param) if same else compat.domain(spec, grid_at_min=grid_at_min)
            self._domains[key] = found
        return found

    @property
    def example(self) -> Mapping[str, Json]:
        """The vendor's own example of a request, as it was."""
        example = self.old.get("example_request")
        return example if isinstance(example, dict) else {}

    def smallest(self, *, grid_at_min: bool) -> Smallest | None:
        """The smallest request of the old schema under a reading of the grid; None if it accepted none."""
        if grid_at_min not in self._smallest:
            params = self.old.get("params")
            self._smallest[grid_at_min] = compat.minimal_request(
                params if isinstance(params, dict) else {},
                self.example,
                lambda param: self.domain("old", param, grid_at_min=grid_at_min),
            )
        return self._smallest[grid_at_min]

    def request(self, readings: tuple[bool, ...] = EITHER) -> Smallest | None:
        """The smallest request of the old schema under one of the readings, None if it accepted none."""
        for grid_at_min in readings:
            found = self.smallest(grid_at_min=grid_at_min)
            if found is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Group:
    """The operations that concern one thing: where, which, and what stood and stands there (`of` makes one)."""

    path: Path
    ops: tuple[Op, ...]
    sides: Sides
    before: Json | Missing
    after: Json | Missing

    @classmethod
    def of(cls, sides: Sides, path: Path, ops: tuple[Op, ...]) -> Group:
        """The operations under `path`."""
        inner = path if sides.slug is None else path[2:]
        return cls(path, ops, sides, _at(sides.old, inner), _at(sides.new, inner))

    @property
    def name(self) -> str:
        """The field or attribute that the path ends at."""
        return self.path[-1]

    @property
    def param(self) -> str:
        """The parameter's name."""
        return self.path[3]

    @property
    def presence(self) -> Literal["added", "removed", "changed"]:
        """What became of it, for what syncd does not know more about."""
        if self.before is MISSING:
            return "added"
        return "removed" if self.after is MISSING else "changed"

    def spec(self, side: Side) -> Json:
        """The whole spec of the parameter on one side, None if it is not there."""
        return self.sides.spec(side, self.path[3])

    def domain(self, side: Side, *, grid_at_min: bool = False) -> Domain:
        """What the parameter admits on one side, under a reading of the grid."""
        return self.sides.domain(side, self.path[3], grid_at_min=grid_at_min)

    @property
    def used(self) -> tuple[Json, ...]:
        """Values of the parameter that are known to be sent: the vendor's default, and the one of the example."""
        spec = self.spec("old")
        found = (spec.get("default") if isinstance(spec, dict) else None, self.sides.example.get(self.param))
        return tuple(value for value in found if value is not None)

    def change(self, kind: str, severity: Severity | None = None, **more: Any) -> Change:  # noqa: ANN401 - fields of Change
        """A change of this group; severity as given or as the rule states."""
        values = {"before": self.before, "after": self.after, "ops": self.ops, **more}
        severity = severity or stated(kind)
        return Change(kind, self.path, severity, slug=self.sides.slug, category=self.sides.category, **values)


Family: TypeAlias = Callable[[Group], Iterable[Change]]


def _at(node: Json, path: Path) -> Json | Missing:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


def is_absent(value: Json | Missing) -> bool:
    """Whether nothing is stated: null says no more than leaving it out."""
    return value is MISSING or value is None


def stated(kind: str) -> Severity:
    """The severity that the rule states."""
    severity = RULES[kind].severity
    if severity is None:
        raise ValueError(f"the severity of {kind} is derived")
    return severity


def category_of(body: Json | Missing) -> str | None:
    """The category a model's body states (the first body's, where contents conflict)."""
    first = body[0] if isinstance(body, list) and body else body
    category = first.get("category") if isinstance(first, dict) else None
    return category if isinstance(category, str) else None
