"""The table: of each scenario what was observed, and how little of it anybody was told."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from syncd.store import schema
from tests.conftest import sqlite_url
from tests.simulator.scenarios import SCENARIOS, Scenario
from tests.simulator.world import Counts, counts, simulate

DESTINATIONS = ("slack:#all", "slack:#oncall", "slack:#finance", "slack:#beta")


def main(word: str = "") -> None:
    """Play every scenario whose name has the word in it, and print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("scenario", no_wrap=True)
    for name in ("polls", "observed", "announced", "retracted", "held", "recorded", "conditions", "messages"):
        table.add_column(name, justify="right")
    table.add_column("to #all, #oncall, #finance, #beta")
    for scenario in SCENARIOS:
        if word in scenario.name:
            table.add_row(*_line(scenario, play(scenario)))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def play(scenario: Scenario) -> Counts:
    """What comes of it, on a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        url = sqlite_url(Path(folder) / "history.db")
        schema.migrate(url)
        parts = simulate(url, scenario.history, scenario.settings)
        try:
            return counts(parts)
        finally:
            parts.stop()


def _line(scenario: Scenario, of: Counts) -> tuple[str, ...]:
    numbers = (len(scenario.history), of.observed, of.announced, of.retracted, of.held, of.recorded)
    conditions = f"{of.opened} ({of.closed} closed)" if of.opened else "0"
    each = " ".join(str(of.messages.get(spec, 0)) for spec in DESTINATIONS)
    return (scenario.name, *map(str, numbers), conditions, str(sum(of.messages.values())), each)


if __name__ == "__main__":
    main(*sys.argv[1:2])
