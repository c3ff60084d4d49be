"""Where the configuration file is, and reading a file without trusting it to be one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from syncd.config.problems import Refused
from syncd.errors import ConfigError, Problem


def find(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The configuration file to read, or None where there is none. A file that was asked for by name must exist."""
    for place, asked in (("--config", explicit), ("$SYNCD_CONFIG", environ.get("SYNCD_CONFIG") or None)):
        if asked is None:
            continue
        if not asked:
            raise ConfigError("configuration", (Problem(place, "names no file", f"give a path after {place}"),))
        path = cwd / asked
        if not _is_there(path):
            raise ConfigError(str(path), (Problem(place, "there is no such file", "check the path"),))
        return path
    return next((path for path in usual_places(environ, cwd) if _is_there(path)), None)


def usual_places(environ: Mapping[str, str], cwd: Path) -> list[Path]:
    """Where the file is looked for when nobody names one, first things first."""
    places = [cwd / "config.toml"]
    # The XDG specification: a relative path in the variable is ignored, and ~/.config stands in for a missing one.
    xdg = environ.get("XDG_CONFIG_HOME", "")
    if Path(xdg).is_absolute():
        places.append(Path(xdg) / "syncd" / "config.toml")
    elif home := environ.get("HOME"):
        places.append(Path(home) / ".config" / "syncd" / "config.toml")
    return [*places, Path("/etc/syncd/config.toml")]


def _is_there(path: Path) -> bool:
    """Whether anything stands at `path`: a file that cannot be read or a broken link is told later, not passed over."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def content(path: Path, limit: int) -> bytes:
    """What the file holds. Raises `Refused` if it cannot be read or is longer than `limit`, as a device may be."""
    try:
        with path.open("rb") as file:
            read = file.read(limit + 1)
    except FileNotFoundError:
        raise Refused(f"there is no file {path}", "check the path") from None
    except IsADirectoryError:
        raise Refused(f"{path} is a directory", "name the file inside it") from None
    except PermissionError:
        raise Refused(
            f"{path} may not be read by this user", "change its owner or mode, or run as another user"
        ) from None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", "check the path") from None
    if len(read) > limit:
        raise Refused(f"{path} is larger than {limit} bytes", "check that it is the right file")
    return read
