"""Keys in folders: each file is a key, every slip is told at its path, and nothing of a file is quoted."""

from __future__ import annotations

import dataclasses
import os
from datetime import timedelta
from pathlib import Path

import pytest

from syncd import config
from syncd.config import Key
from syncd.core.secret import Secret
from syncd.errors import ConfigError, Problem
from tests.test_config import (
    MARK,
    MARKED_KEY,
    ONE_KEY,
    ONE_ROUTE,
    SLACK,
    WITH_SLACK,
    cwd,
    folder,
    loaded,
    only_problem_of,
    problems_of,
    shown_by,
)

__all__ = ["cwd", "folder"]

FOLDER = '[[key_folders]]\npath = "keys.d"\n'


@pytest.fixture
def keys(folder: Path) -> Path:
    """The folder of keys, beside the configuration."""
    path = folder / "keys.d"
    path.mkdir()
    return path


def a_key(number: int) -> str:
    return f"vvx_live_{number:032}"


# --- what it means -------------------------------------------------------------------------------------------------


def test_each_file_in_a_folder_is_a_key(folder: Path, keys: Path) -> None:
    (keys / "acme").write_text(a_key(1) + "\n")
    (keys / "acme.toml").write_text(
        'account = "wallet-7"\ninterval = "5m"\nbase_url = "https://a.example"\nformerly = ["acme-inc"]\n'
        'labels = { tenant = "acme" }\n'
    )
    (keys / "eu:umbrella@2").write_text(a_key(2) + "\r\n")
    (keys / "eu:umbrella@2.toml").write_text("")

    first, second, third = loaded(folder, ONE_KEY + FOLDER).keys

    assert first.name == "prod"
    assert second == Key(
        name="acme",
        secret=Secret(a_key(1)),
        account="wallet-7",
        interval=timedelta(minutes=5),
        base_url="https://a.example",
        labels={"tenant": "acme"},
        formerly=("acme-inc",),
    )
    assert (third.name, third.account, third.secret) == ("eu:umbrella@2", "eu:umbrella@2", Secret(a_key(2)))
    assert third.interval == timedelta(minutes=15)


def test_a_folder_alone_is_enough_and_routes_reach_its_keys(folder: Path, keys: Path) -> None:
    (keys / "acme").write_text(a_key(1))
    (keys / "acme.toml").write_text("labels = { tenant = 'acme' }")
    route = '[[routes]]\nname = "tenants"\nto = "slack:#{labels.tenant}"\nkeys = ["ac*"]\n'

    assert [route.to for route in loaded(folder, FOLDER + SLACK + route, WITH_SLACK).routes] == ["slack:#acme"]


def test_a_folder_may_be_absolute_and_there_may_be_several(folder: Path, keys: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (keys / "acme").write_text(a_key(1))
    (more / "umbrella").write_text(a_key(2))

    found = loaded(folder, f'{FOLDER}[[key_folders]]\npath = "{more}"\n').keys

    assert [key.name for key in found] == ["acme", "umbrella"]


def test_what_is_hidden_and_what_editors_leave_is_passed_over(folder: Path, keys: Path) -> None:
    """As Kubernetes mounts secrets: the files are links into a hidden folder."""
    hidden = keys / "..2026_01_01"
    hidden.mkdir()
    (hidden / "acme").write_text(a_key(1))
    (keys / "..data").symlink_to(hidden)
    (keys / "acme").symlink_to(keys / "..data" / "acme")
    for name in (".acme.swp", "acme~", "acme.toml~", "acme.swp", "#acme#", ".gitignore", ".toml"):
        (keys / name).write_text("not a key")

    assert [key.name for key in loaded(folder, FOLDER).keys] == ["acme"]


def test_who_needs_no_secret_opens_no_file_of_a_key(folder: Path, keys: Path, cwd: Path) -> None:
    os.mkfifo(keys / "acme")
    (keys / "acme.toml").write_text("account = 'wallet'")
    (folder / "config.toml").write_text(FOLDER)

    (key,) = config.load(folder / "config.toml", {}, cwd, secrets=False).keys

    assert (key.name, key.account, key.secret) == ("acme", "wallet", Secret(""))


def test_thousands_of_keys_are_read(folder: Path, keys: Path) -> None:
    for number in range(3000):
        (keys / f"key-{number}").write_text(a_key(number))

    found = loaded(folder, FOLDER + ONE_ROUTE).keys

    assert len({key.secret for key in found}) == 3000


# --- what is wrong with it -----------------------------------------------------------------------------------------


def problem_in(folder: Path, text: str = FOLDER) -> Problem:
    """The only problem, whose place is in the folder of keys."""
    problem = only_problem_of(folder, text)
    assert problem.place.startswith(f"{folder / 'keys.d'}/"), problem
    assert problem.hint
    return dataclasses.replace(problem, place=problem.place.removeprefix(f"{folder / 'keys.d'}/"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("acme", "", "is empty"),
        ("acme", "secret", "is not a Vivix key"),
        ("acme", "vvx_live_a b", "holds white space"),
        ("acme", "vvx_live_" + "a" * 70_000, "is larger than"),
        ("a b", a_key(1), "is not a name"),
        ("a" * 65, a_key(1), "is not a name"),
        ("a\x1bb", a_key(1), "is not a name"),
        ("acme.bak", a_key(1), "looks like the copy of a key's file"),
        ("acme.rpmsave", a_key(1), "looks like the copy of a key's file"),
        ("acme.toml", "", "tells of a key that has no file"),
    ],
)
def test_a_file_that_is_no_key_is_a_problem_at_its_path(
    folder: Path, keys: Path, name: str, content: str, message: str
) -> None:
    (keys / "good").write_text(a_key(9))
    (keys / name).write_text(content)

    problem = problem_in(folder)

    assert problem.place == name.replace("\x1b", "")
    assert problem.message.startswith(message)
    assert str(keys) not in problem.message


def test_a_file_whose_name_is_no_text_is_a_problem_that_can_be_printed(folder: Path, keys: Path) -> None:
    (keys / "good").write_text(a_key(9))
    Path(os.fsdecode(os.fsencode(keys) + b"/a\xff")).write_text(a_key(1))

    assert str(problem_in(folder)).encode()


def test_what_is_no_file_is_a_problem_and_not_waited_for(folder: Path, keys: Path) -> None:
    def found() -> tuple[str, str]:
        problem = problem_in(folder)
        return problem.place, problem.message

    (keys / "good").write_text(a_key(9))
    os.mkfifo(keys / "acme")
    assert found() == ("acme", "is no regular file")
    (keys / "acme").unlink()
    (keys / "acme").symlink_to("/dev/zero")
    assert found() == ("acme", "is no regular file")
    (keys / "acme").unlink()
    (keys / "acme").symlink_to("gone")
    assert found() == ("acme", f"there is no file {keys / 'acme'}")
    (keys / "acme").unlink()
    (keys / "acme").mkdir()
    assert found() == ("acme", "is a directory")
    (keys / "acme").rmdir()
    (keys / "acme").write_text(a_key(1))
    os.mkfifo(keys / "acme.toml")
    assert found() == ("acme.toml", "is no regular file")


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        ("colour = 1", ": colour", "unknown setting"),
        ("interval = '1ms'", ": interval", "is out of range"),
        ("labels = { a = 1 }", ": labels.a", "must be text"),
        ("formerly = ['acme']", ": formerly", "holds the name it has now"),
        ("formerly = ['a b']", ": formerly[0]", "is not a name"),
        ("name = 'b'", ": name", "does not belong here"),
        ("secret = 'env:KEY'", ": secret", "does not belong here"),
        ("a = \n", ": line 1, column 5", "TOML syntax"),
        ("[[keys]]", ": keys", "unknown setting"),
        (f"account = '{a_key(5)}'", ": account", "a literal secret is refused"),
        (b"\xff", ": line 1", "is not UTF-8"),
    ],
)
def test_settings_beside_a_key_are_judged_as_those_of_the_configuration(
    folder: Path, keys: Path, content: str | bytes, place: str, message: str
) -> None:
    (keys / "acme").write_text(a_key(1))
    (keys / "acme.toml").write_bytes(content if isinstance(content, bytes) else content.encode())

    problem = problem_in(folder)

    assert problem.place == "acme.toml" + place
    assert problem.message.startswith(message)
    assert a_key(5) not in str(problem)


