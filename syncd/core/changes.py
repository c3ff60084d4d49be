"""Layer 2 of the diff: from operations to changes that people understand, each with a severity and, if breaking, a proof.

    ops --SCOPES--> groups by what they are about --FAMILIES--> changes (id from `core.rules`)
                                                      |
                                                      +-- severity where the rule leaves it open: the theorem of `core.compat`

A change of one attribute k is breaking exactly if some value that the old spec admits is refused by k alone:

    X(k) = breaking       if D_old ⊄ C_k(new)          with the value that proves it
           additive       if not, and D_new ⊄ C_k(old)
           informational  if neither
           risky          if it cannot be decided

Only processes data.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from syncd.core import compat, credits
from syncd.core.canon import MISSING, Json, Missing, Path, canonical, is_number, pointer, same
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

    `path` leads to it in the canonical document. `before` and `after` are JSON values or MISSING. `witness` is a request
    body that was accepted and no longer is. `decided` is false where it cannot be known whether requests break.
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
    severity = RULES[kind].severity
    assert severity is not None  # whole-model rules state theirs
    category = category_of(before if after is MISSING else after)
    return Change(kind, path, severity, before, after, slug, category, detail=detail, ops=(Set(path, before, after),))


def category_of(body: Json | Missing) -> str | None:
    """The category a model's body states (the first body's, where contents conflict)."""
    first = body[0] if isinstance(body, list) and body else body
    category = first.get("category") if isinstance(first, Mapping) else None
    return category if isinstance(category, str) else None


# --- from operations to groups -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The operations that concern one thing, and both sides of what is compared (a model, or the account's fields)."""

    path: Path
    ops: tuple[Op, ...]
    old: Mapping[str, Json]
    new: Mapping[str, Json]
    policy: Policy
    slug: str | None = None

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

    def change(self, kind: str, severity: Severity | None = None, **more: Any) -> Change:
        """A change of this group; severity as given or as the rule states."""
        stated = severity or RULES[kind].severity
        assert stated is not None, kind
        values = {"before": self.before, "after": self.after, "ops": self.ops, **more}
        category = None if self.slug is None else category_of(self.new)
        return Change(kind, self.path, stated, slug=self.slug, category=category, **values)


def _at(node: Json, path: Path) -> Json | Missing:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


Family: TypeAlias = Callable[[Group], Iterable[Change]]


def _group(
    found: Iterable[Op], old: Mapping[str, Json], new: Mapping[str, Json], policy: Policy, slug: str | None
) -> Iterator[Change]:
    grouped: dict[tuple[Path, Family], list[Op]] = {}
    listed = list(found)
    retyped = {op.path[:4] for op in listed if len(op.path) == 5 and op.path[4] == "type"}
    for op in listed:
        if op.path[:4] in retyped and len(op.path) >= 5 and op.path[4] in compat.CONSTRAINTS:
            # The change of type owns every constraint of its parameter, so that nothing is told twice.
            where, family = (*op.path[:4], "type"), _type
        else:
            where, family = _scope(op.path)
        grouped.setdefault((where, family), []).append(op)
    for (where, family), owned in grouped.items():
        yield from family(Group(where, tuple(owned), old, new, policy, slug))


def _scope(path: Path) -> tuple[Path, Family]:
    for pattern, family in SCOPES:
        if len(path) >= len(pattern) and all(p in ("*", s) for p, s in zip(pattern, path, strict=False)):
            return path[: len(pattern)], family
    raise AssertionError(path)  # the last pattern matches every path


def _account_changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    return list(_group(ops(dict(old), dict(new)), old, new, Policy(), None))


def model_changes(slug: str, old: Json, new: Json, policy: Policy) -> list[Change]:
    """Every change of one model that is listed on both sides."""
    found = ops(old, new, ("models", slug))
    if isinstance(old, list) or isinstance(new, list):
        return [_variants(slug, old, new, policy)] if found else []
    changes = list(_group(found, old, new, policy, slug))
    return [_link(change, changes) for change in _unless_uncallable(changes, old)]


