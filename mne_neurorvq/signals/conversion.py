# License: BSD-3-Clause
"""Converting what users hold to trials."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from .array_like import EpochsView
from .joining import check_rejection, join_trials
from .trials import COMPLEX, Trials, settled, trials_of_recording
from .units import unit_factor
from .windows import is_dataset, is_from, trials_of_dataset


def as_trials(
    X: Any,
    *,
    ch_names: Sequence[str] | None = None,
    sfreq: float | None = None,
    unit: str = "uV",
    default_ch_name: str = "Cz",
    default_sfreq: float | None = None,
) -> Trials:
    """Convert Epochs, lists of them, arrays or braindecode datasets to trials.

    Parameters
    ----------
    X : Epochs | list of Epochs | array | WindowsDataset | BaseConcatDataset
        - :class:`mne.Epochs` of any kind, in volts, or a view of them (:func:`as_array_like`). If
          not preloaded, they are read in batches; bad epochs are dropped, from a copy.
        - A list of Epochs, as scikit-learn makes when it splits Epochs, with the same channels (in
          any order), rate and window. A channel marked bad in one of them is marked bad in all.
        - An array (n_trials, n_channels, n_times), or what converts to one, in ``unit``.
        - An array (n_trials, n_times), taken as trials of one channel.
        - braindecode's ``WindowsDataset``, ``EEGWindowsDataset`` or a ``BaseConcatDataset`` of
          them. They hold MNE objects and so are in volts: omit a preprocessing step that multiplies
          by 1e6.
        - torch's ``Subset`` of such a dataset, which ``random_split`` makes, and ``ConcatDataset``.
        - A list of braindecode's ``(X, y, indices)``, as scikit-learn makes when it splits such a
          dataset. It has lost names, rate and unit, and is treated as an array.
    ch_names : sequence of str | None
        Channels of an array. Epochs and datasets bring their own.
    sfreq : float | None
        Sampling rate of an array in Hz. Epochs and datasets bring their own.
    unit : "V" | "mV" | "100uV" | "uV" | "au"
        Unit of an array. Epochs and datasets are in volts.
    default_ch_name : str
        Channel of a two-dimensional array if ``ch_names`` is None.
    default_sfreq : float | None
        Rate of a two-dimensional array if ``ch_names`` and ``sfreq`` are None.

    Returns
    -------
    trials : Trials
        The trials, in the order given. Nothing is read yet.

    Raises
    ------
    TypeError
        If X is of another kind: a Raw, a path, a sparse matrix, a mixed list.
    ValueError
        If there are no trials (because all were rejected, for example), channels or samples; if
        an array has no names or rate, or has complex or non-numeric values; if the Epochs of a
        list do not belong together.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials
    >>> info = mne.create_info(["C3", "C4"], sfreq=160.0, ch_types="eeg")
    >>> volts = 1e-5 * np.random.default_rng(0).standard_normal((3, 2, 320))
    >>> trials = as_trials(mne.EpochsArray(volts, info, verbose="error"))
    >>> len(trials), trials.ch_names, trials.sfreq, trials.unit
    (3, ('C3', 'C4'), 160.0, 'V')
    >>> trials = as_trials(1e6 * volts, ch_names=["C3", "C4"], sfreq=160.0)
    >>> trials.unit
    'uV'
    """
    unit_factor(unit, unit)  # raises if it is unknown
    trials = recorded_trials(X)
    if trials is None:
        trials = trials_of_array(X, ch_names, sfreq, unit, default_ch_name, default_sfreq)
    return trials


def recorded_trials(X: Any) -> Trials | None:
    """Convert what brings its channels to trials; None if X is, or may become, an array."""
    many = isinstance(X, (list, tuple))
    found: list[Trials] = []
    plain: list[int] = []
    for i, item in enumerate(X if many else [X]):
        if isinstance(item, mne.BaseEpochs):
            found.append(trials_of_recording(settled(item)))
        elif isinstance(item, EpochsView):
            found.append(trials_of_recording(item, item.read))
        elif is_dataset(item):
            found += trials_of_dataset(item)
        elif is_from(item, "mne"):
            raise TypeError(
                f"X is {type(item).__name__}: trials are needed. Filter a recording "
                "(mne_neurorvq.preprocess) and cut it into Epochs, for example with "
                "mne.make_fixed_length_epochs(raw, duration=4.0)."
            )
        elif isinstance(item, (str, PathLike)):
            raise TypeError(
                f"X is the path {fspath(item)!r}, not what it holds: read it first, Epochs with "
                "mne.read_epochs, a recording with mne.io.read_raw, which is then cut into trials, "
                "for example with mne.make_fixed_length_epochs(raw, duration=4.0)."
            )
        else:
            plain.append(i)
    if not found:
        return None
    if plain:
        raise TypeError(
            f"Item {plain[0]} of the list X is {type(X[plain[0]]).__name__}, but others are Epochs "
            "or datasets: pass objects of one kind."
        )
    trials = found[0] if len(found) == 1 else join_trials(found)
    if not trials.n_trials:
        check_rejection(found)
    shape = trials.n_trials, len(trials.ch_names), trials.n_times
    if 0 in shape:
        raise _nothing_in(shape)
    return trials


def _as_array(X: Any) -> NDArray[Any]:
    """Convert X, or windows of braindecode, to real numbers with two or three axes."""
    if issparse(X):
        raise TypeError("Sparse data was passed, but dense data is required: use X.toarray().")
    if isinstance(X, (list, tuple)) and X and all(_is_window(item) for item in X):
        X = [item[0] for item in X]
    if np.ma.is_masked(X):
        trial = int(np.argwhere(np.ma.getmaskarray(X))[0][0])
        raise ValueError(
            f"X has masked samples, the first in trial {trial}: NumPy would take what the mask "
            "hides for signal. Drop those trials or fill the gaps."
        )
    try:
        data = np.asarray(X)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"X ({type(X).__name__}) cannot be made an array: {error}. Pass Epochs, an array "
            "(n_trials, n_channels, n_times), or a list of trials of equal shape."
        ) from error
    if np.iscomplexobj(data):
        raise ValueError(COMPLEX)
    if data.dtype.kind == "O":
        data = data.astype(np.float64)
    if data.dtype.kind not in "biuf":
        raise ValueError(f"X has values of type {data.dtype}: numbers are needed.")
    if data.ndim not in (2, 3):
        raise ValueError(
            f"Expected 2D array or 3D array, got {data.ndim}D array instead: pass X of shape "
            "(n_trials, n_channels, n_times), or (n_trials, n_times) for a single channel. "
            "Reshape your data using X.reshape(1, -1) if it is a single trial of one channel."
        )
    return data


def _nothing_in(shape: tuple[int, ...]) -> ValueError:
    """Say that there are no trials, channels or samples."""
    # scikit-learn's words for trials and columns, which its own checks look for.
    words = ("sample(s)", *["channel(s)"] * (len(shape) - 2), "feature(s)")
    return ValueError(
        f"Found array with 0 {words[shape.index(0)]} (shape={shape}) while a minimum of 1 is "
        "required. X needs trials, channels and samples."
    )


def _is_window(item: Any) -> bool:
    """Whether this is one ``(X, y, indices)`` of a braindecode dataset."""
    return isinstance(item, tuple) and len(item) in (3, 4) and getattr(item[0], "ndim", 0) == 2


def trials_of_array(
    X: Any,
    ch_names: Sequence[str] | None,
    sfreq: float | None,
    unit: str,
    default_ch_name: str = "Cz",
    default_sfreq: float | None = None,
) -> Trials:
    """Convert an array, or what becomes one, to trials, see :func:`as_trials`."""
    data = _as_array(X)
    if 0 in data.shape:
        raise _nothing_in(data.shape)
    if data.ndim == 2:
        if ch_names is None:
            ch_names = [default_ch_name]
            sfreq = default_sfreq if sfreq is None else sfreq
        data = data[:, np.newaxis, :]
    if ch_names is None or sfreq is None:
        needed = {"ch_names=": ch_names, "sfreq=": sfreq}
        missing = " and ".join(name for name, value in needed.items() if value is None)
        raise ValueError(
            f"X is an array of shape {data.shape}, which says nothing about channels and rate: "
            f"pass {missing} (or Epochs, which know)."
        )
    if isinstance(ch_names, str) or len(ch_names) != data.shape[1]:
        count = 1 if isinstance(ch_names, str) else len(ch_names)
        raise ValueError(
            f"ch_names={ch_names!r} names {count} channel(s) but X has {data.shape[1]}: pass one "
            "name per channel, as a list."
        )
    number = isinstance(sfreq, (int, float, np.number)) and not isinstance(sfreq, bool)
    if not (number and np.isfinite(sfreq) and sfreq > 0):
        raise ValueError(f"sfreq={sfreq!r} must be a positive number of Hz.")

    def read(start: int, stop: int, picks: list[int] | None) -> NDArray[Any]:
        part = data[start:stop]
        return part if picks is None else part[:, picks]

    return Trials(
        ch_names=tuple(str(name) for name in ch_names),
        ch_types=None,
        bads=(),
        sfreq=float(sfreq),
        n_times=data.shape[2],
        tmin=0.0,
        unit=unit,
        events=None,
        event_id=None,
        metadata=None,
        bands=(),
        n_trials=data.shape[0],
        reader=read,
    )
