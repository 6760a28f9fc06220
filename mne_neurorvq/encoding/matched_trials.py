# License: BSD-3-Clause
"""Trials matched to a model, read and prepared batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._warnings import warn
from ..models import BrainRVQConfig, NeuroRVQConfig
from ..signals import ChannelMatch, Segmentation, Trials, plan_segments
from ..signals.amplitude import warn_of_silence
from ..signals.channel_report import used_channels
from ..signals.channels import check_types_of_fit
from ..signals.names import order_by_name, say_difference, shorten
from ..signals.preparation import prepare
from ..signals.resampling import resampled_length
from ..signals.trials import reorder_channels
from ..weights.systems import Config

#: What a model is given of some trials: arrays ``(n_trials, n_channels, ...)``.
Batch = list[NDArray[np.float32]]
_Item = TypeVar("_Item")


class Sieve(Protocol):
    """Chooses, batch by batch, the trials that a model gets."""

    def order(self, starts: Sequence[int]) -> Sequence[int]:
        """Order in which batches are read, by their first trials."""

    def sift(self, start: int, batch: Batch) -> Batch:
        """Take a batch, from a certain trial on, and give those that pass."""

    def halve(self) -> None:
        """Learn that passes are smaller than planned from here on, and round otherwise."""


@dataclass(frozen=True)
class Inputs:
    """Trials that have been matched to a model.

    Attributes
    ----------
    trials : Trials
        The trials.
    matches : sequence of ChannelMatch
        What happened to each channel.
    segmentation : Segmentation
        How windows are cut, at the model's rate.
    config : Config
        The model's unit and rate.
    sieve : Sieve | None
        Chooses the trials that the model gets; None lets all pass.
    """

    trials: Trials
    matches: Sequence[ChannelMatch]
    segmentation: Segmentation
    config: Config
    sieve: Sieve | None = None

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The user's names of the channels that the model gets."""
        return tuple(match.name for match in self.matches if match.used)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The user's names of the other channels."""
        return tuple(match.name for match in self.matches if match.left_out)

    @property
    def picks(self) -> list[int]:
        """Indices of the used channels in the recording."""
        return used_channels(self.matches)[0]

    @property
    def rows(self) -> list[int]:
        """Vocabulary rows of the used channels."""
        return used_channels(self.matches)[1]

    def batches(self, n_trials: int) -> Iterator[Batch]:
        """Prepare successive batches of trials for the model.

        Parameters
        ----------
        n_trials : int
            Trials per batch.

        Yields
        ------
        list of ndarray
            What :meth:`prepared` gives, of the trials that pass the sieve.

        Warns
        -----
        UserWarning
            At the end, if trials were constant in every channel.
        """
        starts: Sequence[int] = range(0, len(self.trials), n_trials)
        if self.sieve is not None:
            starts = self.sieve.order(starts)
        last = len(self.trials)
        read = ((start, self.prepared(start, min(start + n_trials, last))) for start in starts)
        silent: list[int] = []
        for start, batch in read_ahead(read):
            silent += (start + np.flatnonzero(self._is_silent(batch))).tolist()
            passed = batch if self.sieve is None else self.sieve.sift(start, batch)
            if len(passed[0]):
                yield passed
        warn_of_silence(self.trials, silent)

    def _is_silent(self, batch: Batch) -> NDArray[np.bool_]:
        """Which trials of a batch are constant in every channel."""
        constant = [(part == part[..., :1]).all(axis=(1, 2)) for part in batch]
        return np.logical_and.reduce(constant)

    def prepared(self, start: int, stop: int) -> Batch:
        """Prepare some trials for the model.

        Parameters
        ----------
        start : int
            The first.
        stop : int
            One past the last.

        Returns
        -------
        list of ndarray, each of shape (n_trials, n_used, patches * patch_size)
            One array per segment, in the model's unit and rate.
        """
        return prepare(
            self.trials,
            self.matches,
            self.segmentation,
            model_sfreq=self.config.sfreq,
            model_unit=self.config.unit,
            start=start,
            stop=stop,
        )


