"""The smallest request that a model's parameters admit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from syncd.core.canon import Json, Missing
from syncd.core.compat.admission import contains
from syncd.core.compat.domain import Domain
from syncd.core.compat.escape import Escape, sample


def is_required(spec: Json) -> bool:
    """Absent, null and false mean optional; so does anything that is not exactly true."""
    return isinstance(spec, dict) and spec.get("required") is True


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest request. A value is MISSING where it would be too long to be shown, or where none can be made up.

    It is not `certain` that it is accepted where a pattern asks for a text that nobody knows.
    """

    values: Mapping[str, Json | Missing]
    certain: bool = True


def minimal_request(
    params: Mapping[str, Json], used: Mapping[str, Json], read: Callable[[str], Domain]
) -> Smallest | None:
    """The smallest request the parameters admit: every required one with some value; None if one admits nothing.

    `used` are values that are known to be sent, and `read` gives the domain of a parameter.
    """
    request: dict[str, Json | Missing] = {}
    certain = True
    for name, spec in params.items():
        if not is_required(spec):
            continue
        value = example_value(spec, read(name), used.get(name))
        if value is None:
            return None
        request[name] = value.value
        certain = certain and value.certain
    return Smallest(request, certain)


def example_value(spec: Json, of: Domain, used: Json = None) -> Escape | None:
    """A value to show for a parameter: its default if that is admitted, else some admitted value; None if none is.

    Where syncd cannot make one up (an unknown type, a pattern), the value that is `used`, else a placeholder.
    """
    default = spec.get("default") if isinstance(spec, dict) else None
    if default is not None and contains(of, default):
        return Escape(default)
    found = sample(of)
    if found is not None and found.certain and of.decided:
        return found
    if used is not None and contains(of, used):
        return Escape(used)
    return Escape("example") if of.kind is None or (of.kind == "enum" and of.get("values") is None) else found
