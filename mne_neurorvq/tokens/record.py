# License: BSD-3-Clause
"""Tokens: the codes of trials, with all that is needed to turn them back into signals."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .._rates import RATE_TOLERANCE
from .._references import REFERENCES, Reference
from .._table import html_table
from . import checks, file
from .metadata import (
    Metadata,
    check_metadata,
    decode_metadata,
    encode_metadata,
    same_metadata,
    take_rows,
)
from .table import array_of, facts_of, table_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_ARRAYS = ("codes", "side", "events")
_LOWEST = {"n_codes": 1, "n_times": 1, "patch_size": 1, "overlap": 0, "padding": 0}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Tokens:
    """Codes of trials, with their channels, times, scale and events.

    Decoding needs only this object and the model that made it. It behaves like an array of trials:
    ``tokens[3]`` (still an object of one trial, as in `mne.Epochs`), ``tokens[:10]``,
    ``tokens[mask]`` and ``tokens[[4, 2]]`` keep side information, events and metadata in step.

    Parameters
    ----------
    codes : array of int, shape (n_trials, n_channels, n_patches, n_codebooks, n_levels)
        Each from 0 to ``n_codes - 1``. Held as int16, or as int32 for more than 32768 codes:
        signed, so that differences of codes are right, but narrow: widen before multiplying.
    side : array of float, shape (n_trials, n_segments, n_side) or (n_trials, n_channels, n_side)
        What the decoder needs besides the codes: for NeuroRVQ mean and standard deviation of the
        log amplitude of each segment, and after them, for models that scale their input, the
        scales of its channels; for BioCodec centre and scale of each channel in microvolts.
        Values of each patch have the shape (n_trials, n_channels, n_patches, n_side). Held as
        float32.
    n_codes : int
        Number of codes in every codebook, at every level.
    model, revision : str | None
        Name or path of the model that made the tokens, and its revision.
    fingerprint : str | None
        Hash of the model's codebooks: other weights may come to bear the same name.
    ch_names : tuple of str
        The user's names of the channels that the model used.
    channel_rows : tuple of int
        Row of the model's channel vocabulary for each of them.
    sfreq, n_times : float, int
        Sampling rate in Hz and number of samples of the user's trials.
    model_sfreq : float
        Sampling rate in Hz at which the model worked.
    patch_size : int
        Samples in a patch, at ``model_sfreq``.
    segments : tuple of int
        Number of patches in each segment.
    overlap, padding : int
        Samples by which the last patch overlaps its neighbour, and by which it reaches beyond the
        end of a trial, at ``model_sfreq``.
    tmin : float
        Time of the first sample in s.
    events, event_id : array of int, shape (n_trials, 3), dict | None
        Events and the names of their codes, as in MNE.
    metadata : pandas.DataFrame | list of dict | None
        One row for each trial, numbered from 0 (as in MNE: a list of dicts without pandas).
    left_out : tuple of str
        Channels of the user that the model did not use.
    reference : "recorded" | "average" | "laplacian"
        Reference in which the model was given the signals, and in which they are decoded. Files of
        earlier versions are of the recorded one.

    Attributes
    ----------
    axes : tuple of str
        Names of the axes of ``codes``.

    Raises
    ------
    ValueError, TypeError
        If the parts do not agree with each other.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> tokens = Tokens(
    ...     codes=rng.integers(0, 512, (6, 2, 4, 4, 8)), side=rng.normal(size=(6, 1, 2)),
    ...     n_codes=512, model="demo", ch_names=("C3", "C4"), channel_rows=(27, 31),
    ...     sfreq=160.0, n_times=640, model_sfreq=200.0, patch_size=200, segments=(4,))
    >>> tokens
    <Tokens | demo | 6 trials × 2 channels × 4 patches × 4 codebooks × 8 levels | 512 codes>
    >>> tokens[1:3].shape
    (2, 2, 4, 4, 8)
    >>> tokens.bits_per_second
    296.0
    """

    axes: ClassVar[tuple[str, ...]] = ("trial", "channel", "patch", "codebook", "level")

    codes: np.ndarray
    side: np.ndarray
    n_codes: int
    model: str
    revision: str | None = None
    fingerprint: str | None = None
    ch_names: tuple[str, ...]
    channel_rows: tuple[int, ...]
    sfreq: float
    n_times: int
    model_sfreq: float
    patch_size: int
    segments: tuple[int, ...]
    overlap: int = 0
    padding: int = 0
    tmin: float = 0.0
    events: np.ndarray | None = None
    event_id: dict[str, int] | None = None
    metadata: Metadata | None = None
    left_out: tuple[str, ...] = ()
    reference: Reference = "recorded"

    def __post_init__(self) -> None:
        self._set("model", str(self.model))
        for name in ("revision", "fingerprint"):
            self._set(name, checks.text(name, getattr(self, name)))
        for name, lowest in _LOWEST.items():
            highest = checks.MOST_CODES if name == "n_codes" else 2**63 - 1
            self._set(name, checks.integer(name, getattr(self, name), lowest, highest))
        for name in ("sfreq", "model_sfreq", "tmin"):
            number = checks.number(name, getattr(self, name), positive=name != "tmin")
            self._set(name, number)
        for name in ("ch_names", "left_out"):
            self._set(name, checks.names(name, getattr(self, name)))
        for name, lowest in (("channel_rows", 0), ("segments", 1)):
            values = [checks.integer(name, v, lowest) for v in getattr(self, name)]
            self._set(name, tuple(values))
        if self.reference not in REFERENCES:
            raise ValueError(f"reference must be one of {REFERENCES}, got {self.reference!r}")
        self._set("codes", checks.codes(self.codes, self.n_codes, self.axes))
        if sum(self.segments) != self.shape[2]:
            raise ValueError(
                f"segments {self.segments} have {sum(self.segments)} patches, but codes have "
                f"{self.shape[2]}"
            )
        self._set("side", checks.side(self.side, len(self), len(self.segments), *self.shape[1:3]))
        self._set("events", checks.events(self.events, len(self)))
        self._set("event_id", checks.event_id(self.event_id))
        self._set("metadata", check_metadata(self.metadata, len(self)))
        self._check_agreement()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_agreement(self) -> None:
        """Raise unless channels, segments and times are those of the codes."""
        n_channels, n_patches = self.shape[1:3]
        for name in ("ch_names", "channel_rows"):
            values = getattr(self, name)
            if len(values) != n_channels:
                raise ValueError(
                    f"{name} has {len(values)} entries, but codes have {n_channels} channels"
                )
            # Where a model knows one channel only, all of a recording have its row.
            if len(set(values)) != n_channels and set(values) != {0}:
                raise ValueError(f"{name} must differ from each other, got {values}")
        for name in ("overlap", "padding"):
            if getattr(self, name) >= self.patch_size:
                raise ValueError(
                    f"{name} must be smaller than patch_size={self.patch_size}, got "
                    f"{getattr(self, name)}"
                )
        covered = n_patches * self.patch_size - self.overlap - self.padding
        expected = self.n_times / self.sfreq * self.model_sfreq
        if abs(covered - expected) > 1 + RATE_TOLERANCE * expected:
            raise ValueError(
                f"the patches cover {covered} samples at model_sfreq={self.model_sfreq:g} Hz, but "
                f"n_times={self.n_times} at sfreq={self.sfreq:g} Hz are {expected:g}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the codes, in the order of ``axes``."""
        return self.codes.shape

    @property
    def patch_times(self) -> np.ndarray:
        """Time in s at which each patch starts, shape (n_patches,).

        The last patch is aligned to the end of the trial: it starts earlier by the overlap.
        """
        starts = np.arange(self.shape[2]) * self.patch_size
        starts[-1] -= self.overlap
        return self.tmin + starts / self.model_sfreq

    @property
    def bits_per_second(self) -> float:
        """Bits per second and channel: codes at their bit width plus the side information.

        A code counts ``ceil(log2(n_codes))`` bits, and a float of the side information 32, shared
        by the channels. Names, events and whatever else a file holds are not counted.
        """
        _, n_channels, n_patches, n_codebooks, n_levels = self.shape
        codes = n_patches * n_codebooks * n_levels * file.bit_width(self.n_codes)
        side = 32 * math.prod(self.side.shape[1:]) / n_channels
        return (codes + side) * self.sfreq / self.n_times

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Tokens]:
        return (self[trial] for trial in range(len(self)))

    def __getitem__(self, item: int | slice | np.ndarray | list[int] | list[bool]) -> Tokens:
        rows = checks.rows(item, len(self))
        return replace(
            self,
            codes=self.codes[rows],
            side=self.side[rows],
            events=None if self.events is None else self.events[rows],
            metadata=take_rows(self.metadata, rows),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokens):
            return NotImplemented
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        same = {"metadata": same_metadata, **dict.fromkeys(_ARRAYS, _same_array)}
        return all(same.get(name, operator.eq)(*pair) for name, pair in pairs.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        sizes = " × ".join(
            f"{size} {axis}{'' if size == 1 else 'es' if axis == 'patch' else 's'}"
            for size, axis in zip(self.shape, self.axes, strict=True)
        )
        reference = "" if self.reference == "recorded" else f" | reference: {self.reference}"
        return f"<Tokens | {self.model} | {sizes} | {self.n_codes} codes{reference}>"

    def _repr_html_(self) -> str:
        return html_table(repr(self).strip("<>"), facts_of(self))

    def to_dataframe(self) -> pd.DataFrame:
        """Make a table with one row for each trial, channel and patch, in this order.

        Returns
        -------
        table : pandas.DataFrame
            Columns ``trial``, ``event`` (its name in ``event_id``, else its number; absent without
            events), ``ch_name``, ``patch``, ``time`` (start of the patch in s) and
            ``codebook0_level0``, ``codebook0_level1``, ... with the codes.

        Raises
        ------
        ImportError
            If pandas is not installed, or does not load with the other libraries.
        """
        return table_of(self)

    def to_xarray(self) -> xr.DataArray:
        """Make a labelled array of the codes.

        Returns
        -------
        codes : xarray.DataArray
            Dimensions as in ``axes``. Coordinates are ``channel`` with the names, ``time`` along
            ``patch`` (start in s), and along ``trial`` ``event`` (its name in ``event_id``, else
            its number; absent without events) and the columns of the metadata. Attributes tell the
            model, ``n_codes`` and the rates. Side information is not part of it: decode
            :class:`Tokens`.

        Raises
        ------
        ValueError
            If a column of the metadata has the name of an axis or another coordinate.
        ImportError
            If xarray is not installed, or does not load with the other libraries.

        Examples
        --------
        >>> from mne_neurorvq import NeuroRVQTransformer, datasets
        >>> epochs = datasets.simulate_epochs(n_subjects=2, n_trials=2, verbose="error")
        >>> tokens = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs).tokenize(epochs)
        >>> codes = tokens.to_xarray()
        >>> dict(codes.sel(channel=["C3", "C4"], level=0).groupby("subject").first().sizes)
        {'subject': 2, 'channel': 2, 'patch': 4, 'codebook': 4}
        """
        return array_of(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save the tokens as HDF5, the codes packed at their bit width.

        The file is written elsewhere and moved into place when it is complete: a save that is
        killed leaves an existing file unchanged.

        Parameters
        ----------
        path : str | pathlib.Path
            The file, ending in ``.h5`` or ``.hdf5``.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        ValueError
            If the file has another ending.
        TypeError
            If metadata hold something other than text, integers, floats and booleans; nothing is
            written then.
        """
        header = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in _ARRAYS and field.name != "metadata"
        }
        header["shape"] = self.shape
        header["events"] = None if self.events is None else self.events.tolist()
        header["metadata"] = encode_metadata(self.metadata)
        file.write(Path(path), header, self.codes, self.side, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Tokens:
        """Load tokens that `save` wrote.

        Parameters
        ----------
        path : str | pathlib.Path
            The file.

        Returns
        -------
        tokens : Tokens
            Equal to the tokens that were saved.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, incomplete, of a later version or not a file of tokens, which
            may not hold links to other files, packed data or parts that contradict each other.
        """
        path = Path(path)
        header, codes, side = file.read(path)
        with file.damage_named(path):
            del header["shape"]
            header["metadata"] = decode_metadata(header["metadata"], len(codes))
            return cls(codes=codes, side=side, **header)


def _same_array(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)
