# License: BSD-3-Clause
"""Trials matched to a model by what fit learned: its channels, its segments, and reading them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._names import order_by_name, say_difference, shorten
from .._references import Reference
from .._warnings import warn
from ..signals import (
    ChannelMatch,
    ChannelReport,
    Segmentation,
    Trials,
    check_amplitude,
    plan_segments,
    unit_factor,
    use_channels,
)
from ..signals.amplitude import warn_of_silence
from ..signals.channel_report import used_channels
from ..signals.channels import check_types_of_fit, match_and_interpolate
from ..signals.filtering import check_band, warn_of_rate
from ..signals.modalities import MODALITIES
from ..signals.reference import (
    Rereference,
    check_alike,
    find_reference,
    kind_of,
    with_reference,
)
from ..signals.resampling import cut, resample, resampled_length
from ..signals.splines import Splines, with_sites
from ..signals.trials import reorder_channels
from ..signals.units import UNITLESS
from ..weights.systems import Config
from .preprocessing import preprocessing_of
from .scaling import Batch, Scaling, scale_channels

_Item = TypeVar("_Item")


@dataclass
class FittedChannels:
    """What fit learned about the channels of its trials.

    ``applied`` is what was done to the signals before. ``bands``, ``warned`` and ``projectors`` are
    what fit has already warned about, so that it is not repeated. They are not saved: an estimator
    loaded from a folder warns once more.
    """

    report: ChannelReport
    names: tuple[str, ...]
    types: tuple[str, ...] | None = None
    splines: Splines | None = None
    rereference: Rereference | None = None
    bands: tuple[tuple[float, float], ...] = ()
    warned: frozenset[str] = frozenset()
    projectors: tuple[str, ...] = ()
    applied: tuple[frozenset[str], ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """Channels that the model uses, and sites computed from them."""
        return tuple(match.name for match in self.report if match.used)

    @cached_property
    def places(self) -> tuple[list[int], list[int]]:
        """Places of used channels in the recording, and their rows of the vocabulary."""
        return used_channels(self.report)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Channels that the model uses, or that sites are computed from."""
        places = {*self.places[0], *(() if self.splines is None else self.splines.sources)}
        return tuple(name for i, name in enumerate(self.names) if i in places)

    @cached_property
    def electrodes(self) -> tuple[str, ...]:
        """Channels that only the reference is computed from."""
        places = () if self.rereference is None else self.rereference.electrodes
        return tuple(self.names[i] for i in places if self.names[i] not in self.needed)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that later trials are checked against, as plain data."""
        return {
            "channel_report": [asdict(match) for match in self.report],
            "splines": None if self.splines is None else self.splines.to_dict(),
            "rereference": None if self.rereference is None else self.rereference.to_dict(),
            "fitted_names": list(self.names),
            "fitted_types": self.types,
            "fitted_applied": [sorted(one) for one in self.applied],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Undo :meth:`to_dict`."""
        splines, types = record.get("splines"), record.get("fitted_types")
        rereference = record.get("rereference")
        return cls(
            ChannelReport(ChannelMatch(**match) for match in record["channel_report"]),
            tuple(record["fitted_names"]),
            None if types is None else tuple(types),
            None if splines is None else Splines.from_dict(splines),
            None if rereference is None else Rereference.from_dict(rereference),
            applied=tuple(map(frozenset, record.get("fitted_applied", ()))),
        )