def _unless_uncallable(changes: list[Change], old: Mapping[str, Json]) -> list[Change]:
    """Where no request at all was accepted before, nothing can break."""
    if not any(change.severity == "breaking" for change in changes) or compat.minimal_request(_params(old)) is not None:
        return changes
    return [
        replace(c, severity="informational", witness=None, detail={**c.detail, "was_uncallable": True})
        if c.severity == "breaking"
        else c
        for c in changes
    ]


def _link(change: Change, changes: list[Change]) -> Change:
    """Name the parameter changes of the same poll beside a price change: they may be its reason."""
    if not change.kind.startswith("credits.band."):
        return change
    related = [
        c.pointer
        for c in changes
        if c.kind.startswith(("param.default.", "param.enum.", "param.max.", "param.min.", "param.type."))
    ]
    return replace(change, detail={**change.detail, "related": related}) if related else change


def _variants(slug: str, old: Json, new: Json, policy: Policy) -> Change:
    """A slug with conflicting contents, on either side: a request counts as accepted only if every content accepts it."""
    path = ("models", slug)
    kind = "catalogue.duplicate-slug.conflicting" if isinstance(new, list) else "catalogue.duplicate-slug.resolved"
    olds, news = (side if isinstance(side, list) else [side] for side in (old, new))
    inner = [c for a in olds[:1] for b in news for c in model_changes(slug, a, b, policy)] if len(olds) == 1 else []
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
    old, new = (value if isinstance(value, str) else None for value in (group.before, group.after))
    if old is None or new is None:
        kind = "account.tier.appeared" if new is not None else "account.tier.disappeared"
        yield group.change(kind)
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
    if any(not _is_absent(v) and not (is_number(v) and v >= 0) for v in (old, new)):
        yield group.change(f"{stem}.invalid", decided=False)
    elif _is_absent(old) or _is_absent(new):
        if _is_absent(old) and _is_absent(new):
            yield group.change(f"{stem}.limit-removed", "informational", detail={"effective": False})
        else:
            yield group.change(f"{stem}.limit-{'removed' if _is_absent(new) else 'added'}", decided=not _is_absent(new))
    else:
        yield group.change(f"{stem}.{'raised' if new > old else 'zeroed' if new == 0 else 'lowered'}")


def _limits_replaced(group: Group) -> Iterator[Change]:
    kind = "limit-added" if isinstance(group.after, dict) else "limit-removed"
    yield group.change(f"account.rate-limit.{kind}", decided=False)


def _is_absent(value: Json | Missing) -> bool:
    return value is MISSING or value is None


def _presence(group: Group) -> Literal["added", "removed", "changed"]:
    return "added" if group.before is MISSING else "removed" if group.after is MISSING else "changed"


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


def _plain(value: Json | Missing) -> object:
    """A text without what nobody sees: spacing and Unicode composition."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", value)).strip() if isinstance(value, str) else repr(value)


def _example(group: Group) -> Iterator[Change]:
    yield group.change("model.example-request.changed")


def _band(group: Group) -> Iterator[Change]:
    old, new = (credits.read_band(None if v is MISSING else v) for v in (group.before, group.after))
    yield group.change(f"credits.band.{credits.outcome(old, new)}", detail=credits.flags(old, new))


def _params_replaced(group: Group) -> Iterator[Change]:
    yield group.change("model.params.replaced", decided=False)


def _model_unknown(group: Group) -> Iterator[Change]:
    watched = group.path[2] in _WATCHED
    yield group.change(
        f"model.attr-unknown.{_presence(group)}", "risky" if watched else "informational", decided=not watched
    )


# --- parameters ----------------------------------------------------------------------------------------------------


def _witness(group: Group, found: Escape | None = None) -> dict[str, Json]:
    """A request that the old schema accepts: the smallest one, with this parameter set to the offending value."""
    request = compat.minimal_request(_params(group.old)) or {}
    return request if found is None else {**request, group.param: found.value}


def _derived(
    group: Group, kind: str, lost: Escape | None, gained: Escape | None, *, decided: bool = True, **detail: Json
) -> Change:
    """The theorem's verdict on a change: what is lost breaks, what is only gained is additive."""
    if not decided:
        return group.change(kind, "risky", decided=False, detail=detail)
    if lost is not None:
        return group.change(kind, "breaking", witness=_witness(group, lost), detail=detail)
    severity: Severity = "additive" if gained is not None else "informational"
    return group.change(kind, severity, detail={**detail, "effective": False} if gained is None else detail)


