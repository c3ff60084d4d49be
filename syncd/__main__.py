"""`syncd` and `python -m syncd`: run a command, and turn every failure into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Exit 0 fine, 1 the answer is no, 2 the command could not do its work."""
    from syncd.cli import app
    from syncd.cli.common import one_line
    from syncd.errors import SyncdError

    debug = "--debug" in sys.argv
    try:
        app(prog_name="syncd")
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain while it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except SyncdError as error:
        if debug:
            raise
        sys.stderr.write(one_line(error) + "\n")
    except Exception as error:  # noqa: BLE001 - the last resort: people get a line, not a traceback
        if debug:
            raise
        sys.stderr.write(f"syncd: {type(error).__name__}: {error}; this is a bug: run it again with --debug and report what it says\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
