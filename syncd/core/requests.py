"""A request body against a model as listed: what is wrong with it, and the smallest edit of each mistake.

    body, model --each parameter that is sent--> unknown: leave it out, or rename it to what it is likely to mean
                                                 known: `fitting.judge`, with its edit
                --each that is not-------------> missing: its default, or a value that is admitted
                --problems--> verdict            one that is decided refuses; one that is not leaves it open
                                                 (`accepts` says only this, without a sentence or an edit)
                --edits-----> mended             the body after all of them, if that is no longer refused

A parameter that is required must be sent, even if it has a default, unless the operator leaves that open. Where
contents of one slug conflict, a request is accepted only if all of them accept it. Nothing here raises, whatever the
body or the model holds.

Only processes data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

from syncd.core import compat
from syncd.core.canon import MISSING, Json, Missing, pointer
from syncd.core.fitting import Edit, Problem, Verdict, Wanted, edited, fits, judge, mend, verdict_of
from syncd.core.mend import by_folded, likest_names
from syncd.core.text import clean

__all__ = ["Edit", "Judged", "Problem", "SavedRequest", "Verdict", "accepts", "validate"]

# What the vendor makes of a parameter that it does not know, and of one that it demands but has a default for.
UnknownParams: TypeAlias = Literal["reject", "ignore"]
RequiredWithDefault: TypeAlias = Literal["breaking", "risky"]

# Names the model; it is no parameter of it.
_MODEL: Final = "model"
# Names that have less in common are two parameters, not one that is misspelled.
_MISSPELLED: Final = 0.7
# Beyond so many pairs of names nothing is misspelled, it is another model's request; comparing them takes seconds.
_MOST_PAIRS: Final = 2500


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """A request that the operator really sends, and the keys it is sent with (globs of their names)."""

    name: str
    body: Mapping[str, Json]
    keys: tuple[str, ...] = ("*",)

    @property
    def model(self) -> str:
        """The slug it names; empty if it names none."""
        slug = self.body.get(_MODEL)
        return slug if isinstance(slug, str) else ""

    @property
    def params(self) -> Mapping[str, Json]:
        """What it sends beside the slug."""
        return _sent(self.body)

    def is_for(self, key_name: str) -> bool:
        """Whether it is sent with the key of that name."""
        return any(fnmatchcase(key_name, glob) for glob in self.keys)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a body. `mended` is the body after every edit; None where nothing is wrong or nothing mends it."""

    verdict: Verdict
    problems: tuple[Problem, ...] = ()
    mended: Mapping[str, Json] | None = None


def validate(
    body: Mapping[str, Json],
    model: Json,
    *,
    unknown_params: UnknownParams = "reject",
    required_with_default: RequiredWithDefault = "breaking",
) -> Judged:
    """Judge a body by a decoded model: an object, or a list of objects where the contents of its slug conflict."""
    listed = _Listed.of(model, unknown_params, required_with_default)
    problems = tuple(listed.problems(body))
    verdict = verdict_of(problem.decided for problem in problems)
    if verdict != "rejected":
        return Judged(verdict, problems)
    return Judged(verdict, problems, listed.mended(body, problems))


def accepts(
    body: Mapping[str, Json],
    model: Json,
    *,
    unknown_params: UnknownParams = "reject",
    required_with_default: RequiredWithDefault = "breaking",
) -> Verdict:
    """The verdict of `validate` alone, at a fraction of the cost: it ends at the first thing that is wrong."""
    return _Listed.of(model, unknown_params, required_with_default).verdict(body)


def _sent(body: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in body.items() if name != _MODEL}


