# License: BSD-3-Clause
"""What training asks of a corpus, wherever its windows lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Window:
    """A window of a recording.

    Attributes
    ----------
    id : str
        Recording and first patch, such as ``"S001R04-1f0c:24"``: the same in every run.
    subject : str
        Whose it is.
    data : ndarray of float32, shape (n_channels, n_times)
        Signal in the model's unit and rate, a whole number of patches.
    rows : ndarray of int64, shape (n_channels,)
        Vocabulary rows.
    """

    id: str
    subject: str
    data: NDArray[np.float32]
    rows: NDArray[np.int64]


class Corpus(Protocol):
    """Windows of any size, by number; what is known of them without reading any."""

    @property
    def n_channels(self) -> NDArray[Any]:
        """Channels of each window, shape (n_windows,)."""

    @property
    def n_patches(self) -> NDArray[Any]:
        """Length of each window in patches, shape (n_windows,)."""

    @property
    def subjects(self) -> Sequence[str]:
        """Whose each window is."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Window: ...
