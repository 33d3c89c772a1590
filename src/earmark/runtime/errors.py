"""The error that a user can fix."""


class EarmarkError(ValueError):
    """A mistake of the user: the message gives name, value and remedy, and the command line prints it as one line.

    Any other exception is a bug of earmark and keeps its traceback.
    """
