"""The command line, called as a shell calls it."""

from earmark.cli.main import main


def run(*argv: object) -> int:
    """The exit status of a command line."""
    try:
        main([str(a) for a in argv])
    except SystemExit as error:
        return error.code
    return 0
