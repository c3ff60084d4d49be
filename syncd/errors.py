"""What can go wrong, for whom, and what to do about it.

    SyncdError                 has a message ("what, where") and a hint ("what to do"); the CLI prints both on one line
    ├── ConfigError            the configuration cannot be used; lists every problem      permanent, exit 2
    ├── StoreError             the database did not do its work                            exit 2
    │   ├── StoreUnavailable   gone, locked, unreachable, full                             a retry may help
    │   ├── SchemaMismatch     older or newer than this program                            permanent
    │   └── LockHeld           another syncd process works on this database                permanent until it ends
    └── UsageError             the command cannot do what it was asked                     permanent, exit 2

What the vendor or a sink answers is never an exception: it is a value (`core.reading`, `core.delivery`),
because an answer that refuses is an ordinary outcome that is stored and may be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class SyncdError(Exception):
    """The root: `message` says what and where, `hint` what to do."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a configuration: where it stands, what is wrong, what to write instead."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(SyncdError):
    """The configuration cannot be used. `problems` names all of them, not only the first."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__("\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)]))


class StoreError(SyncdError):
    """The database did not do its work."""


class StoreUnavailable(StoreError):
    """The database is gone, locked, read-only, full or out of reach; a later try may succeed."""

    retryable = True


class SchemaMismatch(StoreError):
    """The database's schema is older or newer than this program needs."""


class LockHeld(StoreError):
    """Another syncd process holds the lock of this database."""


class UsageError(SyncdError):
    """The command cannot do what it was asked."""
