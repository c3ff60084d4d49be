"""What a parameter spec admits, and the one theorem that every verdict rests on.

A spec denotes a set of JSON values D, the intersection of what each of its attributes admits (and null, if it says so):

    D = C_type ∩ C_min ∩ C_max ∩ C_step ∩ C_min_length ∩ C_max_length ∩ C_pattern ∩ C_values ∩ C_items ∩ …

Hence "some value that used to be accepted is now refused" holds exactly if one attribute alone refuses it:

    D_old ⊄ D_new   <=>   there is an attribute k with  D_old ⊄ C_k(new)

`escape(domain, constraint)` decides the right-hand side and returns the value that proves it. It needs no case per pair
of attributes: it makes the few elements of D among which there must be one outside C, if there is any at all (the
outermost or the one just beyond C's limit, two neighbours of which no grid holds both, one more than C lists), and
`admits` tries them.

    domain      spec -> Domain, its constraints                         patterns   what a pattern matches
    admission   whether a constraint, or a whole domain, admits a value
    escape      Domain, Constraint -> a value that proves a loss      numbers, texts, lists: candidates of each kind
    minimal     params -> the smallest request they admit

Only processes data. Numbers are exact: integers and rationals, never floats.
"""

from __future__ import annotations

from syncd.core.compat.admission import admits, contains, refusals
from syncd.core.compat.domain import (
    ALIASES,
    ANNOTATIONS,
    CONSTRAINTS,
    Constraint,
    Domain,
    Kind,
    anchors_matter,
    domain,
    items_of,
    kind_of,
    well_formed,
)
from syncd.core.compat.escape import Escape, escape, escape_domain, sample
from syncd.core.compat.minimal import Smallest, example_value, is_required, minimal_request

__all__ = [
    "ALIASES",
    "ANNOTATIONS",
    "CONSTRAINTS",
    "Constraint",
    "Domain",
    "Escape",
    "Kind",
    "Smallest",
    "admits",
    "anchors_matter",
    "contains",
    "domain",
    "escape",
    "escape_domain",
    "example_value",
    "is_required",
    "items_of",
    "kind_of",
    "minimal_request",
    "refusals",
    "sample",
    "well_formed",
]
