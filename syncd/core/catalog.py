"""A catalogue as values: what one key can call, addressed by content.

    raw texts of models --describe--> ModelText(slug, digest)      memoised: most texts are the same at every poll
    parts               --assemble--> Catalog(digest, models by slug)

A slug listed twice with the same content counts once. With different contents both are kept, in an order that does not
depend on the answer's: two servers that disagree look exactly like this, so the last one must not win.
Only processes data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from syncd.core.canon import Json, Note, UnreadableError, canonical, decode, digest, dumps, pointer

# A slug is a key of database indexes, which hold some 2,700 bytes at most. Real ones have 20 to 40 characters.
LONGEST_SLUG: Final = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """One model as listed: its content's address and its own JSON text (a JSON array where contents conflict)."""

    slug: str
    digest: str
    text: str

    def body(self) -> Json:
        """The decoded model: an object, or a list of objects where contents conflict."""
        return _KEPT.decode(self.text)


# What is kept went through `decode` once, with care. Read again by this it is the same value, ten times faster.
_KEPT: Final = msgspec.json.Decoder(float_hook=Decimal)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
# A model's params, and the spec of each.
_SHARED_DEPTH: Final = 2


def bodies(old: Listed, new: Listed) -> tuple[Json, Json]:
    """Both decoded. What is spelled alike in the same place is one object, so that comparing it takes no time."""
    first = old.body()
    return first, _like(first, old.text.encode(), new.text.encode(), _SHARED_DEPTH)


def _like(known: Json, old: bytes, new: bytes, depth: int) -> Json:
    """The new text decoded, with the parts of `known` (the old text decoded) that it spells alike."""
    if not depth or old[:1] != b"{" or new[:1] != b"{":
        return _KEPT.decode(new)
    before = _MEMBERS.decode(old)
    value = {}
    for name, raw in _MEMBERS.decode(new).items():
        other = before.get(name)
        if raw == other:
            value[name] = known[name]
        elif other is None:
            value[name] = _KEPT.decode(raw)
        else:
            value[name] = _like(known[name], bytes(other), bytes(raw), depth - 1)
    return value


@dataclass(frozen=True, slots=True)
class ModelText:
    """What there is to know of one model's text without keeping it. `slug` is None where none can be a key."""

    slug: str | None
    digest: str
    notes: tuple[Note, ...] = ()
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything one good answer says, but the balance.

    `account` holds the top-level fields other than ``models`` and ``credits_balance``: the balance moves with every
    call and is no part of the state. `digest` addresses the whole state. `complete` is false where the answer hints
    that there is more than it lists; then the absence of a model proves nothing.
    """

    digest: str
    account: Mapping[str, Json]
    models: Mapping[str, Listed]
    notes: tuple[Note, ...] = ()
    complete: bool = True


@dataclass
class Memo:
    """Remembers the description of each distinct model text, by hash, for every key together.

    A plain dict is enough between threads: the same text always gives the same description. Past `limit` texts it
    starts anew, so a vendor who changes every model at every poll cannot fill the memory.
    """

    limit: int = 20_000
    texts: dict[bytes, ModelText] = field(default_factory=dict)

    def describe(self, raw: bytes) -> ModelText:
        """`describe(raw)`, remembered."""
        key = hashlib.blake2b(raw, digest_size=16).digest()
        found = self.texts.get(key)
        if found is None:
            if len(self.texts) >= self.limit:
                self.texts.clear()
            found = self.texts[key] = describe(raw)
        return found


def describe(raw: bytes) -> ModelText:
    """Decode one model's text with care. Raises `UnreadableError` with a path inside the model."""
    decoded = decode(raw)
    value = decoded.value
    slug = value.get("slug") if isinstance(value, dict) else None
    if not isinstance(slug, str) or not slug.strip() or len(slug) > LONGEST_SLUG:
        note = Note("", f"model left out: {_why_unkeyable(value)}", "model.unkeyable")
        return ModelText(None, digest(canonical(value)), (*decoded.notes, note))
    return ModelText(slug, digest(canonical(value)), decoded.notes, decoded.mended)


def _why_unkeyable(value: Json) -> str:
    if not isinstance(value, dict):
        return "not an object"
    if value.get("slug") is None:
        return "no slug"
    if not isinstance(value["slug"], str):
        return "a slug that is no text"
    return f"a slug of {len(value['slug'])} characters" if value["slug"].strip() else "an empty slug"


def assemble(
    account: Mapping[str, Json],
    raws: Iterable[bytes],
    memo: Memo,
    notes: tuple[Note, ...] = (),
    *,
    complete: bool = True,
) -> Catalog:
    """Put a catalogue together from the envelope's fields and each model's own text.

    Raises `UnreadableError` naming the place, such as ``/models/3/params/n/max``.
    """
    by_slug: dict[str, dict[str, str]] = {}
    found = list(notes)
    for index, raw in enumerate(raws):
        at = ("models", str(index))
        try:
            model = memo.describe(raw)
        except UnreadableError as error:
            # A pointer continues a pointer; a position in the text stands apart.
            apart = "" if error.place.startswith("/") or not error.place else " "
            raise UnreadableError(pointer(at) + apart + error.place, error.what) from None
        found.extend(Note(pointer(at) + note.place, note.what, note.id) for note in model.notes)
        if model.slug is None:
            continue
        variants = by_slug.setdefault(model.slug, {})
        if variants:
            likeness, kind = ("same", "identical") if model.digest in variants else ("different", "conflicting")
            what = f"slug listed twice, {likeness} content"
            found.append(Note(pointer(at), what, f"catalogue.duplicate-slug.{kind}"))
        variants[model.digest] = dumps(decode(raw).value) if model.mended else raw.decode("utf-8-sig")
    models = {slug: _listed(slug, variants) for slug, variants in by_slug.items()}
    return Catalog(state_digest(account, models), account, models, tuple(found), complete)


def _listed(slug: str, variants: Mapping[str, str]) -> Listed:
    if len(variants) == 1:
        ((address, text),) = variants.items()
        return Listed(slug, address, text)
    ordered = sorted(variants)
    return Listed(slug, digest("\n".join(ordered)), "[" + ",".join(variants[address] for address in ordered) + "]")


def state_digest(account: Mapping[str, Json], models: Mapping[str, Listed]) -> str:
    """Addresses a whole state. The order of models and keys means nothing."""
    # No slug holds a U+0000, so no slug can pass for two models.
    listed = sorted(f"{m.slug}\0{m.digest}" for m in models.values())
    return digest("\0".join((canonical(dict(account)), *listed)))


def document(catalog: Catalog) -> dict[str, Any]:
    """The whole canonical document, models keyed by slug: what the laws of `core.ops` speak of."""
    return {**catalog.account, "models": {slug: listed.body() for slug, listed in catalog.models.items()}}
