"""Which saved requests a change touches, and what is to be done about each.

    changes of a slug that a saved request names
        --old body, new body--> the verdict on the request before and after
             accepted -> refused   "rejected" by every change that refuses it on its own; with the edit that mends it
             refused -> accepted   "accepted" thanks to every change that takes some of its problems away
             accepted as before    "different", where it leaves out what has another default or sends what is ignored

"Accepted" includes what cannot be judged: nothing that syncd knows speaks against it. Whatever a change is to be blamed
for is found by making it alone, with its operations, on the old body.

Only processes data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

from syncd.core.canon import MISSING, Json, Missing, pointer
from syncd.core.catalog import Catalog
from syncd.core.changes.values import Before, Change, Policy
from syncd.core.compat import is_required
from syncd.core.complaints import told
from syncd.core.fitting import Wanted, fits
from syncd.core.ops import Reordered, Set, apply
from syncd.core.requests import Judged, Problem, SavedRequest, validate
from syncd.core.text import clean

Effect: TypeAlias = dict[str, Json]

_GONE: Final = "model.removed"
_CAME: Final = frozenset({"model.added", "model.returned"})
_RENAMED: Final = "param.renamed"
_MOVED_DEFAULTS: Final = frozenset({"param.default.changed", "param.default.removed"})
# /models/{slug}/params/{name}
_PARAM_DEPTH: Final = 4


def touched(
    changes: Iterable[Change], before: Before, after: Catalog, saved: Iterable[SavedRequest], policy: Policy
) -> list[Change]:
    """The same changes in the same order, each with the saved requests that it touches.

    Their names are in `affects`; what happens to each of them, and what to do, in `detail["requests"]`. A change that
    could not be decided, and that one of them proves to break requests, is decided by it.
    """
    found = list(changes)
    requests: dict[str, list[SavedRequest]] = {}
    for request in saved:
        requests.setdefault(request.model, []).append(request)
    of_slug: dict[str, list[int]] = {}
    for n, change in enumerate(found):
        if change.slug is not None and change.slug in requests:
            of_slug.setdefault(change.slug, []).append(n)
    for slug, places in of_slug.items():
        model = _Model(slug, *_bodies(slug, before, after), tuple(found[n] for n in places), policy)
        named = sorted(requests[slug], key=lambda request: request.name)
        effects = [(request.name, model.effects(request)) for request in named]
        for own, n in enumerate(places):
            found[n] = _told(found[n], {name: each[own] for name, each in effects if own in each})
            found[n] = _proved(found[n], model, named)
    return found


def _bodies(slug: str, before: Before, after: Catalog) -> tuple[Json | Missing, Json | Missing]:
    """The model before (of one that had gone, as it was then) and after."""
    old = before.models.get(slug) or before.gone.get(slug)
    new = after.models.get(slug)
    return MISSING if old is None else old.body(), MISSING if new is None else new.body()


def _told(change: Change, effects: Mapping[str, Effect]) -> Change:
    if not effects:
        return change
    return replace(change, affects=tuple(effects), detail={**change.detail, "requests": dict(effects)})


def _proved(change: Change, model: _Model, requests: Iterable[SavedRequest]) -> Change:
    """What could not be decided is, where a request that is really sent was accepted and is refused: that proves it."""
    if change.decided or not change.affects:
        return change
    rejected = {name for name, effect in change.detail["requests"].items() if effect["effect"] == "rejected"}
    for request in requests:
        if request.name in rejected and model.judged(request, model.old).verdict == "accepted":
            return replace(change, severity="breaking", decided=True, witness=_proof(change, model, request))
    return change


def _proof(change: Change, model: _Model, request: SavedRequest) -> Mapping[str, Json]:
    """As much of the request as shows it: what the change is about, and what must be sent with it."""
    specs = model.old.get("params") if isinstance(model.old, dict) else None
    about, known = _params(change), specs if isinstance(specs, dict) else {}
    return {
        name: value
        for name, value in request.params.items()
        if about is None or name in about or is_required(known.get(name))
    }


@dataclass(frozen=True)
class _Model:
    """One model with its changes. Effects are by the position of the change among them."""

    slug: str
    old: Json | Missing
    new: Json | Missing
    changes: tuple[Change, ...]
    policy: Policy

    def effects(self, request: SavedRequest) -> dict[int, Effect]:
        whole = {n: change for n, change in enumerate(self.changes) if change.kind in {_GONE, *_CAME}}
        inner = {n: change for n, change in enumerate(self.changes) if n not in whole}
        found = {n: e for n, change in whole.items() if (e := self._whole(change, request)) is not None}
        return found | self._inner(inner, request)

    # --- the model as a whole --------------------------------------------------------------------------------------

    def _whole(self, change: Change, request: SavedRequest) -> Effect | None:
        slug = clean(self.slug)
        if change.kind in _CAME:
            is_accepted = self.judged(request, self.new).verdict == "accepted"
            return {"effect": "accepted", "why": f"{slug} is listed and accepts it"} if is_accepted else None
        if self.judged(request, self.old).verdict == "rejected":
            return None
        effect: Effect = {"effect": "rejected", "why": f"{slug} is no longer listed"}
        replacement = change.detail.get("replacement")
        return {**effect, "edit": {"/model": replacement}} if isinstance(replacement, str) else effect

    def judged(self, request: SavedRequest, body: Json | Missing) -> Judged:
        return validate(request.body, None if body is MISSING else body, unknown_params=self.policy.unknown_params)

    # --- a model that stayed ---------------------------------------------------------------------------------------

    def _inner(self, changes: Mapping[int, Change], request: SavedRequest) -> dict[int, Effect]:
        if not changes or self.old is MISSING or self.new is MISSING:
            return {}
        case = _Case(self, request, changes)
        match case.before.verdict == "rejected", case.after.verdict:
            case False, "rejected":
                return case.rejected()
            case True, "accepted":
                return case.accepted()
            case False, _:
                return case.different()
        return {}


@dataclass(frozen=True)
class _Case:
    """One request before and after, and after each change alone."""

    model: _Model
    request: SavedRequest
    changes: Mapping[int, Change]

    @cached_property
    def before(self) -> Judged:
        return self.model.judged(self.request, self.model.old)

    @cached_property
    def after(self) -> Judged:
        return self.model.judged(self.request, self.model.new)

    def _alone(self, change: Change) -> Judged:
        # The order of values refuses nothing, and makes no sense on other values than it was made for.
        ops = [op for op in change.ops if not isinstance(op, Reordered)]
        document = apply({"models": {self.model.slug: self.model.old}}, ops)
        return self.model.judged(self.request, document["models"][self.model.slug])

    # --- refused now -----------------------------------------------------------------------------------------------

    def rejected(self) -> dict[int, Effect]:
        """The changes that refuse it: on their own, or if none does, by what they are about."""
        wrong = _decided(self.after)
        alone = {n: problems for n, change in self.changes.items() if (problems := _decided(self._alone(change)))}
        about = {n: problems for n, change in self.changes.items() if (problems := _about(change, wrong))}
        # What is wrong after all changes is what must be mended, not what one of them alone would have caused.
        blamed = {n: problems for n, problems in about.items() if n in alone}
        found = {n: _rejected(problems) for n, problems in (blamed or about or alone).items()}
        return {n: {**effect, **self._renamed(self.changes[n])} for n, effect in found.items()}

    # --- accepted now ----------------------------------------------------------------------------------------------

    def accepted(self) -> dict[int, Effect]:
        """The changes that take some of its problems away on their own, or if none does, by what they are about."""
        wrong = _decided(self.before)
        fewer = [n for n, change in self.changes.items() if len(_decided(self._alone(change))) < len(wrong)]
        found = fewer or [n for n, change in self.changes.items() if _about(change, wrong)]
        return {n: {"effect": "accepted", "why": _mended(_about(self.changes[n], wrong) or wrong)} for n in found}

    # --- accepted as before ----------------------------------------------------------------------------------------

    def different(self) -> dict[int, Effect]:
        """The changes after which the same request means something else."""
        found = {n: self._other_meaning(change) for n, change in self.changes.items()}
        return {n: effect for n, effect in found.items() if effect is not None}

    def _other_meaning(self, change: Change) -> Effect | None:
        if change.kind in _MOVED_DEFAULTS:
            name = change.path[_PARAM_DEPTH - 1]
            return None if name in self.request.params else self._unpinned(name, change)
        ignored = [name for name in _removed_params(change) if name in self.request.params]
        if not ignored or self.model.policy.unknown_params != "ignore":
            return None
        why = f"{_names(ignored)} is no longer known and is ignored without a word"
        return {"effect": "different", "why": why, **self._renamed(change)}

    def _renamed(self, change: Change) -> Effect:
        """The edit that goes along with a parameter's new name, if the request sends the old one."""
        old, new = change.path[-1], change.detail.get("replacement")
        sent = self.request.params
        if change.kind != _RENAMED or not isinstance(new, str) or old not in sent or new in sent:
            return {}
        return {"edit": {pointer((old,)): None, pointer((new,)): sent[old]}}

    def _unpinned(self, name: str, change: Change) -> Effect:
        """It leaves out what has another default now: the old one can be sent instead, if it is still taken."""
        old, new = change.before, change.after
        now = "has no stated default any more" if new in (MISSING, None) else f"is {told(new)} now where it is not sent"
        why = f"{clean(name)} {now}, it was {told(old)}"
        spec = self._new_spec(name)
        if spec is None or fits(Wanted.of([spec]), old) == "rejected":
            return {"effect": "different", "why": f"{why}, which is no longer accepted"}
        return {"effect": "different", "why": why, "pin": {name: old}}

    def _new_spec(self, name: str) -> Json:
        params = self.model.new.get("params") if isinstance(self.model.new, dict) else None
        return params.get(name) if isinstance(params, dict) else None


