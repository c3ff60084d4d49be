"""`syncd` and `python -m syncd`: run a command, and turn every failure into one line and an exit code."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import NoReturn

from syncd.cli import app
from syncd.cli.common import one_line
from syncd.errors import SyncdError


def main() -> NoReturn:
    """Exit 0 fine, 1 the answer is no, 2 the command could not do its work."""
    debug = "--debug" in sys.argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What the terminal cannot show is escaped; it is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="syncd")
    except BrokenPipeError:
        # The reader of our output has gone (`| head`) and wants no more of it.
        sys.exit(0)
    except SyncdError as error:
        if debug:
            raise
        sys.stderr.write(one_line(error) + "\n")
    except OSError as error:
        if debug:
            raise
        sys.stderr.write(f"syncd: the system refused: {error}\n")
    except Exception as error:
        if debug:
            raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        sys.stderr.write(f"syncd: {said}; this is a bug: run it again with --debug and report what it says\n")
    finally:
        _let_go_of_output()
    sys.exit(2)


def _let_go_of_output() -> None:
    """Python flushes once more at its end, and would complain of a reader who has gone or a full disk."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
