"""The tables of the file. A setting is known if and only if it stands here; docs/configuration.md describes each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from syncd.config import fields
from syncd.config.destinations import template
from syncd.core.rules import Severity
from syncd.core.slots import Slots

Name = Annotated[str, AfterValidator(fields.name)]
Interval = Annotated[timedelta, PlainValidator(fields.interval)]
BaseUrl = Annotated[str, PlainValidator(fields.base_url)]
Globs = list[Annotated[str, Field(min_length=1)]]
Matcher = Annotated[Globs, Field(min_length=1)]
Labels = dict[str, str]


class Table(BaseModel):
    """Nothing unknown, nothing converted."""

    # hide_input_in_errors: no text of pydantic is shown, but should one ever be, it must not quote a secret.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class DatabaseTable(Table):
    """[database]."""

    url: str
    auto_migrate: bool


class VendorTable(Table):
    """[vendor]."""

    base_url: BaseUrl
    timeout: Annotated[timedelta, PlainValidator(fields.timeout)]
    max_response: Annotated[int, PlainValidator(fields.response_size)]


class ScheduleTable(Table):
    """[schedule]."""

    interval: Interval
    max_concurrent: Annotated[int, Field(ge=1, le=32)]


class SlackTable(Table):
    """[slack]."""

    token: str | None
    api_url: Annotated[str, PlainValidator(fields.api_url)]


class ConfirmTable(Table):
    """confirm_removal of [detection]."""

    polls: Annotated[int, PlainValidator(fields.confirming_polls)]
    after: Annotated[timedelta, PlainValidator(fields.confirming_time)]


class DropTable(Table):
    """suspicious_drop of [detection]."""

    share: Annotated[Decimal, PlainValidator(fields.share)]
    count: Annotated[int, PlainValidator(fields.drop_count)]


class DetectionTable(Table):
    """[detection]."""

    confirm_removal: ConfirmTable
    suspicious_drop: DropTable
    remind: Annotated[timedelta | None, PlainValidator(fields.remind)]


class CreditsTable(Table):
    """[credits]."""

    low: Annotated[Decimal, PlainValidator(fields.credits)] | None
    runway: Annotated[timedelta, PlainValidator(fields.runway)] | None


class RulesTable(Table):
    """[rules]."""

    record_only: Globs
    unknown_params: Literal["reject", "ignore"]
    required_with_default: Literal["breaking", "risky"]


class KeyTable(Table):
    """One of [[keys]]. What it leaves out it takes from [vendor], [schedule] and its own name."""

    name: Name
    secret: str
    account: Name | None = None
    interval: Interval | None = None
    base_url: BaseUrl | None = None
    labels: Labels = Field(default_factory=dict)
    formerly: list[Name] = Field(default_factory=list)


class KeyFolderTable(Table):
    """One of [[key_folders]]: a folder of files, each of which is a key."""

    path: Annotated[str, AfterValidator(fields.folder)]


class RouteTable(Table):
    """One of [[routes]]. A matcher that is left out matches everything."""

    name: Annotated[str, AfterValidator(fields.free_name)]
    to: Annotated[str, AfterValidator(template)]
    kinds: Matcher | None = None
    keys: Matcher | None = None
    labels: Annotated[Labels, Field(min_length=1)] | None = None
    models: Matcher | None = None
    categories: Matcher | None = None
    min_severity: Severity | None = None
    min_percent: Annotated[Decimal, PlainValidator(fields.percent)] | None = None
    mention: Annotated[str, PlainValidator(fields.mention)] | None = None
    group_wait: Annotated[timedelta, PlainValidator(fields.group_wait)] = timedelta(0)
    digest: Annotated[Slots | None, PlainValidator(fields.digest)] = None
    summary: Annotated[Slots | None, PlainValidator(fields.summary)] = None


class RequestTable(Table):
    """One of [[requests]]: a body that is really sent, here or in a file of its own."""

    name: Annotated[str, AfterValidator(fields.free_name)]
    file: str | None = None
    body: dict[str, Any] | None = None
    keys: Matcher | None = None


class File(Table):
    """The whole file."""

    database: DatabaseTable
    vendor: VendorTable
    schedule: ScheduleTable
    slack: SlackTable
    detection: DetectionTable
    credits: CreditsTable
    rules: RulesTable
    keys: list[KeyTable]
    key_folders: list[KeyFolderTable]
    routes: list[RouteTable]
    requests: list[RequestTable]


# What stands in a file that says nothing, in the file's own words.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "database": {"url": "sqlite:///syncd.db", "auto_migrate": True},
    "vendor": {"base_url": "https://getvivix.com", "timeout": "20s", "max_response": "16MiB"},
    "schedule": {"interval": "15m", "max_concurrent": 16},
    "slack": {"token": None, "api_url": "https://slack.com/api/"},
    "detection": {
        "confirm_removal": {"polls": 2, "after": "30m"},
        "suspicious_drop": {"share": Decimal("0.2"), "count": 5},
        "remind": "24h",
    },
    "credits": {"low": None, "runway": None},
    "rules": {"record_only": [], "unknown_params": "reject", "required_with_default": "breaking"},
}


def settings() -> dict[str, tuple[str, ...]]:
    """Every table this version knows and the settings in it; the documentation is tested against it."""
    return {table: members(table) for table in File.model_fields}


def members(*path: str) -> tuple[str, ...]:
    """What is known inside this table: a table of the file, or one that is the value of a setting there."""
    table: type[BaseModel] = File
    for name in path:
        annotation = table.model_fields[name].annotation
        # Of list[KeyTable] the KeyTable.
        table = (*get_args(annotation), annotation)[0]
    return tuple(table.model_fields)