@dataclass(frozen=True)
class MatchedTrials:
    """Trials whose channels are matched to a model, and how their windows are cut.

    ``used`` are the places of the used channels in the recording, and their rows of the vocabulary;
    ``faults`` is what :func:`check_amplitude` found. A model that takes scaled signals gets each
    channel by ``scaling``, which fit has learned, or each trial by its own median and interquartile
    range where that is None.
    """

    trials: Trials
    matches: Sequence[ChannelMatch]
    used: tuple[list[int], list[int]]
    segmentation: Segmentation
    config: Config
    scaling: Scaling | None = None
    faults: frozenset[str] = frozenset()
    recorded: Trials | None = None  # before they were brought to the reference
    rereference: Rereference | None = None

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The user's names of the channels that the model gets."""
        return tuple(match.name for match in self.matches if match.used)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The user's names of the channels that are left out."""
        return tuple(match.name for match in self.matches if match.left_out)

    def batches(self, n_trials: int, *, shuffled: bool = False) -> Iterator[tuple[int, Batch]]:
        """Prepare batches, each with the index of its first trial; then warn of silent trials."""
        starts = list(range(0, self.trials.n_trials, n_trials))
        if shuffled:
            starts = np.random.default_rng().permutation(starts).tolist()
        reading: Iterator[tuple[int, Batch]] = (
            (start, self.prepared(start, start + n_trials)) for start in starts
        )
        silent: list[int] = []
        for start, batch in read_ahead(reading) if len(starts) > 1 else reading:
            if self.config.takes_scaled:
                still = [batch[0] == 0]
            else:
                still = [part == part[..., :1] for part in batch]
            silences = np.logical_and.reduce([part.all(axis=(1, 2)) for part in still])
            silent += (start + np.flatnonzero(silences)).tolist()
            yield start, batch
        if silent:
            warn_of_silence(self.trials, silent)

    def prepared(self, start: int, stop: int) -> Batch:
        """Prepare some trials: segments ``(n_trials, n_used, n_times)`` of the model's rate.

        Where the model takes scaled signals: the one segment, and centre and scale of each channel
        ``(n_trials, n_used, 2)``.
        """
        data = self.signals(start, stop)
        if self.config.takes_scaled:
            return scale_channels(data, self.scaling, self.ch_names, start)
        return cut(data.astype(np.float32), self.segmentation)

    def signals(self, start: int, stop: int) -> NDArray[np.float64]:
        """Signals of some trials ``(n_trials, n_used, n_times)`` in the model's unit and rate."""
        trials, config = self.trials, self.config
        factor = unit_factor(trials.unit, config.signal_unit)
        data: NDArray[Any] = trials.read(start, min(stop, trials.n_trials), self.used[0])
        if factor != 1:
            data = data * factor
        return resample(data, trials.sfreq, config.sfreq)


def match(
    trials: Trials, config: Config, mode: Any = "match", reference: Reference | None = None
) -> tuple[FittedChannels, MatchedTrials]:
    """Match the trials of fit to a model, and remember how.

    They are brought to a reference, that of the model where there is no other.
    """
    about: dict[str, Any] = {
        "ch_types": trials.ch_types,
        "bads": trials.bads,
        "modality": config.modality,
    }
    splines = None
    if config.channels:
        about |= {"mode": mode, "positions": trials.positions, "trained": config.trained}
        report, splines = match_and_interpolate(trials.ch_names, config.channels, **about)
    else:  # a model that takes any channel
        report = use_channels(trials.ch_names, **about)
    rereference = find_reference(
        trials, reference or config.reference, config.modality, insist=reference is not None
    )
    if rereference is not None:
        report = _with_reference(report, rereference, trials)
    fitted = FittedChannels(report, trials.ch_names, trials.ch_types, splines, rereference)
    matched = match_again(trials, fitted, config)  # the checks are those of later trials
    if kind_of(rereference) == "average":
        fitted.report = _without_part(report, matched.faults)
        matched = replace(matched, matches=fitted.report)
    fitted.bands, fitted.warned = trials.bands, matched.faults
    fitted.projectors, fitted.applied = tuple(trials.waiting), trials.applied[:1]
    return fitted, matched


def match_again(
    trials: Trials, fitted: FittedChannels, config: Config, known: Segmentation | None = None
) -> MatchedTrials:
    """Bring trials to the channels of fit, check the signals, add sites, and plan segments.

    An earlier plan is taken if the length is the same.
    """
    if MODALITIES[config.modality].amplitude.unit == UNITLESS:
        trials = replace(trials, unit=UNITLESS)  # MNE says volts of any channel
    as_in_fit = trials.ch_names == fitted.names and trials.ch_types == fitted.types
    if not as_in_fit or trials.bads:
        trials = as_fitted(
            trials, fitted.names, fitted.needed, fitted.types, config.modality, fitted.electrodes
        )
    recorded = trials
    if fitted.rereference is not None:
        trials = with_reference(trials, fitted.rereference)
    if len({*trials.applied, *fitted.applied}) > 1 and config.modality == "eeg":
        check_alike(trials, fitted.rereference, *fitted.applied)
    if trials.waiting:
        _warn_of_projectors(trials, fitted)
    warned = fitted.warned
    rate = f"rate {trials.sfreq:g}"
    if not set(trials.bands) <= set(fitted.bands) and check_band(
        trials,
        preprocessing_of(config),
        modality=config.modality,
        picks=fitted.places[0],
        model_sfreq=config.sfreq,
    ):
        # An offset has the same cause as a wide band, and the same remedy.
        warned |= {"offset"}
    if rate not in warned:
        warn_of_rate(trials.sfreq, preprocessing_of(config), config.sfreq)
    # Scaled channels are encoded one by one: a broken one spoils the others by the reference only.
    joint = not config.takes_scaled or fitted.rereference is not None
    faults = frozenset((rate,)) | check_amplitude(
        recorded,
        fitted.report,
        joint=joint,
        warned=warned,
        modality=config.modality,
        reference="recorded" if fitted.rereference is None else fitted.rereference.kind,
    )
    if fitted.splines is not None:
        trials, recorded = (with_sites(one, fitted.splines) for one in (trials, recorded))
    if config.takes_scaled:
        unit_factor(trials.unit, config.signal_unit)  # raises for arbitrary units
    n_times = resampled_length(trials.n_times, trials.sfreq, config.sfreq)
    if known is None or known.n_times != n_times:
        known = _plan(n_times, len(fitted.places[0]), config)
    return MatchedTrials(
        trials,
        fitted.report,
        fitted.places,
        known,
        config,
        faults=faults,
        recorded=recorded,
        rereference=fitted.rereference,
    )


