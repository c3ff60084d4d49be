"""The operations that concern one thing, together: what every family of changes is handed.

Group --family--> changes, each made by `Group.change`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from syncd.core.canon import MISSING, Json, Missing, Path
from syncd.core.changes.values import Change, Policy
from syncd.core.ops import Op
from syncd.core.rules import RULES, Severity

# The smallest request of the old schema under a reading of the grid (at the minimum, or not); None if there is none.
Minimal: TypeAlias = Callable[[bool], Mapping[str, Json | Missing] | None]

# Both readings of where the grid of a step begins: not at the minimum, and there.
EITHER: Final = (False, True)


def _no_params(_: bool) -> Mapping[str, Json | Missing]:  # noqa: FBT001 - called with the reading alone
    return {}


@dataclass(frozen=True, slots=True)
class Group:
    """The operations that concern one thing, and both sides of what is compared (a model, or the account's fields)."""

    path: Path
    ops: tuple[Op, ...]
    old: Mapping[str, Json]
    new: Mapping[str, Json]
    policy: Policy
    slug: str | None = None
    minimal: Minimal = _no_params

    @property
    def name(self) -> str:
        """The field or attribute that the path ends at."""
        return self.path[-1]

    @property
    def param(self) -> str:
        """The parameter's name."""
        return self.path[3]

    @property
    def before(self) -> Json | Missing:
        """What stood at the path."""
        return _at(self.old, self._inner)

    @property
    def after(self) -> Json | Missing:
        """What stands at the path now."""
        return _at(self.new, self._inner)

    @property
    def _inner(self) -> Path:
        return self.path if self.slug is None else self.path[2:]

    @property
    def presence(self) -> Literal["added", "removed", "changed"]:
        """What became of it, for what syncd does not know more about."""
        if self.before is MISSING:
            return "added"
        return "removed" if self.after is MISSING else "changed"

    def spec(self, side: Literal["old", "new"]) -> Json:
        """The whole spec of the parameter on one side, None if it is not there."""
        params = (self.old if side == "old" else self.new).get("params")
        return params.get(self.param) if isinstance(params, dict) else None

    def request(self, readings: tuple[bool, ...] = EITHER) -> Mapping[str, Json | Missing] | None:
        """The smallest request of the old schema under one of the readings, None if it accepted none."""
        return next((found for grid_at_min in readings if (found := self.minimal(grid_at_min)) is not None), None)

    def change(self, kind: str, severity: Severity | None = None, **more: Any) -> Change:  # noqa: ANN401 - fields of Change
        """A change of this group; severity as given or as the rule states."""
        values = {"before": self.before, "after": self.after, "ops": self.ops, **more}
        category = None if self.slug is None else category_of(self.new)
        return Change(kind, self.path, severity or stated(kind), slug=self.slug, category=category, **values)


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
