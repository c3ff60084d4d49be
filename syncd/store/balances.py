"""What accounts held, day by day, as the polls of their keys saw it. Statements only; decides nothing.

look_if_new     a good answer: write down its balance, and give the wallet as it is now
stored          the wallet of an account as it was seen last
wallets         those of all accounts that the configuration names

A balance that stands still costs nothing: a day's row is written only where it moved, and once a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeGuard

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from syncd.core.balance import COMPLETE_DAYS, Amount, Day, Wallet, cheapest_calls, dearest, plain
from syncd.core.canon import Json, is_number
from syncd.core.catalog import Catalog
from syncd.core.requests import SavedRequest
from syncd.store.statements import chunks
from syncd.store.tables import api_keys, balance_days, listings, model_versions
from syncd.store.types import Credits

# The first half of PostgreSQL's name for the lock on an account, next to a hash of its name. "acct" in ASCII.
ACCOUNT_LOCK: Final = 0x61636374

# An answer that ended before the last one of its account is overtaken, unless by so much that the clock was set back.
_SET_BACK: Final = timedelta(minutes=5)

# The days that say how fast it spends, the present one, and one more for when what is before them was seen.
_DAYS: Final = COMPLETE_DAYS + 2


@dataclass(frozen=True, slots=True)
class Sight:
    """What a good answer showed of a balance, and when. `catalog` is None where it lists the same as the one before.

    `requests` are all saved ones.
    """

    balance: Json
    at: datetime
    requests: tuple[SavedRequest, ...] = ()
    catalog: Catalog | None = None


def look_if_new(connection: Connection, key: Row[Any], sight: Sight) -> Wallet | None:
    """Write down the balance, and give the wallet with it.

    None where the answer states none, was overtaken, or shows what the key's row knows: then nothing is asked. Comes
    before conditions are read, because another key of the account could open the same one.
    """
    if not _is_amount(sight.balance) or not _is_new(connection, key, sight):
        return None
    _lock(connection, key.account)
    return _wallet(connection, key, sight) if observe(connection, key.account, sight.balance, sight.at) else None


def _is_amount(balance: Json) -> TypeGuard[Amount]:
    return is_number(balance) and abs(balance) < Credits.MOST


def _is_new(connection: Connection, key: Row[Any], sight: Sight) -> bool:
    """Another balance, another day, or another catalogue, which a restart makes of every one."""
    another_day = key.observed_at is None or _day(key.observed_at) != _day(sight.at)
    known = None if key.credits_balance is None else _exact(key.credits_balance)
    return another_day or sight.catalog is not None or known != _as_stored(connection, sight.balance)


def _lock(connection: Connection, account: str) -> None:
    """One look at a wallet at a time: what was spent is a difference. SQLite has one writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(ACCOUNT_LOCK, func.hashtext(account))))


# --- a day's row ---------------------------------------------------------------------------------------------------

_LATEST: Final = (
    select(balance_days)
    .where(balance_days.c.account == bindparam("account"))
    .order_by(balance_days.c.day.desc())
    .limit(bindparam("most"))
)


# Built once, because every poll whose balance moved runs it.
_CONTINUE: Final = (
    update(balance_days)
    .where(balance_days.c.account == bindparam("its_account"), balance_days.c.day == bindparam("its_day"))
    .values({name: bindparam(f"new_{name}") for name in ("last", "min", "max", "spent", "last_at")})
)


def observe(connection: Connection, account: str, balance: Amount, at: datetime) -> bool:
    """Add the balance to its day, unless a later one is there. What it fell by since it was seen last was spent."""
    row = connection.execute(_LATEST, {"account": account, "most": 1}).one_or_none()
    now = _as_stored(connection, balance)
    if row is None:
        _begin(connection, account, now, Decimal(0), at)
        return True
    if row.last_at is not None and row.last_at - _SET_BACK < at < row.last_at:
        return False
    spent = max(Decimal(0), _exact(row.last) - now)
    # With the clock set back, the day is the one that it was.
    if _day(at) > row.day:
        _begin(connection, account, now, spent, at)
    elif now != _exact(row.last):
        _continue(connection, row, now, spent, at)
    return True


