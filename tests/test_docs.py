"""What the docs say exists, exists: views and their columns, commands, links, and every query shown runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_group

from syncd.cli import app
from syncd.store import Store, queries
from tests.changes_page import page as changes_page

ROOT = Path(__file__).parents[1]
SQL_DOC = (ROOT / "docs" / "sql.md").read_text("utf-8")


def documented_views() -> dict[str, list[str]]:
    """Each view of docs/sql.md with the columns its table names; `as in` rows name them all."""
    views = {}
    for section in SQL_DOC.split("\n## ")[1:]:
        name, _, rest = section.partition("\n")
        cells = re.findall(r"^\| (`[^|]*) \|", rest, flags=re.MULTILINE)
        if cells:
            views[name.strip()] = [column for cell in cells for column in re.findall(r"`(\w+)`", cell)]
    return views


def shown_queries() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", SQL_DOC, flags=re.DOTALL)


@pytest.fixture
def store(migrated_url):
    store = Store(migrated_url)
    yield store
    store.close()


@pytest.mark.parametrize("view", documented_views())
def test_each_view_has_the_columns_its_doc_names(store, view):
    with store.read() as connection:
        found = queries.sql(connection, f"SELECT * FROM {view}").columns
    assert sorted(documented_views()[view]) == sorted(found)


def test_every_view_is_documented(store):
    with store.read() as connection:
        catalogue = (
            "SELECT name FROM sqlite_master WHERE type = 'view'"
            if connection.dialect.name == "sqlite"
            else "SELECT viewname FROM pg_views WHERE schemaname = 'public'"
        )
        views = {row[0] for row in queries.sql(connection, catalogue).rows}
    assert views == set(documented_views())


@pytest.mark.parametrize("query", shown_queries())
def test_each_query_of_the_sql_page_runs(store, query):
    with store.read() as connection:
        assert queries.sql(connection, query).columns


def test_the_readme_names_every_command_and_no_other():
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.split("| command |")[1].split("\n\n")[0]
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert sorted(named) == sorted(get_group(app).commands)  # those that are groups of commands included


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page):
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_page_of_kinds_is_the_program_s_own_table():
    assert (ROOT / "docs" / "changes.md").read_text("utf-8") == changes_page()
