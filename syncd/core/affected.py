"""Which saved requests a change touches, and what is to be done about each.

    changes of a slug that a saved request names
        --old body, new body--> the verdict on the request before and after
             accepted -> refused   "rejected" by every change that refuses it on its own; with the edit that mends it
             refused -> accepted   "accepted" thanks to every change that takes some of its problems away
             accepted before       "different", where it leaves out what has another default or sends what is ignored,
                                   whether or not another change refuses it

"Accepted" includes what cannot be judged: nothing that syncd knows speaks against it. Whatever a change is to be blamed
for is found by making it alone, with its operations, on what it is about in the old body: whether one parameter is
refused depends on no other.

Only processes data.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
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
from syncd.core.requests import Edit, Judged, Problem, SavedRequest, validate
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
        model = _Model(slug, *_bodies(slug, before, after), tuple(found[n] for n in places), policy, after)
        cases = [_Case(model, request) for request in sorted(requests[slug], key=lambda request: request.name)]
        effects = [(case.request.name, case.effects()) for case in cases]
        for own, n in enumerate(places):
            found[n] = _told(found[n], {name: each[own] for name, each in effects if own in each})
            found[n] = _proved(found[n], cases)
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


def _proved(change: Change, cases: Iterable[_Case]) -> Change:
    """What could not be decided is, where a request that is really sent was accepted and is refused: that proves it."""
    if change.decided or not change.affects:
        return change
    rejected = {name for name, effect in change.detail["requests"].items() if effect["effect"] == "rejected"}
    for case in cases:
        if case.request.name in rejected and case.before.verdict == "accepted":
            return replace(change, severity="breaking", decided=True, witness=_proof(change, case))
    return change


def _proof(change: Change, case: _Case) -> Mapping[str, Json]:
    """As much of the request as shows it: what the change is about, and what must be sent with it."""
    about, known = _params(change), _specs(case.model.old)
    return {
        name: value
        for name, value in case.request.params.items()
        if about is None or name in about or is_required(known.get(name))
    }


@dataclass(frozen=True)
class _Model:
    """One model with its changes. Effects are by the position of the change among them. `after` is where it is."""

    slug: str
    old: Json | Missing
    new: Json | Missing
    changes: tuple[Change, ...]
    policy: Policy
    after: Catalog

    def judged(self, body: Mapping[str, Json], model: Json | Missing) -> Judged:
        """What is wrong with a request, by some content of a model."""
        return validate(
            body,
            None if model is MISSING else model,
            unknown_params=self.policy.unknown_params,
            required_with_default=self.policy.required_with_default,
        )

    def after_alone(self, change: Change, names: Container[str] | None) -> Json:
        """The old content after that change, with no more than these of its parameters."""
        kept = self.old
        if names is not None:
            kept = {"params": {name: spec for name, spec in _specs(self.old).items() if name in names}}
        # The order of values refuses nothing, and makes no sense on other values than it was made for.
        ops = [op for op in change.ops if not isinstance(op, Reordered)]
        return apply({"models": {self.slug: kept}}, ops)["models"][self.slug]


@dataclass(frozen=True)
class _Case:
    """One request before and after, and after each change alone."""

    model: _Model
    request: SavedRequest

    @cached_property
    def before(self) -> Judged:
        return self.model.judged(self.request.body, self.model.old)

    @cached_property
    def after(self) -> Judged:
        return self.model.judged(self.request.body, self.model.new)

    def effects(self) -> dict[int, Effect]:
        """What happens to it, by the position of the change that does it."""
        changes = dict(enumerate(self.model.changes))
        whole = {n: change for n, change in changes.items() if change.kind in {_GONE, *_CAME}}
        found = {n: effect for n, change in whole.items() if (effect := self._whole(change)) is not None}
        return found | self._inner({n: change for n, change in changes.items() if n not in whole})

    # --- the model as a whole --------------------------------------------------------------------------------------

    def _whole(self, change: Change) -> Effect | None:
        slug = clean(self.model.slug)
        if change.kind in _CAME:
            is_accepted = self.after.verdict == "accepted"
            return {"effect": "accepted", "why": f"{slug} is listed and accepts it"} if is_accepted else None
        if self.before.verdict == "rejected":
            return None
        replacement = change.detail.get("replacement")
        edits = self._replaced(replacement) if isinstance(replacement, str) else {}
        return {"effect": "rejected", "why": f"{slug} is no longer listed", **edits}

    def _replaced(self, slug: str) -> Effect:
        """The edit that sends it to the model's new slug, with what else that takes; nothing if it takes too much."""
        listed = self.model.after.models.get(slug)
        if listed is None:
            return {}
        judged = self.model.judged({**self.request.body, "model": slug}, listed.body())
        if judged.verdict == "rejected" and judged.mended is None:
            return {}
        return {"edit": {"/model": slug, **_edits(_decided(judged))}}

    # --- a model that stayed ---------------------------------------------------------------------------------------

    def _inner(self, changes: Mapping[int, Change]) -> dict[int, Effect]:
        if not changes or MISSING in (self.model.old, self.model.new):
            return {}
        match self.before.verdict == "rejected", self.after.verdict:
            case False, "rejected":
                return {**self._different(changes), **self._rejected(changes)}
            case True, "accepted":
                return self._accepted(changes)
            case False, _:
                return self._different(changes)
        return {}

    def _alone(self, change: Change) -> list[Problem]:
        """What is wrong after that change alone with the parameters that it is about; the others are as before."""
        names, sent = _params(change), self.request.body
        body = sent if names is None else {name: value for name, value in sent.items() if name in names}
        return _decided(self.model.judged(body, self.model.after_alone(change, names)))

    # --- refused now -----------------------------------------------------------------------------------------------

    def _rejected(self, changes: Mapping[int, Change]) -> dict[int, Effect]:
        """The changes that refuse it: on their own, or if none does, by what they are about."""
        wrong = _by_param(map(self._as_it_was, _decided(self.after)))
        # What is wrong after all changes is what must be mended, not what one of them alone would have caused.
        about = {n: problems for n, change in changes.items() if (problems := _about(change, wrong))}
        alone = {n: problems for n, problems in about.items() if self._alone(changes[n])}
        found = {n: _rejected(problems) for n, problems in (alone or about).items()}
        return {n: {**effect, **self._renamed(changes[n])} for n, effect in found.items()}

    def _as_it_was(self, problem: Problem) -> Problem:
        """What must be sent at last is sent as it was while it was left out, if that is still taken."""
        if problem.rule != "missing" or problem.edit is None or problem.place in self._moved:
            return problem
        old = _default(self.model.old, problem.param)
        return replace(problem, edit=Edit(problem.place, old)) if self._takes(problem.param, old) else problem

    @cached_property
    def _moved(self) -> frozenset[str]:
        """The places at which something that is sent under another name belongs."""
        return frozenset(problem.moved.place for problem in self.after.problems if problem.moved is not None)

    def _takes(self, name: str, value: Json) -> bool:
        spec = _specs(self.model.new).get(name)
        return None not in (spec, value) and fits(Wanted.of([spec]), value) != "rejected"

    # --- accepted now ----------------------------------------------------------------------------------------------

    def _accepted(self, changes: Mapping[int, Change]) -> dict[int, Effect]:
        """The changes that take some of its problems away on their own, or if none does, by what they are about."""
        wrong = _by_param(_decided(self.before))
        about = {n: problems for n, change in changes.items() if (problems := _about(change, wrong))}
        fewer = {n: problems for n, problems in about.items() if len(self._alone(changes[n])) < len(problems)}
        return {n: {"effect": "accepted", "why": _mended(problems)} for n, problems in (fewer or about).items()}

    # --- the same request, another meaning -------------------------------------------------------------------------

    def _different(self, changes: Mapping[int, Change]) -> dict[int, Effect]:
        """The changes after which the same request, or what mends it, means something else."""
        found = {n: self._other_meaning(change) for n, change in changes.items()}
        return {n: effect for n, effect in found.items() if effect is not None}

    def _other_meaning(self, change: Change) -> Effect | None:
        if change.kind in _MOVED_DEFAULTS:
            name = change.path[_PARAM_DEPTH - 1]
            return None if name in self.request.params or name in self._lacking else self._unpinned(name, change)
        ignored = [name for name in _removed_params(change) if name in self.request.params]
        if not ignored or self.model.policy.unknown_params != "ignore":
            return None
        why = f"{_names(ignored)} is no longer known and is ignored without a word"
        return {"effect": "different", "why": why, **self._renamed(change)}

    @cached_property
    def _lacking(self) -> frozenset[str]:
        """What must be sent and is not: no default holds of it."""
        return frozenset(problem.param for problem in _decided(self.after) if problem.rule == "missing")

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
        if not self._takes(name, old):
            return {"effect": "different", "why": f"{why}, which is no longer accepted"}
        return {"effect": "different", "why": why, "pin": {name: old}}


