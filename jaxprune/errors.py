"""The exceptions that mean: the request was wrong, not the program."""

import errno


class RequestError(ValueError):
    """Says what was asked, what was found and what to do, in one sentence or two.

    The command line prints the message without a traceback and ends with exit status 2.
    """


class MissingTokenizerError(RequestError):
    """A model comes without any tokenizer."""


def refusal(error: BaseException) -> RequestError | None:
    """Returns what an error of the operating system means where it lies in a name that was asked for; None elsewhere.

    Which names these are is not known beforehand: any file of a folder may be locked, and any folder above it.
    """
    if not isinstance(error, OSError) or error.filename is None:
        return None
    if error.errno == errno.ENAMETOOLONG:
        return RequestError(
            f"a name is longer than the file system allows: {error.filename}; give the name of a file or a folder."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return RequestError(
            f"{error.filename} is needed, and you may not use it ({error.strerror}); change its rights, or those of "
            "the folders above it, or name another."
        )
    return None
