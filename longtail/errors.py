"""The one exception for input that the user can mend."""


class DataError(Exception):
    """Bad input: the message says what is wrong, in which file and row, and what to do."""