def _domains(group: Group) -> Iterator[tuple[Domain, Domain]]:
    """Both sides, under each reading of where a step's grid begins."""
    for grid_at_min in (False, True):
        yield (
            compat.domain(group.spec("old"), grid_at_min=grid_at_min),
            compat.domain(group.spec("new"), grid_at_min=grid_at_min),
        )


def _exclusion(group: Group, attribute: str) -> tuple[Escape | None, Escape | None]:
    """What the attribute alone loses and gains, under either reading of the grid."""
    lost = gained = None
    for old, new in _domains(group):
        for name in (attribute, "step") if attribute == "min" else (attribute,):
            lost = lost or _escape(old, new.get(name))
            gained = gained or _escape(new, old.get(name))
    return lost, gained


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
        severity = group.policy.required_with_default if default is not None else "breaking"
        return group.change(
            f"param.added.required{suffix}", severity, witness=_witness(group) if severity == "breaking" else None
        )
    detail = {} if default is None else {"new_default": default}
    return group.change(f"param.added.optional{suffix}", detail=detail)


def _param_removed(group: Group, spec: Mapping[str, Json]) -> Change:
    of = compat.domain(spec)
    value = compat.example_value(spec, of)
    if value is None:
        return group.change("param.removed", "informational", detail={"effective": False})
    if group.policy.unknown_params == "ignore":
        return group.change("param.removed", "risky")
    return group.change("param.removed", "breaking", witness=_witness(group, value))


def _required(group: Group) -> Iterator[Change]:
    old, new = group.before, group.after
    if any(not _is_absent(v) and not isinstance(v, bool) for v in (old, new)):
        yield group.change("param.required.invalid", decided=False)
    elif (old is True) == (new is True):
        yield group.change("param.required.normalised", detail={"effective": False})
    elif old is True:
        yield group.change("param.became-optional")
    else:
        suffix = "" if group.spec("new").get("default") is None else "-with-default"
        severity: Severity = group.policy.required_with_default if suffix else "breaking"
        yield group.change(
            f"param.became-required{suffix}", severity, witness=_witness(group) if severity == "breaking" else None
        )


def _type(group: Group) -> Iterator[Change]:
    """The verdict compares both specs as wholes; the change owns every constraint that moved with the type."""
    old_spec, new_spec = group.spec("old"), group.spec("new")
    detail = {"spec_before": old_spec, "spec_after": new_spec}
    old, new = compat.domain(old_spec), compat.domain(new_spec)
    if old.kind is None or new.kind is None:
        yield group.change("param.type.undecided", decided=False, detail=detail)
        return
    lost = next((e for a, b in _domains(group) if (e := compat.escape_domain(a, b)) is not None), None)
    gained = next((e for a, b in _domains(group) if (e := compat.escape_domain(b, a)) is not None), None)
    if lost is None and not (old.decided and new.decided):
        yield group.change("param.type.undecided", decided=False, detail=detail)
    elif lost is not None:
        kind = "param.type.narrowed" if gained is None else "param.type.changed"
        yield group.change(kind, witness=_witness(group, lost), detail=detail)
    elif gained is not None:
        yield group.change("param.type.widened", detail=detail)
    else:
        kind = "param.type.alias" if old.kind == new.kind else "param.type.equivalent"
        yield group.change(kind, detail={**detail, "effective": False})


def _bound(group: Group) -> Iterator[Change]:
    """min, max, step, min_length, max_length: one attribute, one verdict."""
    attribute = group.path[4]
    stem = "param." + attribute.replace("_", "-")
    if _misplaced(group, attribute):
        yield group.change("param.attr-misplaced", detail={"effective": False})
        return
    old, new = group.before, group.after
    readable_old, readable_new = (compat.well_formed(attribute, v) for v in (old, new))
    decided = all(_is_absent(v) or ok for v, ok in ((old, readable_old), (new, readable_new))) and _kinds_known(group)
    if readable_old and readable_new:
        kind = f"{stem}.{'raised' if new > old else 'lowered'}"
    elif readable_new:
        kind = f"{stem}.added"
    elif readable_old:
        kind = f"{stem}.removed"
    elif decided:
        yield group.change(f"{stem}.null-absent", detail={"effective": False})
        return
    else:
        yield group.change("param.attr-unknown.changed", decided=False)
        return
    yield _derived(group, kind, *_exclusion(group, attribute), decided=decided)


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
    for owned in _by_element(group.ops):
        alone, first = replace(group, ops=owned), owned[0]
        if isinstance(first, Reordered):
            yield alone.change("param.enum.reordered", before=list(first.before), after=list(first.after))
        elif isinstance(first, ValueAdded | ValueRemoved):
            yield _element(alone, first)


