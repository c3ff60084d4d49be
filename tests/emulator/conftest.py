"""Left out of plain `pytest`: `make test-slack` runs what is here.

It needs programs from the npm registry, which `make test` must not need: whoever has Python and a package index can run
that. A marker would not do: it would have to be deselected in the options of every run, and `-m` given by hand replaces
that. So the folder is collected only where it, or a file in it, is named on the command line. There nothing is skipped:
what is missing fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.npm import Emulator

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore the folder unless it was asked for by its name. (None: as pytest would do without us.)"""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("emulator") / "log") as started:
        yield started
