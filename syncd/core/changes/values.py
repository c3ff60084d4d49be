"""What goes into a comparison beside the catalogue just read, and what comes out: plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from syncd.core.canon import MISSING, Json, Missing, Path, canonical, pointer
from syncd.core.catalog import Listed
from syncd.core.ops import Op
from syncd.core.rules import Severity

_PARAM: Final = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """What the vendor does where the documentation is silent, as the operator judges it."""

    unknown_params: Literal["reject", "ignore"] = "reject"
    required_with_default: Literal["breaking", "risky"] = "breaking"


@dataclass(frozen=True, slots=True)
class Before:
    """The confirmed catalogue of a key, and for models that had gone the content they had then."""

    account: Mapping[str, Json]
    models: Mapping[str, Listed]
    gone: Mapping[str, Listed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two catalogues.

    `path` leads to it in the canonical document. `before` and `after` are JSON values or MISSING. `witness` is a
    request body that was accepted and no longer is; a breaking change of parameters has one, unless it would hold a
    text too long to show. `decided` is false where it cannot be known whether requests break. `affects` names the
    saved requests that it touches (`core.affected`).
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
    affects: tuple[str, ...] = ()

    @property
    def pointer(self) -> str:
        """The path as an RFC 6901 JSON Pointer."""
        return pointer(self.path)

    @property
    def param(self) -> str | None:
        """The parameter that it is about, if it is about one: what follows /models/{slug}/params."""
        return self.path[_PARAM] if self.path[2:3] == ("params",) and len(self.path) > _PARAM else None

    @property
    def track(self) -> tuple[str, ...]:
        """What goes back and forth as one: the path; of a list of values, where each has a change, one of them."""
        if not self.kind.startswith("param.enum.value"):
            return (self.pointer,)
        values = (canonical(value) for value in (self.before, self.after) if value is not MISSING)
        return (self.pointer, *sorted(values))

    @property
    def fingerprint(self) -> str:
        """Content identity: equal for the same change on another key or at another time. Not unique."""
        parts = [self.kind, self.pointer, *("" if v is MISSING else canonical(v) for v in (self.before, self.after))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
