"""The failures that a user reads as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: the message says what is wrong and what to do next."""


class RetryableError(UserError):
    """A failure that may pass by itself, such as a network that did not answer: worth another try."""
