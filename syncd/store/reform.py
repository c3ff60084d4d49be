"""Our own upgrades: what was stored under another canonical form is addressed anew, from its own text.

    is a key's current state of another form?     no, nearly always: one look at one row per key
        | every content      read as an answer is read today; two that are one today are made one
        | their intervals    two that touch and have one content by now are one: history invents no step
        | every key's state  the address that the next answer is compared with

Afterwards a poll finds what it would have found if this program had written everything: a change in how syncd writes
things down is no change of the vendor's, and none of the vendor's is lost in it. It does not matter which of the two
forms is the newer one.

Only the state that a key is in now gets a new address. Those before it are never compared with anything: they keep
their address, and the form beside it says how it came about.

All of it happens in the transaction of `Store.register`, which only the one process that polls begins. Thus all
contents and all current states are always of one form, and a look at the states, of which there are few, is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, Row, RowMapping, bindparam, delete, select, update

from syncd.core.canon import FORM, Json, UnreadableError, decode
from syncd.core.catalog import Catalog, Listed, Memo, assemble, state_digest
from syncd.store import versions
from syncd.store.statements import PART, chunks
from syncd.store.tables import api_keys, listings, model_versions, snapshots

_Assemble: TypeAlias = Callable[[Mapping[str, Json], Iterable[bytes], Memo], Catalog]


@dataclass(frozen=True, slots=True)
class Form:
    """A canonical form: its version, how contents are read under it, and the address of a whole state.

    No address of one form is ever one of another: the version is part of what is hashed.
    """

    version: int = FORM
    assemble: _Assemble = assemble
    state_digest: Callable[[Mapping[str, Json], Mapping[str, Listed]], str] = state_digest


TODAY: Final = Form()


def reform(connection: Connection, form: Form = TODAY) -> None:
    """Bring everything that is compared to this form. Does nothing where it is of this form already."""
    states = _states(connection, form.version)
    if not states:
        return
    united: set[int] = set()
    for rows in _contents(connection, form.version):
        united |= _rewrite(connection, rows, form)
    _join(connection, united)
    for state in states:
        _readdress(connection, state, form)


def _states(connection: Connection, version: int) -> Sequence[Row[Any]]:
    """The current states of another form, of retired keys too: they may come back."""
    query = (
        select(snapshots, api_keys.c.id.label("key"))
        .join(api_keys, api_keys.c.snapshot_id == snapshots.c.id)
        .where(snapshots.c.form != version)
    )
    return connection.execute(query).all()


# --- contents --------------------------------------------------------------------------------------------------------


def _contents(connection: Connection, version: int) -> Iterator[Sequence[RowMapping]]:
    """The contents of another form, part by part, the newest first: of several that are one its text stays."""
    table = model_versions.c
    query = select(table.id, table.slug, table.body).where(table.form != version).order_by(table.id.desc()).limit(PART)
    rows = connection.execute(query).mappings().all()
    while rows:
        yield rows
        rows = connection.execute(query.where(table.id < rows[-1]["id"])).mappings().all()


def _rewrite(connection: Connection, rows: Sequence[RowMapping], form: Form) -> set[int]:
    """Store these contents as they are read today. The ids of those that stand for others from now on."""
    listed = {row["id"]: _listed(row, form) for row in rows}
    known = versions.ids(connection, (one.digest for one in listed.values() if one is not None))
    heirs: dict[int, int] = {}
    for version, one in listed.items():
        if one is not None and (heir := known.setdefault(one.digest, version)) != version:
            heirs[version] = heir
    _unite(connection, heirs)
    _store(connection, {id_: one for id_, one in listed.items() if one is not None and id_ not in heirs}, form.version)
    _leave(connection, [id_ for id_, one in listed.items() if one is None], form.version)
    return set(heirs.values())


def _listed(row: RowMapping, form: Form) -> Listed | None:
    """The content as an answer with this text would give it today; None if it would not give this model at all."""
    try:
        return form.assemble({}, _texts(row["body"]), Memo()).models.get(row["slug"])
    except (UnreadableError, msgspec.DecodeError):
        return None


def _texts(body: str) -> list[bytes]:
    """The model's own text, or those of conflicting contents, which are kept as a JSON array."""
    if not body.startswith("["):
        return [body.encode()]
    return [bytes(raw) for raw in _VARIANTS.decode(body)]


_VARIANTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _unite(connection: Connection, heirs: Mapping[int, int]) -> None:
    """What pointed to one content points to its heir."""
    if heirs:
        moved = update(listings).where(listings.c.version_id == bindparam("old")).values(version_id=bindparam("heir"))
        connection.execute(moved, [{"old": old, "heir": heir} for old, heir in heirs.items()])
        connection.execute(delete(model_versions).where(model_versions.c.id.in_(heirs)))


def _store(connection: Connection, contents: Mapping[int, Listed], form: int) -> None:
    written = [{**versions.row(one), "form": form} for one in contents.values()]
    if written:
        columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in written[0]}
        anew = update(model_versions).where(model_versions.c.id == bindparam("version")).values(columns)
        given = [{f"new_{name}": value for name, value in row.items()} for row in written]
        connection.execute(anew, [{"version": id_, **row} for id_, row in zip(contents, given, strict=True)])


def _leave(connection: Connection, ids: Sequence[int], form: int) -> None:
    """What today's code does not read stays as it is, with an address that no answer has; it is not tried again."""
    if ids:
        connection.execute(update(model_versions).where(model_versions.c.id.in_(ids)).values(form=form))


# --- intervals -------------------------------------------------------------------------------------------------------


def _join(connection: Connection, united: Iterable[int]) -> None:
    """Make one of intervals that touch, where the contents on both sides are one by now."""
    for part in chunks(sorted(united)):
        query = (
            select(listings)
            .where(listings.c.version_id.in_(part))
            .order_by(listings.c.key_id, listings.c.slug, listings.c.valid_from)
        )
        for first, *others in _runs(connection.execute(query).all()):
            if others:
                # First those that go: of one key and model only one interval may be open.
                for some in chunks(row.id for row in others):
                    connection.execute(delete(listings).where(listings.c.id.in_(some)))
                longer = update(listings).where(listings.c.id == first.id)
                connection.execute(longer.values(valid_to=others[-1].valid_to))


def _runs(rows: Iterable[Row[Any]]) -> Iterator[list[Row[Any]]]:
    """The rows, those together that follow one another without a gap."""
    run: list[Row[Any]] = []
    for row in rows:
        if run and not _follows(row, run[-1]):
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _follows(row: Row[Any], last: Row[Any]) -> bool:
    same = (row.key_id, row.slug, row.version_id) == (last.key_id, last.slug, last.version_id)
    return same and row.valid_from == last.valid_to


# --- states ----------------------------------------------------------------------------------------------------------


def _readdress(connection: Connection, state: Row[Any], form: Form) -> None:
    """Give a key's current state its address under this form."""
    query = (
        select(listings.c.slug, model_versions.c.digest)
        .join(model_versions, model_versions.c.id == listings.c.version_id)
        .where(listings.c.key_id == state.key, listings.c.valid_to.is_(None))
    )
    models = {row.slug: Listed(row.slug, row.digest, "") for row in connection.execute(query)}
    address = _address(state, models, form)
    connection.execute(update(snapshots).where(snapshots.c.id == state.id).values(form=form.version, digest=address))


def _address(state: Row[Any], models: Mapping[str, Listed], form: Form) -> str:
    """An answer that did not list everything leaves more models standing than it listed, and nobody knows which.

    Its old address stays, which no answer has: the next good poll compares everything, and finds what there is.
    """
    if len(models) != state.model_count:
        return str(state.digest)
    try:
        return form.state_digest(decode(state.account).value, models)
    except UnreadableError:
        return str(state.digest)
