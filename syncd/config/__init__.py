"""From a TOML file and the environment to one frozen `Config`, or to every problem at once.

    find      where the file is: --config · $SYNCD_CONFIG · the usual places                  files
    load      the file, or the environment alone
                 read       bytes -> tables; secrets that stand there in clear are taken out  document
                 folders    a table for each key that is a file of its own                    folders
                 defaults   what the file leaves out is filled in                             parse
                 parse      each setting by itself: is it known, its type, its range          parse, tables, fields
                 validate   what only the whole can tell: secrets, duplicates, where routes
                            lead, saved requests                   validate, routes, requests, secrets, database
              -> Config, plain values that nothing below needs pydantic for                   values

A setting that does not parse keeps a stand-in, so that `validate` can look at the others and one run names everything
that is to be mended (`problems`).

No value of the configuration is ever quoted in a message, because any of them may be a secret in the wrong place. What
is quoted are places: names of settings, keys, routes, variables and files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from syncd.config.document import read, without_file
from syncd.config.files import find
from syncd.config.folders import with_key_folders
from syncd.config.parse import parse, with_defaults
from syncd.config.problems import Problems
from syncd.config.tables import settings
from syncd.config.validate import validate
from syncd.config.values import Config, Database, Detection, Key, Rules, Schedule, Slack, Vendor

__all__ = [
    "Config",
    "Database",
    "Detection",
    "Key",
    "Rules",
    "Schedule",
    "Slack",
    "Vendor",
    "find",
    "load",
    "settings",
]


def load(
    path: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    *,
    known_kinds: Collection[str] = (),
    secrets: bool = True,
    requests: bool | None = None,
) -> Config:
    """The configuration in the file at `path`, or the one that the environment alone gives when `path` is None.

    `known_kinds` are the change kinds that globs are held against; without them `kinds` are taken as they stand.
    `secrets=False` is for who only reads the history: no secret is looked up, and every `Key.secret` is empty.
    `requests` says whether saved requests are read from their files; usually where secrets are. Who does not ask for
    them gets none, and a file that is gone is no problem then.
    Raises `ConfigError` with every problem.
    """
    cwd = cwd.absolute()
    document = without_file(environ, cwd, secrets=secrets) if path is None else read(cwd / path)
    document = with_key_folders(document)
    problems = Problems(document.tables, document.files)
    for fault in document.faults:
        problems.add(*fault)
    parsed = parse(with_defaults(document.tables), problems)
    return validate(
        parsed,
        document,
        problems,
        environ=environ,
        cwd=cwd,
        kinds=frozenset(known_kinds),
        secrets=secrets,
        requests=secrets if requests is None else requests,
    )
