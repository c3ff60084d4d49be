"""A value that cannot be printed, formatted, pickled, compared by accident or logged."""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn, final


@final
class Secret:
    """Holds a key, token or secret URL; only `reveal` gives it back.

    `repr`, `str`, `format` and f-strings show ``Secret(3fa94c1e)``, the fingerprint: enough to tell two
    secrets apart in a log, nothing of the secret itself. Pickling and copying raise `TypeError`, so that no
    queue, cache or crash report can carry one away.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The secret text. Call it where the bytes leave for the socket and nowhere else."""
        return self.__value

    def prefixed(self, prefix: str) -> Secret:
        """The same secret behind `prefix`, as in an ``Authorization`` header."""
        return Secret(prefix + self.__value)

    @property
    def fingerprint(self) -> str:
        """First 8 hex digits of the SHA-256: names the secret without holding a character of it."""
        return hashlib.sha256(_bytes(self.__value)).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self.__value), _bytes(other.__value))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied")


def _bytes(text: str) -> bytes:
    # Whatever the text holds: an encoding error would carry the secret in its own repr.
    return text.encode("utf-8", "surrogatepass")
