"""Logging to standard error: one event per outcome, for people on a terminal, for a journal, or as JSON."""

from __future__ import annotations

import logging
import os
import sys

import structlog

from syncd.cli.common import LogFormat, LogLevel


def configure(level: LogLevel, form: LogFormat) -> None:
    """Set up structlog and quieten libraries: what matters of their work is logged by us, once."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    plain = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format=plain, force=True)
    for name in ("httpx", "httpcore", "apscheduler", "alembic", "sqlalchemy"):
        # Their lower levels hold URLs and headers.
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *_time(form),
            structlog.processors.format_exc_info,
            _renderer(form),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _time(form: LogFormat) -> list[structlog.typing.Processor]:
    # systemd's journal stamps each line itself.
    if form is LogFormat.auto and "JOURNAL_STREAM" in os.environ:
        return []
    return [structlog.processors.TimeStamper(fmt="iso" if form is LogFormat.json else "%Y-%m-%d %H:%M:%SZ", utc=True)]


def _renderer(form: LogFormat) -> structlog.typing.Processor:
    if form is LogFormat.json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ and form is LogFormat.auto
    return structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
