"""Changes of a parameter beside what values it admits: whether it is there, must be sent, and how it is described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from syncd.core import compat
from syncd.core.canon import MISSING, Json, Missing
from syncd.core.changes.groups import Group, is_absent
from syncd.core.changes.values import Change
from syncd.core.changes.verdict import Loss, breaking, derived, domains, first_loss


def whole(group: Group) -> Iterator[Change]:
    """A whole parameter came, went, or is no object."""
    old, new = group.before, group.after
    if old is MISSING and isinstance(new, dict):
        yield _added(group, new)
    elif new is MISSING and isinstance(old, dict):
        yield _removed(group, old)
    else:
        yield group.change("param.replaced", decided=False)


def _added(group: Group, spec: Mapping[str, Json]) -> Change:
    default = spec.get("default")
    suffix = "" if default is None else "-with-default"
    if compat.is_required(spec):
        return _must_be_sent(group, f"param.added.required{suffix}", default)
    detail = {} if default is None else {"new_default": default}
    return group.change(f"param.added.optional{suffix}", detail=detail)


def _must_be_sent(group: Group, kind: str, default: Json) -> Change:
    if default is not None and group.sides.policy.required_with_default == "risky":
        return group.change(kind, "risky")
    return breaking(group, kind)


def _removed(group: Group, spec: Mapping[str, Json]) -> Change:
    shown = [
        (found, Loss(found.value, readings))
        for readings, of, _ in domains(group)
        if (found := compat.example_value(spec, of, next(iter(group.used), None))) is not None
    ]
    if not shown:
        return group.change("param.removed", "informational", detail={"effective": False})
    if group.sides.policy.unknown_params == "ignore":
        return group.change("param.removed", "risky")
    lost = first_loss(group, [loss for _, loss in shown])
    change = derived(group, "param.removed", lost, gained=False)
    # A pattern asks for a text that nobody knows: who sends one is refused, if there is any.
    return change if all(found.certain for found, _ in shown) else replace(change, decided=False)


def required(group: Group) -> Iterator[Change]:
    """Whether it must be sent."""
    old, new = group.before, group.after
    if any(not is_absent(v) and not isinstance(v, bool) for v in (old, new)):
        yield group.change("param.required.invalid", decided=False)
    elif (old is True) == (new is True):
        yield group.change("param.required.normalised", detail={"effective": False})
    elif old is True:
        yield group.change("param.became-optional")
    else:
        default = group.spec("new").get("default")
        yield _must_be_sent(group, f"param.became-required{'' if default is None else '-with-default'}", default)


def default_value(group: Group) -> Iterator[Change]:
    """What the vendor takes where it is not sent."""
    old, new = _default(group.spec("old")), _default(group.spec("new"))
    if old is MISSING and new is MISSING:
        yield group.change("param.default.null-absent", detail={"effective": False})
    elif old is MISSING:
        yield group.change("param.default.added")
    else:
        # Who must send the parameter anyway never meets its default.
        always_sent = compat.is_required(group.spec("old")) and compat.is_required(group.spec("new"))
        kind = "param.default.removed" if new is MISSING else "param.default.changed"
        yield group.change(kind, "informational" if always_sent else "risky")


def _default(spec: Mapping[str, Json]) -> Json | Missing:
    """The default. Null is one only where null may be sent."""
    default = spec.get("default", MISSING)
    return default if default is not None or spec.get("nullable") is True else MISSING


def doc(group: Group) -> Iterator[Change]:
    """A text that describes it."""
    yield group.change("param.doc.changed")


def deprecated(group: Group) -> Iterator[Change]:
    """Whether the vendor advises against it."""
    was, is_ = (side not in (MISSING, None, False) for side in (group.before, group.after))
    if was == is_:
        yield group.change("param.deprecated.normalised", detail={"effective": False})
    else:
        yield group.change(f"param.deprecated.{'set' if is_ else 'cleared'}")


def unknown(group: Group) -> Iterator[Change]:
    """An attribute that syncd does not know; it may restrict the values."""
    yield group.change(f"param.attr-unknown.{group.presence}", decided=False)


def format_(group: Group) -> Iterator[Change]:
    """How the value is to be written; which values that refuses, only the vendor knows."""
    if is_absent(group.before) and is_absent(group.after):
        yield group.change("param.format.changed", "informational", detail={"effective": False})
    else:
        yield group.change("param.format.changed", decided=False)