def _decided(judged: Judged) -> list[Problem]:
    return [problem for problem in judged.problems if problem.decided]


def _rejected(problems: Sequence[Problem]) -> Effect:
    """What is wrong, and the edits that mend it; null in an edit stands for "leave it out"."""
    effect: Effect = {"effect": "rejected", "why": _sentence(problems)}
    edits = {edit.place: edit.value for problem in problems for edit in problem.edits}
    if not edits or not all(problem.edits for problem in problems):
        return effect
    return {**effect, "edit": {place: None if value is MISSING else value for place, value in edits.items()}}


def _sentence(problems: Sequence[Problem]) -> str:
    return "; ".join(problem.message for problem in problems)


def _mended(problems: Sequence[Problem]) -> str:
    return f"no longer so: {_sentence(problems)}"


def _about(change: Change, problems: Iterable[Problem]) -> list[Problem]:
    """The problems with parameters that the change is about."""
    names = _params(change)
    return [p for p in problems if names is None or any(_lies_in(p.place, pointer((name,))) for name in names)]


def _lies_in(place: str, whole: str) -> bool:
    return place == whole or place.startswith(whole + "/")


def _params(change: Change) -> set[str] | None:
    """The parameters that the change is about; None if it is about all of them."""
    deep = [op.path for op in change.ops if op.path[2:3] == ("params",)]
    if any(len(op.path) <= 2 for op in change.ops) or any(len(path) < _PARAM_DEPTH for path in deep):  # noqa: PLR2004
        return None
    return {path[_PARAM_DEPTH - 1] for path in deep}


def _removed_params(change: Change) -> Iterator[str]:
    for op in change.ops:
        if isinstance(op, Set) and len(op.path) == _PARAM_DEPTH and op.path[2] == "params" and op.after is MISSING:
            yield op.path[-1]


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(clean, names))
