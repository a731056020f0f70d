"""The program ``ww``, which is ``python -m ww_core`` too: an interruption is as quiet while it is loaded as later."""

from __future__ import annotations

import sys


def main() -> int:
    """Load ``ww`` and run it on the process's arguments; return its exit code."""
    try:
        # Loading takes most of the time of a short command: where it is interrupted nothing else could catch it.
        from ww_core.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        import contextlib

        with contextlib.suppress(AttributeError, OSError):  # there may be no stderr
            sys.stderr.write("interrupted: nothing was begun\n")
        return 130


if __name__ == "__main__":
    code = main()
    # If Ctrl-C came in a text that a module executes, as dataclasses do, Python would end by the signal, not the code.
    exec("")  # noqa: S102 - it forgets that
    sys.exit(code)
