"""What people install: the wheel, built from the sdist, in an environment that has no source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncd import __version__

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class Installed:
    """A clean environment with the wheel in it."""

    folder: Path

    def run(self, *command: str, cwd: Path, **environment: str) -> str:
        result = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=cwd,
            env={"PATH": os.defpath, "HOME": str(cwd), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both archives. `build` makes the wheel from the sdist, so the sdist is complete if there is one."""
    dist = tmp_path_factory.mktemp("dist")
    run_here("build", "--no-isolation", "--outdir", str(dist), str(ROOT))
    (sdist,) = dist.glob("*.tar.gz")
    (wheel,) = dist.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Nothing is downloaded: the libraries are this environment's, added by a path file.

    Path files inside an added folder are not read, so the link to our source tree that lies there has no effect.
    """
    folder = tmp_path_factory.mktemp("clean") / "environment"
    venv.create(folder, symlinks=True)
    run_here("pip", "--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(built.wheel))
    (packages,) = folder.glob("lib/python3*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in sorted(libraries)))
    return Installed(folder)


def test_the_wheel_holds_the_package_and_the_migrations_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = source_files("syncd") | {f"syncd/{name}" for name in source_files("migrations")}
    assert names == expected


def test_the_wheel_holds_what_a_database_is_made_from(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
    assert "syncd/migrations/env.py" in names
    assert [name for name in names if name.startswith("syncd/migrations/versions/") and name.endswith(".py")]
    # The views: one file per view and dialect, wherever in the package they are kept.
    assert [name for name in names if "/views/" in name and name.endswith(".sql")]


def test_the_sdist_can_be_tested_and_documents_itself(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "README.md", "systemd/syncd.service"):
        assert name in names
    assert source_files("tests") <= names
    assert source_files("docs") <= names


def test_the_wheel_runs_without_the_source_tree(installed: Installed, tmp_path: Path) -> None:
    program = "import importlib.metadata, syncd; print(importlib.metadata.version('syncd'), syncd.__file__)"
    version, _, file = installed.run("python", "-c", program, cwd=tmp_path).strip().partition(" ")
    assert version == __version__
    assert Path(file).is_relative_to(installed.folder)


def test_the_wheel_has_the_command(installed: Installed, tmp_path: Path) -> None:
    assert "migrate" in installed.run("syncd", "--help", cwd=tmp_path)


def test_the_wheel_makes_a_database_and_answers_from_it(installed: Installed, tmp_path: Path) -> None:
    environment = {"SYNCD_DATABASE_URL": f"sqlite:///{tmp_path / 'history.db'}", "VIVIX_KEY": "vvx_not_a_real_key"}
    installed.run("syncd", "migrate", cwd=tmp_path, **environment)
    query = "select count(*) as models from current_models"
    assert "0" in installed.run("syncd", "sql", query, cwd=tmp_path, **environment)


def run_here(module: str, *arguments: str) -> None:
    """Run a tool of this environment; what it printed is shown only if it failed."""
    result = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{module} failed:\n{result.stdout}{result.stderr}"


def source_files(folder: str) -> set[str]:
    """Every file below a folder of the repository, relative to the repository."""
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}