def test_a_name_or_a_secret_that_is_given_twice_names_both_places(folder: Path, keys: Path) -> None:
    (keys / "prod").write_text(a_key(1))
    assert problem_in(folder, ONE_KEY + FOLDER).message == "is the name of keys[0] too"
    (keys / "prod").rename(keys / "acme")
    (keys / "umbrella").write_text(a_key(1))
    problem = problem_in(folder)
    assert (problem.place, problem.message) == ("umbrella", f"is the secret of {keys / 'acme'} too")


def test_a_folder_is_named_once(folder: Path, keys: Path) -> None:
    (keys / "acme").write_text(a_key(1))
    problem = only_problem_of(folder, f'{FOLDER}[[key_folders]]\npath = "./keys.d/"\n')
    assert (problem.place, problem.message) == ("key_folders[1].path", "is the path of key_folders[0] too")


def test_a_folder_without_keys_or_that_is_none_is_a_problem(folder: Path, keys: Path) -> None:
    problem = only_problem_of(folder, FOLDER)
    assert (problem.message, problem.hint) == ("there is no key to watch", "put a file into the folder for each")
    keys.rmdir()
    assert only_problem_of(folder, FOLDER).message == f"there is no folder {keys}"
    keys.write_text(a_key(1))
    assert only_problem_of(folder, FOLDER).message == f"{keys} is no folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_of_somebody_else_is_told(folder: Path, keys: Path) -> None:
    keys.chmod(0)
    assert "may not be listed by this user" in only_problem_of(folder, FOLDER).message


def test_every_problem_of_a_folder_is_told_at_once(folder: Path, keys: Path) -> None:
    for name, content in {"a": "", "b": "no key", "c.bak": "", "d.toml": "", "e": a_key(1), "e.toml": "x = 1"}.items():
        (keys / name).write_text(content)
    (keys / "f").mkdir()

    places = {problem.place for problem in problems_of(folder, FOLDER)}

    assert places == {f"{keys}/{name}" for name in ("a", "b", "c.bak", "d.toml", "e.toml: x", "f")}


def test_nothing_of_a_file_is_quoted(folder: Path, keys: Path) -> None:
    for number, content in enumerate([f"{MARK} x", f"xoxb-{MARK}", f"{MARKED_KEY}\n{MARKED_KEY}", f"'{MARKED_KEY}'"]):
        (keys / f"key-{number}").write_text(content)
        (keys / f"key-{number}.toml").write_text(f"{MARK} = [{content}")

    with pytest.raises(ConfigError) as caught:
        loaded(folder, FOLDER)

    assert len(caught.value.problems) == 8
    assert MARK not in shown_by(caught.value)