def _by_element(owned: tuple[Op, ...]) -> Iterable[tuple[Op, ...]]:
    """Operations on equal elements belong together: a value listed three times that goes is one change."""
    grouped: dict[object, list[Op]] = {}
    for op in owned:
        element = canonical(op.value) if isinstance(op, ValueAdded | ValueRemoved) else None
        grouped.setdefault((type(op), element), []).append(op)
    return map(tuple, grouped.values())


def _values_as_whole(group: Group) -> Change:
    if _misplaced(group, "values"):
        return group.change("param.attr-misplaced", detail={"effective": False})
    if _is_absent(group.before) and _is_absent(group.after):
        return group.change("param.enum.values-unpublished", "informational", detail={"effective": False})
    # On an enum an absent list is not published; on any other type it means that there is no such restriction.
    if (
        _kinds_known(group)
        and compat.kind_of(group.spec("old")) != "enum"
        and compat.kind_of(group.spec("new")) != "enum"
    ):
        lost, gained = _exclusion(group, "values")
        return _derived(group, "param.enum.values-unpublished", lost, gained)
    return group.change("param.enum.values-unpublished", decided=False)


def _element(group: Group, op: ValueAdded | ValueRemoved) -> Change:
    added = isinstance(op, ValueAdded)
    sides = {"before": MISSING, "after": op.value} if added else {"before": op.value, "after": MISSING}
    other = group.before if added else group.after
    if isinstance(other, list) and any(same(op.value, v) for v in other):
        return group.change(f"param.enum.duplicate-{'added' if added else 'removed'}", **sides)
    if _misplaced(group, "values"):
        return group.change("param.attr-misplaced", detail={"effective": False}, **sides)
    kind = f"param.enum.value-{'added' if added else 'removed'}"
    if not _kinds_known(group):
        return group.change(kind, "risky", decided=False, **sides)
    old, new = compat.domain(group.spec("old")), compat.domain(group.spec("new"))
    if added:
        return group.change(kind, "additive" if compat.contains(new, op.value) else "informational", **sides)
    if not compat.contains(old, op.value):
        return group.change(kind, "informational", detail={"effective": False}, **sides)
    return group.change(kind, "breaking", witness=_witness(group, Escape(op.value)), **sides)


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

# What an operation is about: the first pattern that its path begins with. The last one matches everything.
SCOPES: Final[tuple[tuple[Path, Family], ...]] = (
    (("tier",), _tier),
    (("rate_limit", "calls_per_minute"), _limit),
    (("rate_limit", "concurrent_jobs"), _limit),
    (("rate_limit", "*"), _account_unknown),
    (("rate_limit",), _limits_replaced),
    ((*_PARAM, "type"), _type),
    ((*_PARAM, "required"), _required),
    ((*_PARAM, "default"), _default),
    ((*_PARAM, "values"), _values),
    *(((*_PARAM, name), _bound) for name in ("min", "max", "step", "min_length", "max_length")),
    *(((*_PARAM, name), _doc) for name in ("description", "title", "label", "placeholder", "help", "example")),
    ((*_PARAM, "deprecated"), _deprecated),
    ((*_PARAM, "*"), _param_unknown),
    (_PARAM, _param),
    (("models", "*", "params"), _params_replaced),
    (("models", "*", "credits_band"), _band),
    (("models", "*", "example_request"), _example),
    *(
        (("models", "*", name), _text(f"model.{name}.changed"))
        for name in ("name", "category", "creator", "description")
    ),
    (("models", "*", "*"), _model_unknown),
    (("*",), _account_unknown),
)
