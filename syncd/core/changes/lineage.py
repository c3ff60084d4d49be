"""What became of a model that is gone: another slug, a newer version, or something like it.

removed, added --equal but for the slug, and no tie--> `replacement` · `replaces`, with what else differs
removed, listed --same creator, a later version-----> `successor`
                --much alike------------------------> `replacement_candidates`, the likeliest first

Only explanations: who calls the old slug is refused all the same, so both changes stay, as severe as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from syncd.core.canon import Json, canonical, pointer, same
from syncd.core.catalog import Catalog
from syncd.core.changes.likeness import alike, pairs
from syncd.core.changes.values import Change
from syncd.core.ops import ops
from syncd.core.text import fold

_ALIKE_SLUGS: Final = 0.8
_ALIKE_MODELS: Final = 0.6
_MOST_CANDIDATES: Final = 3

# When so many are gone at once, somebody's access has changed, and each one's heir is not what people ask for.
_MOST_GONE: Final = 20
# So many models are looked at for each that is gone: those that share most words of its slug.
_MOST_LOOKED_AT: Final = 40


@dataclass(frozen=True)
class _Model:
    """What tells models apart."""

    slug: str
    body: Mapping[str, Json]

    def text(self, name: str) -> str | None:
        """A field of it, if it is a text."""
        value = self.body.get(name)
        return value if isinstance(value, str) else None

    @cached_property
    def params(self) -> str:
        """Its parameters, in the one text that means them."""
        return canonical(self.body.get("params"))

    @property
    def specs(self) -> Mapping[str, Json]:
        """Its parameters by name."""
        params = self.body.get("params")
        return params if isinstance(params, dict) else {}

    @cached_property
    def title(self) -> str:
        """Its name, or its slug where it has none."""
        return self.text("name") or self.slug

    @cached_property
    def line(self) -> str:
        """Its title without its version: all of one line of models share it."""
        return " ".join(_VERSION.sub(" ", fold(self.title)).split())

    @cached_property
    def version(self) -> tuple[int, ...]:
        """The numbers in its title, as far as anybody would count."""
        return tuple(int(number) for number in re.findall(r"\d{1,6}", self.title))


_VERSION: Final = re.compile(r"\bv?\d+(\.\d+)*\b|[\d.]+")


def explained(found: list[Change], after: Catalog) -> list[Change]:
    """The changes, with what became of the models that are gone."""
    gone = {c.slug or "": _Model(c.slug or "", _body(c.before)) for c in found if c.kind == "model.removed"}
    if not gone or not after.models:
        return found
    new = {c.slug or "": _Model(c.slug or "", _body(c.after)) for c in found if c.kind in _ARRIVED}
    renamed = _renamed(gone, new)
    detail: dict[str | None, Mapping[str, Json]] = {}
    for old, now in renamed.items():
        detail[old] = {"replacement": now, "differences": _differences(gone[old], new[now])}
        detail[now] = {"replaces": old}
    orphans = [model for slug, model in gone.items() if slug not in renamed]
    if orphans and len(gone) <= _MOST_GONE:
        detail.update(_heirs(orphans, after))
    return [replace(c, detail={**c.detail, **detail[c.slug]}) if _is_told(c, detail) else c for c in found]


_ARRIVED: Final = frozenset({"model.added", "model.returned"})


def _is_told(change: Change, detail: Mapping[str | None, Mapping[str, Json]]) -> bool:
    return change.slug in detail and (change.kind in _ARRIVED or change.kind == "model.removed")


def _body(side: Json) -> Mapping[str, Json]:
    """A model's body, the first one where contents conflict."""
    first = side[0] if isinstance(side, list) and side else side
    return first if isinstance(first, dict) else {}


# --- another slug --------------------------------------------------------------------------------------------------


def _renamed(gone: Mapping[str, _Model], new: Mapping[str, _Model]) -> dict[str, str]:
    """Who is now called what: first who only changed the spelling, then who is equal in all but the slug."""
    found = _paired(gone, new, lambda model: fold(model.slug), lambda _old, _new: 1)
    left = {slug: model for slug, model in gone.items() if slug not in found}
    free = {slug: model for slug, model in new.items() if slug not in set(found.values())}
    return found | _paired(left, free, lambda model: (model.text("creator"), model.params), _same_model)