def _specs(model: Json | Missing) -> Mapping[str, Json]:
    """The parameters of a model; none where they are not published, or contents conflict."""
    params = model.get("params") if isinstance(model, dict) else None
    return params if isinstance(params, dict) else {}


def _default(model: Json | Missing, name: str) -> Json:
    spec = _specs(model).get(name)
    return spec.get("default") if isinstance(spec, dict) else None


def _decided(judged: Judged) -> list[Problem]:
    return [problem for problem in judged.problems if problem.decided]


def _rejected(problems: Sequence[Problem]) -> Effect:
    """What is wrong, and the edits that mend it; null in an edit stands for "leave it out"."""
    effect: Effect = {"effect": "rejected", "why": _sentence(problems)}
    edits = _edits(problems)
    return {**effect, "edit": edits} if edits and all(problem.edits for problem in problems) else effect


def _edits(problems: Iterable[Problem]) -> dict[str, Json]:
    edits = {edit.place: edit.value for problem in problems for edit in problem.edits}
    return {place: None if value is MISSING else value for place, value in edits.items()}


def _sentence(problems: Sequence[Problem]) -> str:
    return "; ".join(problem.message for problem in problems)


def _mended(problems: Sequence[Problem]) -> str:
    return f"no longer so: {_sentence(problems)}"


def _by_param(problems: Iterable[Problem]) -> Mapping[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.param, []).append(problem)
    return found


def _about(change: Change, wrong: Mapping[str, Sequence[Problem]]) -> list[Problem]:
    """The problems with parameters that the change is about."""
    names = _params(change)
    return [p for name, problems in wrong.items() if names is None or name in names for p in problems]


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
