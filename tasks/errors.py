"""The one kind of failure that a user reads as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: the message says what is wrong and what to do next."""