def read_ahead(batches: Iterator[_Item]) -> Iterator[_Item]:
    """Read each batch while the one before it is worked on.

    Parameters
    ----------
    batches : iterator
        Reads them; none of them is None.

    Yields
    ------
    object
        Each batch.
    """
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        reading = thread.submit(next, batches, None)
        while (batch := reading.result()) is not None:
            reading = thread.submit(next, batches, None)
            yield batch


def as_fitted(
    trials: Trials,
    seen: Sequence[str],
    used: Sequence[str],
    types: Sequence[str] | None = None,
    modality: str = "eeg",
) -> Trials:
    """Bring trials to the channels of :meth:`fit`, by name, and warn of used ones that are bad.

    Parameters
    ----------
    trials : Trials
        The trials.
    seen : sequence of str
        All channels of the trials that fit saw.
    used : sequence of str
        Those of them that the model uses.
    types : sequence of str | None
        Types of all channels that fit saw; None if nothing was known.
    modality : str
        What the model was trained on.

    Returns
    -------
    Trials
        The trials with their channels in the order of fit.

    Raises
    ------
    ValueError
        If channels are missing or new, or used ones of another type.

    Warns
    -----
    UserWarning
        If a channel that the model uses is marked bad in these trials.
    """
    order, new = order_by_name(trials.ch_names, seen)
    missing = [name for name, place in zip(seen, order, strict=True) if place is None]
    if missing or new:
        raise ValueError(
            f"X has other channels than fit saw: {say_difference(missing, new)}. Pass the channels "
            "of fit, in any order, or fit again."
        )
    trials = reorder_channels(trials, [place for place in order if place is not None])
    if trials.ch_types is not None:
        picks = [i for i, name in enumerate(seen) if name in used]
        check_types_of_fit(
            [trials.ch_names[i] for i in picks],
            [trials.ch_types[i] for i in picks],
            None if types is None else [types[i] for i in picks],
            modality,
        )
    bads = [
        name
        for name, seen_as in zip(trials.ch_names, seen, strict=True)
        if seen_as in used and name in trials.bads
    ]
    if bads:
        warn(
            f"{shorten(bads, 6)} marked bad in X, but good in what fit saw: used nevertheless. "
            "Interpolate bad channels (epochs.interpolate_bads), or drop them and fit again."
        )
    return trials


def warn_of_projectors(trials: Trials, used: Sequence[str], known: Sequence[str] = ()) -> None:
    """Warn of projectors that are not applied to channels that the model uses.

    Parameters
    ----------
    trials : Trials
        The trials.
    used : sequence of str
        Channels that the model uses.
    known : sequence of str
        Projectors of which there was a warning already.

    Warns
    -----
    UserWarning
        Once, with their names.
    """
    waiting = [
        name
        for name, channels in trials.waiting.items()
        if name not in known and not set(channels).isdisjoint(used)
    ]
    if waiting:
        named = shorten([repr(name) for name in waiting], 6)
        warn(
            f"X has projectors that are not applied: {named}. "
            "The model is given the signals as they are; call epochs.apply_proj() before, or "
            "epochs.del_proj() if that is meant."
        )


def plan(
    trials: Trials,
    matches: Sequence[ChannelMatch],
    config: NeuroRVQConfig | BrainRVQConfig,
    known: Segmentation | None = None,
) -> Inputs:
    """Plan the segments of matched trials.

    Parameters
    ----------
    trials : Trials
        The trials.
    matches : sequence of ChannelMatch
        What happened to each channel.
    config : NeuroRVQConfig | BrainRVQConfig
        The model's rate, patch size and budget of patches.
    known : Segmentation | None
        An earlier plan for the same channels; it is taken if the length is the same.

    Returns
    -------
    Inputs
        Trials, matches and segments.
    """
    n_times = resampled_length(trials.n_times, trials.sfreq, config.sfreq)
    if known is None or known.n_times != n_times:
        n_channels = len(used_channels(matches)[0])
        # Where not even one patch of all channels fits, the error names the whole budget.
        budget = n_channels * config.patches_per_segment(n_channels) or config.max_patches
        known = plan_segments(n_times, n_channels, patch_size=config.patch_size, max_patches=budget)
    return Inputs(trials, tuple(matches), known, config)
