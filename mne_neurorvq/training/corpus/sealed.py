# License: BSD-3-Clause
"""The sealed JSON of a corpus is read, or refused with what to do."""

from __future__ import annotations

import json
from typing import Any

from ..._sealed import DIGEST, is_whole

#: Version of the layout of corpora. Before the second one they had no checksums.
FORMAT = 2


def unseal(text: str | bytes, where: str, remedy: str) -> dict[str, Any]:
    """Read content that was sealed.

    Parameters
    ----------
    text : str or bytes
        JSON.
    where : str
        Its file, and its line where there are several.
    remedy : str
        What to do if it is damaged.

    Returns
    -------
    dict
        Content.

    Raises
    ------
    ValueError
        If it is not what was written, or was written by another version.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is damaged ({error}): {remedy}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where} is damaged (it holds no settings of a corpus): {remedy}")
    _check_format(content.get("format", FORMAT if DIGEST in content else 1), where)
    if not is_whole(content):
        raise ValueError(f"{where} is damaged or was changed by hand: {remedy}")
    del content[DIGEST]
    return content


def _check_format(found: object, where: str) -> None:
    if found == 1:
        raise ValueError(
            f"{where} belongs to a corpus of an earlier version, without checksums: lost data "
            "would be read as signals. Prepare it again in a new folder: "
            "'mne-neurorvq prepare SOURCE... -o NEW_FOLDER'."
        )
    if isinstance(found, int) and found > FORMAT:
        raise ValueError(
            f"{where} has format {found}, and this release of mne_neurorvq reads format {FORMAT}: "
            "update mne_neurorvq."
        )
