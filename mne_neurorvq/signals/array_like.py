# License: BSD-3-Clause
"""Epochs that can be indexed like an array, so that scikit-learn splits them as fast as one."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from .trials import settled


class EpochsView:
    """Trials of Epochs that can be indexed like an array, see :func:`as_array_like`.

    Attributes
    ----------
    shape : tuple of int
        Trials, channels and samples; ``ndim`` is 3.
    info : mne.Info
        Channels, rate and filter settings.
    tmin : float
        Time of the first sample in seconds; ``times`` are those of all samples.
    events, event_id, metadata, selection, drop_log, baseline : object
        As in :class:`mne.Epochs`, of the trials chosen.
    """

    ndim = 3

    def __init__(self, epochs: mne.BaseEpochs, chosen: NDArray[np.intp] | None = None) -> None:
        self._epochs = epochs
        #: Indices of the trials in the Epochs; None stands for all of them.
        self._chosen = chosen
        self.info: mne.Info = epochs.info
        self.tmin = float(epochs.tmin)
        self.times: NDArray[np.float64] = epochs.times
        self.baseline: tuple[float | None, float | None] | None = epochs.baseline
        self.events: NDArray[np.integer] = epochs.events
        self.event_id: dict[str, int] = dict(epochs.event_id)
        self.metadata: Any = epochs.metadata
        self.selection: NDArray[np.integer] = epochs.selection
        self.drop_log: tuple[tuple[str, ...], ...] = epochs.drop_log
        if chosen is not None:  # what Epochs do when they are indexed
            self.events, self.selection = self.events[chosen], self.selection[chosen]
            present = set(self.events[:, 2].tolist())
            self.event_id = {name: code for name, code in self.event_id.items() if code in present}
            kept = set(self.selection.tolist())
            self.drop_log = tuple(
                why or (() if i in kept else ("IGNORED",)) for i, why in enumerate(self.drop_log)
            )
            if isinstance(self.metadata, list):  # where pandas is absent
                self.metadata = [self.metadata[index] for index in chosen]
            elif self.metadata is not None:
                self.metadata = self.metadata.iloc[chosen].set_index(self.selection)
        self.shape = len(self.events), len(self.info["ch_names"]), len(epochs.times)

    def to_epochs(self) -> mne.BaseEpochs:
        """Make Epochs of these trials.

        Returns
        -------
        mne.BaseEpochs
            The trials; loaded ones are copied.
        """
        return self._epochs.copy() if self._chosen is None else self._epochs[self._chosen]

    def read(self, start: int, stop: int, picks: list[int] | None = None) -> NDArray[Any]:
        """Read some trials.

        Parameters
        ----------
        start, stop : int
            The first trial, and one past the last.
        picks : list of int | None
            Indices of the channels; None stands for all.

        Returns
        -------
        ndarray, shape (stop - start, n_picks, n_times)
            Volts; may share memory with the Epochs.
        """
        item = slice(start, stop) if self._chosen is None else self._chosen[start:stop]
        data: NDArray[Any] = self._epochs.get_data(
            picks=picks, item=item, copy=False, verbose="error"
        )
        return data

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        trials, *others = key if isinstance(key, tuple) else (key,)
        if not all(other is Ellipsis or _is_whole(other) for other in others):
            raise IndexError(
                f"only trials can be chosen, not {key!r}: for channels and samples use "
                "epochs.pick and epochs.crop first, or np.asarray."
            )
        every = np.arange(len(self._epochs)) if self._chosen is None else self._chosen
        chosen = every[trials]
        if chosen.ndim == 0:
            index = int(chosen)
            return self._epochs.get_data(item=slice(index, index + 1), verbose="error")[0]
        if chosen.ndim > 1:
            raise IndexError(f"trials are chosen along one axis, not by {trials!r}.")
        return EpochsView(self._epochs, chosen)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("trials cannot become an array without a copy.")
        if not len(self):
            return np.empty(self.shape, dtype)
        return np.array(self.read(0, len(self)), dtype)

    def __repr__(self) -> str:
        n_trials, n_channels, n_times = self.shape
        return (
            f"<EpochsView | {n_trials} trials, {n_channels} channels, {n_times} samples at "
            f"{self.info['sfreq']:g} Hz>"
        )


def as_array_like(epochs: mne.BaseEpochs) -> EpochsView:
    """Let Epochs be indexed like an array.

    scikit-learn splits anything with a ``shape`` by indexing it, but Epochs into a list of
    one-trial Epochs, which takes seconds if there are many. Estimators of this package take the
    view wherever they take Epochs, with the same results.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        Epochs of any kind. If they are not loaded, the view reads on demand. Bad epochs are
        dropped, from a copy, which may read all of them once.

    Returns
    -------
    EpochsView
        View of shape (n_trials, n_channels, n_times). An integer gives the signals (n_channels,
        n_times) of a trial in volts; a slice, integers or booleans give another view, with
        channels, events and metadata. It shares the signals of the Epochs, and pickles.

    Raises
    ------
    TypeError
        If ``epochs`` are not Epochs.

    Examples
    --------
    >>> from sklearn.model_selection import train_test_split
    >>> from mne_neurorvq import as_array_like
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> X = as_array_like(simulate_epochs(n_subjects=4, n_trials=4, verbose=False))
    >>> X.shape
    (16, 19, 800)
    >>> train, test = train_test_split(X, test_size=4, random_state=0)
    >>> train
    <EpochsView | 12 trials, 19 channels, 800 samples at 200 Hz>
    """
    if isinstance(epochs, EpochsView):
        return epochs
    if not isinstance(epochs, mne.BaseEpochs):
        raise TypeError(
            f"epochs is {type(epochs).__name__}: mne.Epochs are needed; arrays need no view."
        )
    return EpochsView(settled(epochs))


def _is_whole(key: Any) -> bool:
    return isinstance(key, slice) and key == slice(None)
