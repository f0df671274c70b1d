"""The one exception that means: the request was wrong, not the program."""


class RequestError(ValueError):
    """Says what was asked, what was found and what to do, in one sentence or two.

    The command line prints the message without a traceback and ends with exit status 2.
    """
