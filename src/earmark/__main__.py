"""The `earmark` command; torchrun needs the form `python -m earmark`."""

import os
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback while it is imported, too.

    Raises:
        SystemExit: the exit status is not 0; `earmark.cli.errors` lists them.
    """
    try:
        from earmark.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


def main_of_torchrun() -> NoReturn:
    """Run the command as one of several processes, and leave without Python's shutdown.

    During the shutdown, Python before 3.14 ends every thread that waits for the interpreter. If that is a thread of
    PyTorch, the process is aborted: "terminate called without an active exception".
    """
    status: int | str | None = 0
    try:
        main()
    except SystemExit as error:
        status = error.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))


if __name__ == "__main__":
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        main_of_torchrun()
    main()