_Lack: TypeAlias = Literal["demanded", "filled-in", "unclear"]


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the contents of a slug say of its parameters; `complete` if each of them publishes them.

    `strict`: what is not known is refused. `fills_in`: the vendor may take the default of what must be sent.
    """

    params: tuple[Mapping[str, Json], ...]
    complete: bool
    strict: bool
    fills_in: bool

    @classmethod
    def of(cls, model: Json, unknown_params: UnknownParams, required_with_default: RequiredWithDefault) -> _Listed:
        bodies = model if isinstance(model, list) and model else [model]
        stated = [each.get("params") if isinstance(each, dict) else None for each in bodies]
        params = tuple(each for each in stated if isinstance(each, dict))
        complete = len(params) == len(bodies)
        return cls(params, complete, unknown_params == "reject", required_with_default == "risky")

    def specs(self, name: str) -> list[Json]:
        return [params[name] for params in self.params if name in params]

    def is_required(self, name: str) -> bool:
        return any(map(compat.is_required, self.specs(name)))

    def is_known(self, name: str) -> bool:
        """Whether every content knows the parameter, or lets pass what it does not know."""
        return not self.strict or len(self.specs(name)) == len(self.params)

    def unsent(self, body: Mapping[str, Json]) -> list[str]:
        names = dict.fromkeys(name for params in self.params for name in params)
        return [name for name in names if name not in body and name != _MODEL]

    def lack(self, name: str) -> _Lack | None:
        """What it means that a parameter is not sent; None: nothing."""
        specs = self.specs(name)
        demanding = [spec for spec in specs if compat.is_required(spec)]
        if demanding:
            has_default = all(spec.get("default") is not None for spec in demanding)
            return "filled-in" if self.fills_in and has_default else "demanded"
        return None if all(map(_says_whether_required, specs)) else "unclear"

    # --- the verdict -----------------------------------------------------------------------------------------------

    def verdict(self, body: Mapping[str, Json]) -> Verdict:
        return verdict_of(self._decisions(body))

    def _decisions(self, body: Mapping[str, Json]) -> Iterator[bool]:
        """Of each problem whether it is decided; of a value only once."""
        if not self.complete:
            yield False
        for lack in map(self.lack, self.unsent(body)):
            if lack is not None:
                yield lack == "demanded"
        for name, value in _sent(body).items():
            verdict = fits(Wanted.of(self.specs(name)), value) if self.is_known(name) else "rejected"
            if verdict != "accepted":
                yield verdict == "rejected"

    # --- problems --------------------------------------------------------------------------------------------------

    def problems(self, body: Mapping[str, Json]) -> Iterator[Problem]:
        if not self.complete:
            yield Problem("", "schema", "the parameters of the model are not published", decided=False)
        sent = _sent(body)
        meant = self._meant(sent)
        for name, value in sent.items():
            yield from self._wrong(name, value) if self.is_known(name) else self._unknown(name, value, meant)
        sources = {target: name for name, target in meant.items()}
        for name in self.unsent(body):
            yield from self._missing(name, sent[sources[name]] if name in sources else MISSING)

    def _wrong(self, name: str, value: Json) -> list[Problem]:
        return judge(Wanted.of(self.specs(name)), value, (name,), "any" if self.is_required(name) else "leave-out")

    def _unknown(self, name: str, value: Json, meant: Mapping[str, str]) -> Iterator[Problem]:
        target = meant.get(name)
        hint = "" if target is None else f"; {clean(target)} may be meant"
        # What one of conflicting contents demands and another refuses cannot be mended.
        edit = None if self.is_required(name) else Edit(pointer((name,)), MISSING)
        moved = None if target is None else Edit(pointer((target,)), value)
        message = f"{clean(name)} is no parameter of {self._whose(name)}{hint}"
        yield Problem(pointer((name,)), "unknown", message, edit=edit, moved=moved)
        yield from (replace(problem, edit=edit) for problem in self._wrong(name, value) if problem.decided)

    def _whose(self, name: str) -> str:
        return "some of the contents listed under this slug" if self.specs(name) else "the model"

    def _missing(self, name: str, meant: Json | Missing) -> Iterator[Problem]:
        place = pointer((name,))
        match self.lack(name):
            case "demanded":
                value = self._value_for(name) if meant is MISSING else meant
                edit = None if value is None else Edit(place, value)
                yield Problem(place, "missing", f"{clean(name)} is required and not sent", edit=edit)
            case "filled-in":
                message = f"{clean(name)} is required and not sent; the vendor may take its default"
                yield Problem(place, "missing", message, decided=False)
            case "unclear":
                message = f"whether {clean(name)} must be sent cannot be told"
                yield Problem(place, "undecided", message, decided=False)

    def _value_for(self, name: str) -> Json | None:
        """A value for a parameter that must be sent; None if there is none, or a content does not know it."""
        if not self.is_known(name):
            return None
        wanted = Wanted.of(self.specs(name))
        found = mend(wanted, None, "any")
        if found is not None:
            return found
        # Of a type that syncd does not know, a placeholder is as good as anything.
        spec, readings = wanted.sides[0]
        example = compat.example_value(spec, readings[0])
        value = None if example is None or example.value is MISSING else example.value
        return value if fits(wanted, value) != "rejected" else None

    # --- names that are misspelled ---------------------------------------------------------------------------------

    def _meant(self, sent: Mapping[str, Json]) -> dict[str, str]:
        """Which parameter that is not sent each unknown one is likely to mean: the likest pairs, each name once."""
        unknown = [name for name in sent if self.params and not self.specs(name)]
        free = [name for name in (self.params[0] if self.params else ()) if name not in sent and name != _MODEL]
        if not unknown or len(unknown) * len(free) > _MOST_PAIRS:
            return {}
        among = by_folded(free)
        pairs = [(alike, name, target) for name in unknown for alike, target in likest_names(name, among, _MISSPELLED)]
        meant: dict[str, str] = {}
        for _, name, target in sorted(pairs, key=lambda pair: -pair[0]):
            fresh = name not in meant and target not in meant.values()
            if fresh and self._admits(target, sent[name]):
                meant[name] = target
        return meant

    def _admits(self, name: str, value: Json) -> bool:
        return self.is_known(name) and fits(Wanted.of(self.specs(name)), value) != "rejected"

    # --- mended ----------------------------------------------------------------------------------------------------

    def mended(self, body: Mapping[str, Json], problems: Sequence[Problem]) -> Mapping[str, Json] | None:
        """The body after every edit, if there is one for all that is wrong and it is no longer refused."""
        wrong = [problem for problem in problems if problem.decided]
        if not all(problem.edits for problem in wrong):
            return None
        # Problems may share an edit: each is made once.
        edits = {edit.place: edit for problem in wrong for edit in problem.edits}
        after: dict[str, Json] = edited(dict(body), edits.values())
        return None if self.verdict(after) == "rejected" else after


def _says_whether_required(spec: Json) -> bool:
    stated = spec.get("required") if isinstance(spec, dict) else "not an object"
    return stated is None or isinstance(stated, bool)
