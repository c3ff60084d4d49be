"""Layer 2 of the diff: from operations to changes for people, each with a severity and a proof if it breaks.

    ops --SCOPES--> groups by what they are about --FAMILIES--> changes (id from `core.rules`)
                                                      |
                                                      +-- severity where the rule leaves it open: `core.compat`

A change of one attribute k is breaking exactly if some value that the old spec admits is refused by k alone:

    X(k) = breaking       if D_old ⊄ C_k(new)          with the value that proves it
           additive       if not, and D_new ⊄ C_k(old)
           informational  if neither
           risky          if it cannot be decided

Whether a step counts from zero or from the minimum the vendor does not say: what breaks under either reading breaks.

Only processes data.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from syncd.core import compat, credits
from syncd.core.canon import MISSING, Json, Missing, Path, canonical, is_number, pointer
from syncd.core.catalog import Catalog, Listed
from syncd.core.compat import Constraint, Domain, Escape
from syncd.core.ops import Op, Reordered, Set, ValueAdded, ValueRemoved, ops
from syncd.core.rules import RULES, Severity


@dataclass(frozen=True, slots=True)
class Policy:
    """What the vendor does where the documentation is silent, as the operator judges it."""

    unknown_params: Literal["reject", "ignore"] = "reject"
    required_with_default: Literal["breaking", "risky"] = "breaking"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two catalogues.

    `path` leads to it in the canonical document. `before` and `after` are JSON values or MISSING. `witness` is a
    request body that was accepted and no longer is; a breaking change of parameters has one, unless it would hold a
    text too long to show. `decided` is false where it cannot be known whether requests break.
    """

    kind: str
    path: Path
    severity: Severity
    before: Json | Missing
    after: Json | Missing
    slug: str | None = None
    category: str | None = None
    decided: bool = True
    witness: Mapping[str, Json] | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)
    ops: tuple[Op, ...] = ()

    @property
    def pointer(self) -> str:
        """The path as an RFC 6901 JSON Pointer."""
        return pointer(self.path)

    @property
    def fingerprint(self) -> str:
        """Content identity: equal for the same change on another key or at another time. Not unique."""
        parts = [self.kind, self.pointer, *("" if v is MISSING else canonical(v) for v in (self.before, self.after))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Before:
    """The confirmed catalogue of a key, and for models that had gone the content they had then."""

    account: Mapping[str, Json]
    models: Mapping[str, Listed]
    gone: Mapping[str, Listed] = field(default_factory=dict)


def diff(before: Before, after: Catalog, policy: Policy) -> list[Change]:
    """Every change from the confirmed catalogue to the one just read, in a fixed order.

    A model that had gone and is back is `model.returned`, and is compared with what it was before it went.
    """
    found = _account_changes(before.account, after.account)
    tier_moved = any(change.kind == "account.tier.changed" for change in found)
    for slug in sorted(before.models.keys() | after.models.keys()):
        old, new = before.models.get(slug), after.models.get(slug)
        if old is not None and new is not None:
            found += [] if old.digest == new.digest else model_changes(slug, old.body(), new.body(), policy)
        elif new is not None:
            found += _arrived(slug, new, before.gone.get(slug), policy)
        elif old is not None and after.complete:
            cause = "tier-change" if tier_moved else "allowlist-or-removed"
            found.append(_whole_model("model.removed", slug, old.body(), MISSING, cause=cause))
    return found


def _arrived(slug: str, new: Listed, gone: Listed | None, policy: Policy) -> list[Change]:
    body = new.body()
    if gone is None:
        return [_whole_model("model.added", slug, MISSING, body)]
    since = [] if gone.digest == new.digest else model_changes(slug, gone.body(), body, policy)
    return [
        _whole_model("model.returned", slug, MISSING, body),
        *(replace(change, detail={**change.detail, "after_absence": True}) for change in since),
    ]


def _whole_model(kind: str, slug: str, before: Json | Missing, after: Json | Missing, **detail: Json) -> Change:
    path = ("models", slug)
    category = category_of(before if after is MISSING else after)
    return Change(
        kind, path, _stated(kind), before, after, slug, category, detail=detail, ops=(Set(path, before, after),)
    )


def _stated(kind: str) -> Severity:
    severity = RULES[kind].severity
    if severity is None:
        raise ValueError(f"the severity of {kind} is derived")
    return severity


def category_of(body: Json | Missing) -> str | None:
    """The category a model's body states (the first body's, where contents conflict)."""
    first = body[0] if isinstance(body, list) and body else body
    category = first.get("category") if isinstance(first, dict) else None
    return category if isinstance(category, str) else None


# --- from operations to groups -------------------------------------------------------------------------------------


Request: TypeAlias = dict[str, Any]
# The smallest request of the old schema under a reading of the grid (at the minimum, or not); None if there is none.
Minimal: TypeAlias = Callable[[bool], Mapping[str, Json | Missing] | None]


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
    def param(self) -> str:
        """The parameter's name."""
        return self.path[3]

    def spec(self, side: Literal["old", "new"]) -> Json:
        """The whole spec of the parameter on one side, None if it is not there."""
        params = (self.old if side == "old" else self.new).get("params")
        return params.get(self.param) if isinstance(params, dict) else None

    def change(self, kind: str, severity: Severity | None = None, **more: Any) -> Change:  # noqa: ANN401 - fields of Change
        """A change of this group; severity as given or as the rule states."""
        values = {"before": self.before, "after": self.after, "ops": self.ops, **more}
        category = None if self.slug is None else category_of(self.new)
        return Change(kind, self.path, severity or _stated(kind), slug=self.slug, category=category, **values)


def _at(node: Json, path: Path) -> Json | Missing:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


Family: TypeAlias = Callable[[Group], Iterable[Change]]

# /models/{slug}/params/{name} and one attribute more.
_SPEC_DEPTH: Final = 4


def _group(found: Iterable[Op], whole: Group) -> Iterator[Change]:
    """The changes behind operations on the two sides that `whole` holds."""
    grouped: dict[tuple[Path, Family], list[Op]] = {}
    listed = list(found)
    retyped = {op.path[:_SPEC_DEPTH] for op in listed if _attribute(op) == "type"}
    for op in listed:
        if _attribute(op) in compat.CONSTRAINTS and op.path[:_SPEC_DEPTH] in retyped:
            # The change of type owns every constraint of its parameter, so that nothing is told twice.
            about: tuple[Path, Family] = (*op.path[:_SPEC_DEPTH], "type"), _type
        else:
            about = _scope(op.path)
        grouped.setdefault(about, []).append(op)
    for (where, family), owned in grouped.items():
        yield from family(Group(where, tuple(owned), whole.old, whole.new, whole.policy, whole.slug, whole.minimal))


def _attribute(op: Op) -> str | None:
    """The attribute of a parameter that the operation concerns."""
    path = op.path
    return path[_SPEC_DEPTH] if len(path) > _SPEC_DEPTH and path[0] == "models" and path[2] == "params" else None


def _scope(path: Path) -> tuple[Path, Family]:
    """The longest beginning of the path that `SCOPES` knows, by name before by ``*``."""
    pattern = tuple("*" if n in (1, 3) else name for n, name in enumerate(path)) if path[0] == "models" else path
    for depth in range(min(len(path), _SPEC_DEPTH + 1), 0, -1):
        family = SCOPES.get(pattern[:depth]) or SCOPES.get((*pattern[: depth - 1], "*"))
        if family is not None:
            return path[:depth], family
    raise AssertionError(path)  # ("*",) matches every path


def _account_changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    return list(_group(ops(dict(old), dict(new)), Group((), (), old, new, Policy())))


def model_changes(slug: str, old: Json, new: Json, policy: Policy) -> list[Change]:
    """Every change of one model that is listed on both sides."""
    found = ops(old, new, ("models", slug))
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [_variants(slug, old, new, policy)] if found else []
    params = _params(old)
    minimal = cache(lambda grid_at_min: compat.minimal_request(params, grid_at_min=grid_at_min))
    changes = list(_group(found, Group((), (), old, new, policy, slug, minimal)))
    return [_link(change, changes) for change in _unless_uncallable(changes, minimal)]


def _unless_uncallable(changes: list[Change], minimal: Minimal) -> list[Change]:
    """Where no request at all was accepted before, nothing can break."""
    if not any(change.severity == "breaking" for change in changes) or _is_callable(minimal):
        return changes
    return [
        replace(change, severity="informational", witness=None, detail={**change.detail, "was_uncallable": True})
        if change.severity == "breaking"
        else change
        for change in changes
    ]


def _is_callable(minimal: Minimal) -> bool:
    return any(minimal(grid_at_min) is not None for grid_at_min in (False, True))


# What may be the reason of another price.
_PRICED: Final = tuple(
    f"param.{what}" for what in ("added", "removed", "default", "enum", "max", "min", "step", "type")
)


def _link(change: Change, changes: list[Change]) -> Change:
    """Name the parameter changes of the same poll beside a price change: they may be its reason."""
    if not change.kind.startswith("credits.band."):
        return change
    related = [c.pointer for c in changes if c.kind.startswith(_PRICED)]
    return replace(change, detail={**change.detail, "related": related}) if related else change


def _variants(slug: str, old: Json, new: Json, policy: Policy) -> Change:
    """A slug with conflicting contents on either side: a request is accepted only if every content accepts it."""
    path = ("models", slug)
    kind = "catalogue.duplicate-slug.conflicting" if isinstance(new, list) else "catalogue.duplicate-slug.resolved"
    olds, news = (side if isinstance(side, list) else [side] for side in (old, new))
    readable = len(olds) == 1 and all(isinstance(side, dict) for side in (*olds, *news))
    inner = [change for side in news for change in model_changes(slug, olds[0], side, policy)] if readable else []
    worst = next((c for c in inner if c.severity == "breaking"), None)
    return Change(
        kind,
        path,
        "breaking" if worst is not None else "risky",
        old,
        new,
        slug,
        category_of(new),
        decided=worst is not None,
        witness=worst.witness if worst is not None else None,
        detail={"variants": len(news), "variants_before": len(olds)},
        ops=(Set(path, old, new),),
    )


# --- account -------------------------------------------------------------------------------------------------------

# Plans in the vendor's order. The API is there from `pro` upwards.
_TIERS: Final = ("free", "standard", "pro", "ultimate")
_WITH_API: Final = frozenset({"pro", "ultimate"})


def _tier(group: Group) -> Iterator[Change]:
    old, new = group.before, group.after
    if _is_absent(old) and _is_absent(new):
        yield group.change("account.tier.disappeared", "informational", detail={"effective": False})
    elif _is_absent(old) or _is_absent(new):
        yield group.change(f"account.tier.{'disappeared' if _is_absent(new) else 'appeared'}")
    elif not isinstance(old, str) or not isinstance(new, str):
        yield group.change("account.tier.changed", "risky")
    elif old.strip().casefold() == new.strip().casefold():
        yield group.change("account.tier.recased", detail={"effective": False})
    else:
        yield group.change("account.tier.changed", _tier_severity(old.strip().casefold(), new.strip().casefold()))


def _tier_severity(old: str, new: str) -> Severity:
    if old not in _TIERS or new not in _TIERS:
        return "risky"
    if new not in _WITH_API:
        return "breaking"
    return "additive" if _TIERS.index(new) > _TIERS.index(old) else "risky"


def _limit(group: Group) -> Iterator[Change]:
    stem = "account.rate-limit." + group.path[-1].replace("_", "-")
    old, new = group.before, group.after
    if not _is_limit(old) or not _is_limit(new):
        yield group.change(f"{stem}.invalid", decided=False)
    elif _is_absent(old) and _is_absent(new):
        yield group.change(f"{stem}.limit-removed", "informational", detail={"effective": False})
    elif _is_absent(new):
        yield group.change(f"{stem}.limit-removed", decided=False)
    elif _is_absent(old):
        yield group.change(f"{stem}.limit-added")
    else:
        yield group.change(f"{stem}.{_limit_move(old, new)}")


def _is_limit(value: Json | Missing) -> bool:
    return _is_absent(value) or (is_number(value) and not _is_less(value, 0))


def _limit_move(old: Json, new: Json) -> str:
    if new > old:
        return "raised"
    return "zeroed" if new == 0 else "lowered"


def _limits_replaced(group: Group) -> Iterator[Change]:
    """`rate_limit` as a whole came, went, or is no object."""
    old, new = group.before, group.after
    if not all(_is_absent(limits) or isinstance(limits, dict) for limits in (old, new)):
        yield group.change(f"account.attr-unknown.{_presence(group)}", "risky", decided=False)
    elif not _states_limits(old) and not _states_limits(new):
        yield group.change("account.rate-limit.limit-removed", "informational", detail={"effective": False})
    else:
        kind = "limit-added" if _states_limits(new) else "limit-removed"
        yield group.change(f"account.rate-limit.{kind}", decided=False)


def _states_limits(limits: Json | Missing) -> bool:
    return isinstance(limits, dict) and any(limit is not None for limit in limits.values())


def _is_absent(value: Json | Missing) -> bool:
    return value is MISSING or value is None


def _presence(group: Group) -> Literal["added", "removed", "changed"]:
    if group.before is MISSING:
        return "added"
    return "removed" if group.after is MISSING else "changed"


def _account_unknown(group: Group) -> Iterator[Change]:
    yield group.change(f"account.attr-unknown.{_presence(group)}")


# --- model ---------------------------------------------------------------------------------------------------------

# Unknown fields that may decide whether a model can be called: announced. Every other unknown field is only recorded.
_WATCHED: Final = frozenset({"deprecated", "status", "disabled", "endpoint", "version", "sunset"})


def _params(model: Mapping[str, Json]) -> Mapping[str, Json]:
    params = model.get("params")
    return params if isinstance(params, dict) else {}


def _text(kind: str) -> Family:
    def family(group: Group) -> Iterator[Change]:
        unchanged = _plain(group.before) == _plain(group.after)
        severity: Severity | None = "informational" if unchanged else None
        yield group.change(kind, severity, detail={"effective": False} if unchanged else {})

    return family


def _plain(value: Json | Missing) -> str | None:
    """A text without what nobody sees: spacing, Unicode composition, and whether nothing is null or left out."""
    if _is_absent(value):
        return None
    return (
        re.sub(r"\s+", " ", unicodedata.normalize("NFC", value)).strip() if isinstance(value, str) else canonical(value)
    )


def _example(group: Group) -> Iterator[Change]:
    yield group.change("model.example-request.changed")


def _band(group: Group) -> Iterator[Change]:
    old, new = (credits.read_band(None if v is MISSING else v) for v in (group.before, group.after))
    yield group.change(f"credits.band.{credits.outcome(old, new)}", detail=credits.flags(old, new))


def _params_replaced(group: Group) -> Iterator[Change]:
    yield group.change("model.params.replaced", decided=False)


def _model_unknown(group: Group) -> Iterator[Change]:
    watched = group.path[2] in _WATCHED
    severity: Severity = "risky" if watched else "informational"
    yield group.change(f"model.attr-unknown.{_presence(group)}", severity, decided=not watched)


# --- parameters ----------------------------------------------------------------------------------------------------


_EITHER: Final = (False, True)


@dataclass(frozen=True, slots=True)
class Loss:
    """A value that is accepted no longer, and the readings of the grid (at the minimum, or not) under which it was."""

    value: Json | Missing
    readings: tuple[bool, ...] = _EITHER


def _request(group: Group, readings: tuple[bool, ...]) -> Mapping[str, Json | Missing] | None:
    """The smallest request of the old schema under one of the readings."""
    return next((found for grid_at_min in readings if (found := group.minimal(grid_at_min)) is not None), None)


def _witness(group: Group, loss: Loss | None = None) -> Request | None:
    """A request that the old schema accepts: the smallest one, with this parameter set to the offending value."""
    request = _request(group, _EITHER if loss is None else loss.readings)
    if request is None:
        return None
    whole = {**request} if loss is None else {**request, group.param: loss.value}
    return None if MISSING in whole.values() else whole


def _derived(group: Group, kind: str, lost: Loss | None, *, gained: bool, decided: bool = True) -> Change:
    """The theorem's verdict on a change: what is lost breaks, what is only gained is additive."""
    if not decided:
        return group.change(kind, "risky", decided=False)
    if lost is not None:
        return group.change(kind, "breaking", witness=_witness(group, lost))
    if gained:
        return group.change(kind, "additive")
    return group.change(kind, "informational", detail={"effective": False})


def _domains(group: Group) -> Iterator[tuple[tuple[bool, ...], Domain, Domain]]:
    """Both sides, under each reading of where a step's grid begins; once where it makes no difference."""
    old, new = group.spec("old"), group.spec("new")
    readings = ((False,), (True,)) if compat.anchors_matter(old) or compat.anchors_matter(new) else (_EITHER,)
    for reading in readings:
        first, second = (compat.domain(spec, grid_at_min=reading[0]) for spec in (old, new))
        yield reading, first, second


def _first_loss(group: Group, losses: Iterable[Loss]) -> Loss | None:
    """One that a whole request can show: a reading under which nothing at all was accepted loses nothing.

    Where nothing was accepted under any, the first: `_unless_uncallable` will say so.
    """
    hidden = None
    for loss in losses:
        if _request(group, loss.readings) is not None:
            return loss
        hidden = hidden or loss
    return None if hidden is None or _is_callable(group.minimal) else hidden


def _exclusion(group: Group, attribute: str) -> tuple[Loss | None, bool]:
    """What the attribute alone loses, under either reading of the grid; if nothing, whether it gains."""
    # Where the grid begins at the minimum, the minimum moves it.
    names = (attribute, "step") if attribute == "min" else (attribute,)
    domains = list(_domains(group))
    losses = (
        Loss(found.value, readings)
        for readings, old, new in domains
        for name in names
        if (found := _escape(old, new.get(name))) is not None
    )
    lost = _first_loss(group, losses)
    gains = (_escape(new, old.get(name)) for _, old, new in domains for name in names)
    return lost, lost is None and any(gain is not None for gain in gains)


def _escape(of: Domain, constraint: Constraint | None) -> Escape | None:
    return None if constraint is None else compat.escape(of, constraint)


def _param(group: Group) -> Iterator[Change]:
    """A whole parameter came, went, or is no object."""
    old, new = group.before, group.after
    if old is MISSING and isinstance(new, dict):
        yield _param_added(group, new)
    elif new is MISSING and isinstance(old, dict):
        yield _param_removed(group, old)
    else:
        yield group.change("param.replaced", decided=False)


def _param_added(group: Group, spec: Mapping[str, Json]) -> Change:
    default = spec.get("default")
    suffix = "" if default is None else "-with-default"
    if compat.is_required(spec):
        return _must_be_sent(group, f"param.added.required{suffix}", default)
    detail = {} if default is None else {"new_default": default}
    return group.change(f"param.added.optional{suffix}", detail=detail)


def _must_be_sent(group: Group, kind: str, default: Json) -> Change:
    if default is not None and group.policy.required_with_default == "risky":
        return group.change(kind, "risky")
    return group.change(kind, "breaking", witness=_witness(group))


def _param_removed(group: Group, spec: Mapping[str, Json]) -> Change:
    shown = [
        Loss(found.value, readings)
        for readings, of, _ in _domains(group)
        if (found := compat.example_value(spec, of)) is not None
    ]
    if not shown:
        return group.change("param.removed", "informational", detail={"effective": False})
    if group.policy.unknown_params == "ignore":
        return group.change("param.removed", "risky")
    return _derived(group, "param.removed", _first_loss(group, shown), gained=False)


def _required(group: Group) -> Iterator[Change]:
    old, new = group.before, group.after
    if any(not _is_absent(v) and not isinstance(v, bool) for v in (old, new)):
        yield group.change("param.required.invalid", decided=False)
    elif (old is True) == (new is True):
        yield group.change("param.required.normalised", detail={"effective": False})
    elif old is True:
        yield group.change("param.became-optional")
    else:
        default = group.spec("new").get("default")
        yield _must_be_sent(group, f"param.became-required{'' if default is None else '-with-default'}", default)


def _type(group: Group) -> Iterator[Change]:
    """The verdict compares both specs as wholes; the change owns every constraint that moved with the type."""
    old_spec, new_spec = group.spec("old"), group.spec("new")
    detail = {"spec_before": old_spec, "spec_after": new_spec}
    old, new = compat.domain(old_spec), compat.domain(new_spec)
    if old.kind is None or new.kind is None:
        yield group.change("param.type.undecided", decided=False, detail=detail)
        return
    lost, gained = _exchange(group)
    if lost is None and not (old.decided and new.decided):
        yield group.change("param.type.undecided", decided=False, detail=detail)
    elif lost is not None:
        kind = "param.type.changed" if gained else "param.type.narrowed"
        yield group.change(kind, witness=_witness(group, lost), detail=detail)
    elif gained:
        yield group.change("param.type.widened", detail=detail)
    else:
        kind = "param.type.alias" if old.kind == new.kind else "param.type.equivalent"
        yield group.change(kind, detail={**detail, "effective": False})


def _exchange(group: Group) -> tuple[Loss | None, bool]:
    """What the new spec as a whole loses, and whether it gains, under either reading of the grid."""
    losses: list[Loss] = []
    gained = False
    for readings, old, new in _domains(group):
        found = compat.escape_domain(old, new)
        losses += [] if found is None else [Loss(found.value, readings)]
        gained = gained or compat.escape_domain(new, old) is not None
    return _first_loss(group, losses), gained


def _bound(group: Group) -> Iterator[Change]:
    """min, max, step, min_length, max_length: one attribute, one verdict."""
    attribute = group.path[_SPEC_DEPTH]
    stem = "param." + attribute.replace("_", "-")
    if _misplaced(group, attribute):
        yield group.change("param.attr-misplaced", detail={"effective": False})
        return
    old, new = group.before, group.after
    readable_old, readable_new = (compat.well_formed(attribute, bound) for bound in (old, new))
    if _is_absent(old) and _is_absent(new):
        yield group.change(f"{stem}.null-absent", detail={"effective": False})
        return
    if not readable_old and not readable_new:
        yield group.change(f"param.attr-unknown.{_presence(group)}", decided=False)
        return
    if readable_old and readable_new:
        kind = f"{stem}.{'raised' if _is_less(old, new) else 'lowered'}"
    else:
        kind = f"{stem}.{'added' if readable_new else 'removed'}"
    decided = _kinds_known(group) and (readable_old or _is_absent(old)) and (readable_new or _is_absent(new))
    lost, gained = _exclusion(group, attribute) if decided else (None, False)
    yield _derived(group, kind, lost, gained=gained, decided=decided)


def _is_less(old: Json, new: Json) -> bool:
    return bool(old < new)


def _kinds_known(group: Group) -> bool:
    return compat.kind_of(group.spec("old")) is not None and compat.kind_of(group.spec("new")) is not None


def _misplaced(group: Group, attribute: str) -> bool:
    kind = compat.kind_of(group.spec("new"))
    return kind is not None and kind not in compat.CONSTRAINTS[attribute]


def _values(group: Group) -> Iterator[Change]:
    """One change per element; a list that came or went as a whole is one change."""
    if any(isinstance(op, Set) for op in group.ops):
        yield _values_as_whole(group)
        return
    old, new = (
        {canonical(v) for v in side} if isinstance(side, list) else set() for side in (group.before, group.after)
    )
    for owned in _by_element(group.ops):
        alone, first = replace(group, ops=owned), owned[0]
        if isinstance(first, Reordered):
            yield alone.change("param.enum.reordered", before=list(first.before), after=list(first.after))
        elif isinstance(first, ValueAdded | ValueRemoved):
            there = canonical(first.value)
            change = _again(alone, first) if there in old and there in new else _element(alone, first)
            yield _of_element(change, first)


def _by_element(owned: tuple[Op, ...]) -> Iterable[tuple[Op, ...]]:
    """Operations on equal elements belong together: a value listed three times that goes is one change."""
    grouped: dict[object, list[Op]] = {}
    for op in owned:
        element = canonical(op.value) if isinstance(op, ValueAdded | ValueRemoved) else None
        grouped.setdefault((type(op), element), []).append(op)
    return map(tuple, grouped.values())


def _values_as_whole(group: Group) -> Change:
    kind = "param.enum.values-unpublished"
    if _misplaced(group, "values"):
        return group.change("param.attr-misplaced", detail={"effective": False})
    if _is_absent(group.before) and _is_absent(group.after):
        return group.change(kind, "informational", detail={"effective": False})
    # On an enum an absent list is not published; on any other type it means that there is no such restriction.
    decided = (
        _kinds_known(group)
        and "enum" not in (compat.kind_of(group.spec("old")), compat.kind_of(group.spec("new")))
        and all(_is_absent(side) or compat.well_formed("values", side) for side in (group.before, group.after))
    )
    lost, gained = _exclusion(group, "values") if decided else (None, False)
    return _derived(group, kind, lost, gained=gained, decided=decided)


def _of_element(change: Change, op: ValueAdded | ValueRemoved) -> Change:
    if isinstance(op, ValueAdded):
        return replace(change, before=MISSING, after=op.value)
    return replace(change, before=op.value, after=MISSING)


def _again(group: Group, op: ValueAdded | ValueRemoved) -> Change:
    """The value is listed on both sides, only not as often."""
    return group.change(f"param.enum.duplicate-{'added' if isinstance(op, ValueAdded) else 'removed'}")


def _element(group: Group, op: ValueAdded | ValueRemoved) -> Change:
    if _misplaced(group, "values"):
        return group.change("param.attr-misplaced", detail={"effective": False})
    added = isinstance(op, ValueAdded)
    kind = f"param.enum.value-{'added' if added else 'removed'}"
    if not _kinds_known(group):
        return group.change(kind, "risky", decided=False)
    domains = list(_domains(group))
    if added:
        gained = any(compat.contains(new, op.value) for _, _, new in domains)
        return _derived(group, kind, None, gained=gained)
    losses = (Loss(op.value, readings) for readings, old, _ in domains if compat.contains(old, op.value))
    return _derived(group, kind, _first_loss(group, losses), gained=False)


def _default(group: Group) -> Iterator[Change]:
    old, new = group.before, group.after
    if _is_absent(old) and _is_absent(new):
        yield group.change("param.default.null-absent", detail={"effective": False})
    elif _is_absent(old):
        yield group.change("param.default.added")
    else:
        # Who must send the parameter anyway never meets its default.
        always_sent = compat.is_required(group.spec("old")) and compat.is_required(group.spec("new"))
        kind = "param.default.removed" if _is_absent(new) else "param.default.changed"
        yield group.change(kind, "informational" if always_sent else "risky")


def _doc(group: Group) -> Iterator[Change]:
    yield group.change("param.doc.changed")


def _deprecated(group: Group) -> Iterator[Change]:
    yield group.change(
        "param.deprecated.set" if group.after not in (MISSING, None, False) else "param.deprecated.cleared"
    )


def _param_unknown(group: Group) -> Iterator[Change]:
    yield group.change(f"param.attr-unknown.{_presence(group)}", decided=False)


_PARAM: Final = ("models", "*", "params", "*")

_TEXTS: Final = ("name", "category", "creator", "description")

# What an operation is about: the longest pattern that its path begins with.
SCOPES: Final[Mapping[Path, Family]] = {
    ("tier",): _tier,
    ("rate_limit", "calls_per_minute"): _limit,
    ("rate_limit", "concurrent_jobs"): _limit,
    ("rate_limit", "*"): _account_unknown,
    ("rate_limit",): _limits_replaced,
    (*_PARAM, "type"): _type,
    (*_PARAM, "required"): _required,
    (*_PARAM, "default"): _default,
    (*_PARAM, "values"): _values,
    **{(*_PARAM, name): _bound for name in ("min", "max", "step", "min_length", "max_length")},
    **{(*_PARAM, name): _doc for name in ("description", "title", "label", "placeholder", "help", "example")},
    (*_PARAM, "deprecated"): _deprecated,
    (*_PARAM, "*"): _param_unknown,
    _PARAM: _param,
    ("models", "*", "params"): _params_replaced,
    ("models", "*", "credits_band"): _band,
    ("models", "*", "example_request"): _example,
    **{("models", "*", name): _text(f"model.{name}.changed") for name in _TEXTS},
    ("models", "*", "*"): _model_unknown,
    ("*",): _account_unknown,
}
