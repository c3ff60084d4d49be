"""One value of a request against what its parameter admits: every problem with it, and the edit that mends it.

    specs --Wanted--> domains, under each reading of where a step's grid begins
    value --flaws--> what refuses it, each decided or not --judge--> problems, each with the edit
                                                          `--mend--> the first candidate that is not refused

A slug whose contents conflict has several specs for one parameter; a value must suit all of them.

Only processes data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from syncd.core import compat, complaints
from syncd.core.canon import MISSING, Json, Missing, Path, pointer
from syncd.core.compat import Constraint, Domain
from syncd.core.mend import Otherwise, candidates
from syncd.core.text import clean

Verdict: TypeAlias = Literal["accepted", "rejected", "undecided"]

# So many problems of a list's elements are told one by one; a list in which more is wrong is not mended.
_MOST_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a body: where (a JSON Pointer into it), and the new value; MISSING: leave it out."""

    place: str
    value: Json | Missing


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a body, or that cannot be judged (`decided` false).

    `rule` is the attribute that refuses the value, or "unknown", "missing", "null", "undecided", "schema". `edit` mends
    it, if anything does; a misspelled parameter is left out by `edit`, and `moved` sets the one that was meant.
    """

    place: str
    rule: str
    message: str
    decided: bool = True
    edit: Edit | None = None
    moved: Edit | None = None

    @property
    def param(self) -> str:
        """The parameter in which it lies; empty if it is about the whole body."""
        return next(iter(_steps(self.place)), "")

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All that mends it."""
        return tuple(edit for edit in (self.edit, self.moved) if edit is not None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a value must suit: each spec, with its domain under each reading of the grid that makes a difference."""

    sides: tuple[tuple[Json, tuple[Domain, ...]], ...]
    items: Wanted | None

    @classmethod
    def of(cls, specs: Iterable[Json]) -> Wanted:
        """Read the specs; an array's elements have specs of their own."""
        sides = tuple((spec, _readings(spec)) for spec in specs)
        arrays = [spec for spec, _ in sides if compat.kind_of(spec) == "array"]
        items = [found for spec in arrays if (found := compat.items_of(spec)) is not None]
        return cls(sides, cls.of(items) if items else None)

    def admits(self, value: Json) -> bool:
        """Whether nothing whatever speaks against the value, under any reading: what nearly every value is like."""
        return all(of.decided and compat.contains(of, value) for _, readings in self.sides for of in readings)

    @property
    def domains(self) -> list[Domain]:
        """Every domain, under every reading."""
        return [of for _, readings in self.sides for of in readings]

    @property
    def defaults(self) -> list[Json]:
        """What the specs give where nothing is sent."""
        return [spec["default"] for spec, _ in self.sides if isinstance(spec, dict) and spec.get("default") is not None]


def _readings(spec: Json) -> tuple[Domain, ...]:
    readings = (False, True) if compat.anchors_matter(spec) else (False,)
    return tuple(compat.domain(spec, grid_at_min=at_min) for at_min in readings)


# --- what is wrong -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Flaw:
    """What one spec has against a value: a constraint, or only a rule."""

    rule: str
    spec: Json
    by: Constraint | None = None

    @property
    def decided(self) -> bool:
        return self.rule != "undecided"

    def message(self, name: str, value: Json) -> str:
        if self.rule == "null":
            return complaints.null(name, self.spec)
        if self.by is None:
            return complaints.unreadable(name, self.spec)
        if self.decided:
            return complaints.refused(name, value, self.by)
        return complaints.one_reading(name, value, self.by.argument, self.spec["min"])


def _flaws(wanted: Wanted, value: Json) -> Iterator[_Flaw]:
    """What the specs have against the value itself; its elements are looked at on their own."""
    for spec, readings in wanted.sides:
        refusals = [{c.attribute: c for c in compat.refusals(of, value)} for of in readings]
        if wanted.items is not None and isinstance(value, list):
            for refusal in refusals:
                refusal.pop("items", None)
        certain = [by for name, by in refusals[0].items() if all(name in refusal for refusal in refusals)]
        if certain and value is None:
            yield _Flaw("null", spec)
        elif certain:
            yield from (_Flaw(by.attribute, spec, by) for by in certain)
        elif any(refusals):
            # Only the grid of the step differs between the readings.
            yield _Flaw("undecided", spec, next(by for refusal in refusals for by in refusal.values()))
        elif not all(of.decided for of in readings):
            yield _Flaw("undecided", spec)


def fits(wanted: Wanted, value: Json) -> Verdict:
    """Whether the value suits every spec."""
    return "accepted" if wanted.admits(value) else verdict_of(_decisions(wanted, value))


def _decisions(wanted: Wanted, value: Json) -> Iterator[bool]:
    """Of each flaw of the value or of its elements whether it is decided."""
    yield from (flaw.decided for flaw in _flaws(wanted, value))
    if wanted.items is not None and isinstance(value, list):
        verdicts = (fits(wanted.items, element) for element in value)
        yield from (verdict == "rejected" for verdict in verdicts if verdict != "accepted")


def verdict_of(decided: Iterable[bool]) -> Verdict:
    """The verdict on what has such problems: one that is decided refuses, and no further one is asked for."""
    is_open = False
    for one in decided:
        if one:
            return "rejected"
        is_open = True
    return "undecided" if is_open else "accepted"


# --- every problem, with its edit ----------------------------------------------------------------------------------


def judge(wanted: Wanted, value: Json, path: Path, otherwise: Otherwise) -> list[Problem]:
    """Every problem with the value at that place of the body, and the edit that mends it.

    Problems of one value share their edit. An element is mended where it stands, unless its list must be edited anyway.
    Where there are too many to be told one by one, the last problem says how many more, and nothing is mended.
    """
    if wanted.admits(value):
        return []
    name = clean("/".join(path))
    own = [Problem(pointer(path), flaw.rule, flaw.message(name, value), flaw.decided) for flaw in _flaws(wanted, value)]
    inner, more = _elements(wanted.items, value, path)
    elements = [problem for problems in inner for problem in problems]
    if elements:
        # That a list's elements cannot be judged is said of each that cannot.
        own = [problem for problem in own if problem.decided]
    if more is not None and more.decided:
        return [replace(problem, edit=None) for problem in (*own, *elements, more)]
    elements += [] if more is None else [more]
    if not any(p.decided for p in own) and all(p.edit is not None for p in elements if p.decided):
        return [*own, *elements]
    mended = mend(wanted, _without_problems(value, inner, len(path) + 1) if elements else value, otherwise)
    edit = None if mended is None else Edit(pointer(path), mended)
    return [replace(problem, edit=edit) if problem.decided else problem for problem in (*own, *elements)]


def _elements(items: Wanted | None, value: Json, path: Path) -> tuple[list[list[Problem]], Problem | None]:
    """The problems of each element, until they are too many to be told; then what is to be said of the others."""
    found: list[list[Problem]] = []
    if items is None or not isinstance(value, list):
        return found, None
    told = 0
    for n, element in enumerate(value):
        if told >= _MOST_TOLD:
            break
        found.append(judge(items, element, (*path, str(n)), "nothing"))
        told += len(found[-1])
    others = value[len(found) :]
    return found + [[]] * len(others), _more(items, others, path)


def _more(items: Wanted, others: Sequence[Json], path: Path) -> Problem | None:
    verdicts = Counter(fits(items, element) for element in others)
    name = clean("/".join(path))
    if refused := verdicts["rejected"]:
        return Problem(pointer(path), "items", complaints.more_elements(name, refused))
    if unclear := verdicts["undecided"]:
        return Problem(pointer(path), "undecided", complaints.more_unclear(name, unclear), decided=False)
    return None


def _without_problems(value: Sequence[Json], inner: Sequence[Sequence[Problem]], depth: int) -> list[Json]:
    """The list with its elements mended, and without those that nothing mends; their places are so deep."""
    kept = []
    for element, problems in zip(value, inner, strict=True):
        decided = [problem for problem in problems if problem.decided]
        if all(problem.edit is not None for problem in decided):
            kept.append(edited(element, [edit for problem in decided for edit in problem.edits], depth))
    return kept


def mend(wanted: Wanted, value: Json, otherwise: Otherwise) -> Json | Missing | None:
    """The likeliest candidate that is not refused; None if there is none (no candidate is null)."""
    for candidate in candidates(value, wanted.domains, wanted.defaults, otherwise):
        if candidate is MISSING or fits(wanted, candidate) != "rejected":
            return candidate
    return None


# --- edits applied -------------------------------------------------------------------------------------------------


def edited(value: Json, edits: Iterable[Edit], depth: int = 0) -> Json:
    """The value after the edits; the first `depth` steps of their places lead to the value itself."""
    given = {_steps(edit.place)[depth:]: edit.value for edit in edits}
    return _with(value, given) if given else value


def _steps(place: str) -> Path:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:])


def _with(value: Json, edits: Mapping[Path, Json | Missing]) -> Json:
    """All edits below a value at once: a list of thousands is copied once."""
    if () in edits:
        return edits[()]
    inner: dict[str, dict[Path, Json | Missing]] = {}
    for (first, *rest), new in edits.items():
        inner.setdefault(first, {})[tuple(rest)] = new
    if isinstance(value, list):
        return [_with(each, inner[str(n)]) if str(n) in inner else each for n, each in enumerate(value)]
    after = {**value, **{name: _with(value.get(name), below) for name, below in inner.items()}}
    return {name: each for name, each in after.items() if each is not MISSING}