def _with_reference(
    report: ChannelReport, rereference: Rereference, trials: Trials
) -> ChannelReport:
    """Note which good electrodes make a reference; sites are computed from them."""
    places = {i for i in rereference.electrodes if trials.ch_names[i] not in trials.bads}
    return ChannelReport(
        replace(one, reference=rereference.kind) if i in places or one.how == "spline" else one
        for i, one in enumerate(report)
    )


def _without_part(report: ChannelReport, faults: frozenset[str]) -> ChannelReport:
    """Note the electrodes that look broken: the average of trials in which they do is without."""
    return ChannelReport(
        replace(one, reason="looks broken: no part in the average of such trials")
        if one.reference and {f"loud {one.name}", f"flat {one.name}"} & faults
        else one
        for one in report
    )


def as_fitted(
    trials: Trials,
    seen: Sequence[str],
    used: Sequence[str],
    types: Sequence[str] | None = None,
    modality: str = "eeg",
    electrodes: Sequence[str] = (),
) -> Trials:
    """Bring trials to the channels ``seen`` in fit, by name; warn of used ones that are bad.

    ``types`` are those of all channels that fit saw, None if nothing was known; ``electrodes`` have
    a part in the reference only.
    """
    if trials.ch_names != tuple(seen):
        order, new = order_by_name(trials.ch_names, seen)
        missing = [name for name, place in zip(seen, order, strict=True) if place is None]
        if missing or new:
            raise ValueError(
                f"X has other channels than fit saw: {say_difference(missing, new)}. Pass the "
                "channels of fit, in any order, or fit again."
            )
        trials = reorder_channels(trials, [place for place in order if place is not None])
    picks = [i for i, name in enumerate(seen) if name in used or name in electrodes]
    if trials.ch_types is not None and trials.ch_types != types:
        check_types_of_fit(
            [trials.ch_names[i] for i in picks],
            [trials.ch_types[i] for i in picks],
            None if types is None else [types[i] for i in picks],
            modality,
        )
    picks = [i for i in picks if seen[i] in used]
    bads = [trials.ch_names[i] for i in picks if trials.ch_names[i] in trials.bads]
    if bads:
        warn(
            f"{shorten(bads, 6)} marked bad in X, but good in what fit saw: used nevertheless. "
            "Interpolate bad channels (epochs.interpolate_bads), or drop them and fit again."
        )
    return trials


def _warn_of_projectors(trials: Trials, fitted: FittedChannels) -> None:
    """Warn about projectors, other than those of fit, that are not applied to used channels."""
    waiting = [
        name
        for name, channels in trials.waiting.items()
        if name not in fitted.projectors and not set(channels).isdisjoint(fitted.used)
    ]
    if waiting:
        named = shorten([repr(name) for name in waiting], 6)
        warn(
            f"X has projectors that are not applied: {named}. "
            "The model is given the signals as they are; call epochs.apply_proj() before, or "
            "epochs.del_proj() if that is meant."
        )


def _plan(n_times: int, n_channels: int, config: Config) -> Segmentation:
    size = config.patch_size
    if config.takes_scaled:  # in one segment, whose last patch the model itself completes
        n_patches = math.ceil(n_times / size)
        return Segmentation(n_times, size, (n_patches,), padding=n_patches * size - n_times)
    # Where not even one patch of all channels fits, the error names the whole budget.
    budget = n_channels * config.patches_per_segment(n_channels) or config.max_tokens
    return plan_segments(n_times, n_channels, patch_size=size, max_patches=budget)


def read_ahead(batches: Iterator[_Item]) -> Iterator[_Item]:
    """Read each batch, none of which is None, while the one before it is worked on."""
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        reading = thread.submit(next, batches, None)
        while (batch := reading.result()) is not None:
            reading = thread.submit(next, batches, None)
            yield batch
