"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, final

from sqlalchemy import BigInteger, DateTime, Integer, Numeric, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_FORMAT = "%Y-%m-%d %H:%M:%S.%f"

# SQLite makes only an INTEGER primary key an alias of the row id.
RowId = BigInteger().with_variant(Integer, "sqlite")


@final
class Utc(TypeDecorator[datetime]):
    """A moment in UTC. On SQLite text of one fixed form, so that text order is time order and `datetime()` compares."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, `timestamptz` elsewhere."""
        return dialect.type_descriptor(String(26) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """Only aware datetimes come in: a naive one would be read as the server's local time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        moment = value.astimezone(UTC)
        return moment.strftime(_FORMAT) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware, in UTC, whatever the server's time zone."""
        if isinstance(value, str):
            return datetime.strptime(value, _FORMAT).replace(tzinfo=UTC)
        return None if value is None else value.astimezone(UTC)


@final
class Credits(TypeDecorator[Decimal | int]):
    """An amount of credits: exact on PostgreSQL, an integer or a double on SQLite, which has no decimal type."""

    impl = Numeric
    cache_ok = True

    # Beyond this SQLite's double would be wrong by whole credits; such a price stands in the model's text only.
    MOST = 10**15

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """`numeric` on both; without SQLAlchemy's conversion on SQLite, which would warn and round."""
        return dialect.type_descriptor(Numeric(asdecimal=False) if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Decimal | int | float | None:
        """Absurd amounts become null."""
        if value is None or not -self.MOST < value < self.MOST:
            return None
        if dialect.name == "sqlite":
            return int(value) if value == int(value) else float(value)
        return Decimal(value)