def _begin(connection: Connection, account: str, now: Decimal, spent: Decimal, at: datetime) -> None:
    ends = {"first": now, "last": now, "min": now, "max": now}
    row = {"account": account, "day": _day(at), **ends, "spent": spent, "first_at": at, "last_at": at}
    connection.execute(insert(balance_days).values(row))


def _continue(connection: Connection, row: Row[Any], now: Decimal, spent: Decimal, at: datetime) -> None:
    values = {
        "new_last": now,
        "new_min": min(_exact(row.min), now),
        "new_max": max(_exact(row.max), now),
        "new_spent": _exact(row.spent) + spent,
        "new_last_at": at,
    }
    connection.execute(_CONTINUE, {"its_account": row.account, "its_day": row.day, **values})


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _as_stored(connection: Connection, balance: Amount) -> Decimal:
    """As it will be read again: on SQLite a fraction is a double, and what that cuts off was not spent."""
    if connection.dialect.name == "sqlite" and balance != int(balance):
        return Decimal(repr(float(balance)))
    return Decimal(balance)


def _exact(stored: float | Amount) -> Decimal:
    return Decimal(repr(stored)) if isinstance(stored, float) else Decimal(stored)


# --- the wallet ----------------------------------------------------------------------------------------------------


def _wallet(connection: Connection, key: Row[Any], sight: Sight) -> Wallet:
    """As it is after this answer; what saved requests cost is the key's own."""
    days = connection.execute(_LATEST, {"account": key.account, "most": _DAYS}).all()
    theirs = [one for one in sight.requests if one.model and one.is_for(key.name)]
    slugs = {one.model for one in theirs}
    listed = sight.catalog
    costs = prices(connection, key.id, slugs) if listed is None else cheapest_calls(listed.models, slugs)
    return Wallet(
        account=key.account,
        balance=plain(_as_stored(connection, sight.balance)),
        days=_days(days),
        since=_since(days),
        at=sight.at,
        cheapest=dearest(theirs, key.name, costs),
    )


def stored(connection: Connection, account: str) -> Wallet | None:
    """The wallet as it was seen last; None if it never was."""
    days = connection.execute(_LATEST, {"account": account, "most": _DAYS}).all()
    if not days:
        return None
    last = days[0]
    return Wallet(account, plain(_exact(last.last)), _days(days), _since(days), last.last_at)


def wallets(connection: Connection) -> list[Wallet]:
    """Those of the accounts that the configuration names, as they were seen last."""
    named = select(api_keys.c.account).where(api_keys.c.retired_at.is_(None)).distinct().order_by(api_keys.c.account)
    found = (stored(connection, account) for account in connection.scalars(named).all())
    return [one for one in found if one is not None]


def prices(connection: Connection, key: int, slugs: Iterable[str]) -> dict[str, Amount]:
    """What a call of each of these models costs the key at least, as far as it lists them with a price."""
    found: dict[str, Amount] = {}
    for part in chunks(sorted(slugs)):
        query = (
            select(listings.c.slug, model_versions.c.credits_min, model_versions.c.credits_max)
            .join(model_versions, model_versions.c.id == listings.c.version_id)
            .where(listings.c.key_id == key, listings.c.slug.in_(part), listings.c.valid_to.is_(None))
            .where(model_versions.c.credits_min.is_not(None))
        )
        for row in connection.execute(query):
            # A minimum above its maximum is no price.
            if row.credits_max is None or row.credits_min <= row.credits_max:
                found[row.slug] = plain(_exact(row.credits_min))
    return found


def _days(rows: Iterable[Row[Any]]) -> tuple[Day, ...]:
    found = [Day(date.fromisoformat(row.day), plain(_exact(row.spent))) for row in rows]
    return tuple(reversed(found))


def _since(days: Sequence[Row[Any]]) -> datetime | None:
    """When an account that is new was seen first. Later whole days say how fast it spends."""
    return days[-1].first_at if days and len(days) <= _NEW else None


# Of so many days the first is incomplete, and so is the last.
_NEW: Final = 2