def _paired(
    gone: Mapping[str, _Model],
    new: Mapping[str, _Model],
    trait: Callable[[_Model], Hashable],
    score: Callable[[_Model, _Model], float],
) -> dict[str, str]:
    """Pairs among those that share a trait: comparing each with each would take too long."""
    sharing: dict[Hashable, tuple[list[str], list[str]]] = {}
    for slugs, models in enumerate((gone, new)):
        for slug, model in models.items():
            sharing.setdefault(trait(model), ([], []))[slugs].append(slug)
    found: dict[str, str] = {}
    for old, now in sharing.values():
        found |= pairs(old, now, lambda a, b: score(gone[a], new[b]))
    return found


def _same_model(old: _Model, new: _Model) -> float:
    """How surely it is the same model, of the same creator and with the same parameters; 0 if it is not."""
    if old.text("creator") is None:
        return 0
    named = old.text("name") is not None and old.text("name") == new.text("name")
    likeness = alike(old.slug, new.slug)
    return named + likeness if named or likeness >= _ALIKE_SLUGS else 0


def _differences(old: _Model, new: _Model) -> list[str]:
    """Where the two differ beside the slug, which the example repeats."""
    found = ops(dict(old.body), dict(new.body))
    own = {("slug",), ("example_request", "model")}
    return [pointer(path) for path in dict.fromkeys(op.path for op in found) if path not in own]


# --- a newer version, or something like it -------------------------------------------------------------------------


def _heirs(gone: Iterable[_Model], after: Catalog) -> dict[str, Mapping[str, Json]]:
    """What may take the place of each, by slug."""
    words = {slug: _words(slug) for slug in after.models}
    near = {model.slug: _nearest(_words(model.slug), words) for model in gone}
    models = {slug: _Model(slug, _body(after.models[slug].body())) for slugs in near.values() for slug in slugs}
    return {model.slug: _heir(model, [models[slug] for slug in near[model.slug]]) for model in gone}


def _words(slug: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W\d_]{2,}", slug.casefold()))


def _nearest(own: frozenset[str], words: Mapping[str, frozenset[str]]) -> list[str]:
    """The slugs that share most words: only of these is the content looked at."""
    shared = {slug: len(own & others) for slug, others in words.items() if not own.isdisjoint(others)}
    return sorted(shared, key=lambda slug: (-shared[slug], slug))[:_MOST_LOOKED_AT]


def _heir(gone: _Model, near: Sequence[_Model]) -> Mapping[str, Json]:
    likely = sorted(((_likeness(gone, model), model.slug) for model in near), key=lambda one: (-one[0], one[1]))
    candidates = [slug for score, slug in likely[:_MOST_CANDIDATES] if score >= _ALIKE_MODELS]
    found = {"successor": _successor(gone, near), "replacement_candidates": candidates}
    return {name: value for name, value in found.items() if value}


def _successor(gone: _Model, models: Iterable[_Model]) -> str | None:
    """The next version of the same line by the same creator, where its parameters differ."""
    later = [
        model
        for model in models
        if model.line == gone.line
        and model.version > gone.version
        and gone.text("creator") is not None
        and model.text("creator") == gone.text("creator")
        and model.params != gone.params
    ]
    return min(later, key=lambda model: (model.version, model.slug)).slug if later else None


def _likeness(old: _Model, new: _Model) -> float:
    """From 0 to 1. What makes another sort of thing is no replacement."""
    if old.text("category") != new.text("category"):
        return 0
    creator = old.text("creator") is not None and old.text("creator") == new.text("creator")
    return 0.4 * alike(old.slug, new.slug) + 0.4 * _shared_params(old, new) + 0.2 * creator


def _shared_params(old: _Model, new: _Model) -> float:
    """Which part of all parameters, by name and spec, both have."""
    a, b = old.specs, new.specs
    every = a.keys() | b.keys()
    equal = sum(name in a and name in b and same(a[name], b[name]) for name in every)
    return equal / len(every) if every else 1
