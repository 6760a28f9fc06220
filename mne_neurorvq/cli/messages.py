# License: BSD-3-Clause
"""What the command line says when something is wrong."""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """Bring the message of an error onto one line.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    str
        Its message, or its type if it has none.

    Examples
    --------
    >>> one_line(ValueError())
    'ValueError'
    """
    return " ".join(str(error).split()) or type(error).__name__
