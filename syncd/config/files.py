"""Where the configuration file is, and reading a file without trusting it to be one."""

from __future__ import annotations

import os
import stat
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
    """What the file, or a pipe of the shell, holds. Raises `Refused` if it cannot be read or is longer than `limit`."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not _is_read(path, os.fstat(file.fileno()).st_mode):
                raise Refused(f"{path} is no regular file", "name a file; a pipe or a device may never come to an end")
            os.set_blocking(file.fileno(), True)
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


def _without_waiting(path: str, flags: int) -> int:
    """Opening a named pipe waits for somebody to write to it, which may be never."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_read(path: Path, mode: int) -> bool:
    """A file, or what the shell puts in place of `<(…)`: a pipe without a name of its own, which ends with its writer.

    Linux resolves it to /proc/…/fd/pipe:[…]; others have a device for each descriptor.
    """
    if stat.S_ISREG(mode):
        return True
    return stat.S_ISFIFO(mode) and os.path.realpath(path).startswith(("/proc/", "/dev/fd/"))
