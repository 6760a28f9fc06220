# License: BSD-3-Clause
"""What fit learned about channels, and later trials brought to it by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from .._warnings import warn
from ..signals import ChannelMatch, ChannelReport, Trials, check_amplitude, use_channels
from ..signals.channels import check_types_of_fit, match_and_interpolate
from ..signals.filtering import check_band
from ..signals.names import order_by_name, say_difference, shorten
from ..signals.splines import Splines, with_sites
from ..signals.trials import reorder_channels
from ..weights.systems import Config
from .preprocessing import preprocessing_of


@dataclass(frozen=True)
class FittedChannels:
    """What fit learned about the channels of its trials.

    ``bands``, ``warned`` and ``projectors`` are what fit has already warned about, so that it is
    not repeated. They are not saved: an estimator loaded from a folder warns once more.
    """

    report: ChannelReport
    names: tuple[str, ...]
    types: tuple[str, ...] | None = None
    splines: Splines | None = None
    bands: tuple[tuple[float, float], ...] = ()
    warned: frozenset[str] = frozenset()
    projectors: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """Channels that the model uses, and sites computed from them."""
        return tuple(match.name for match in self.report if match.used)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that later trials are checked against, as plain data."""
        return {
            "channel_report": [asdict(match) for match in self.report],
            "splines": None if self.splines is None else self.splines.to_dict(),
            "fitted_names": list(self.names),
            "fitted_types": self.types,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Undo :meth:`to_dict`."""
        splines, types = record.get("splines"), record.get("fitted_types")
        return cls(
            ChannelReport(ChannelMatch(**match) for match in record["channel_report"]),
            tuple(record["fitted_names"]),
            None if types is None else tuple(types),
            None if splines is None else Splines.from_dict(splines),
        )


def learn_channels(
    trials: Trials, config: Config, mode: Any = "match"
) -> tuple[FittedChannels, Trials]:
    """Match the channels of fit's trials to a model, check the signals, and add computed sites."""
    about: dict[str, Any] = {
        "ch_types": trials.ch_types,
        "bads": trials.bads,
        "modality": config.modality,
    }
    splines = None
    if config.channels:
        report, splines = match_and_interpolate(
            trials.ch_names, config.channels, mode=mode, positions=trials.positions, **about
        )
    else:  # a model that takes any channel
        report = use_channels(trials.ch_names, **about)
    warned = _check_signals(trials, report, config)
    with_computed = with_sites(trials, splines)
    fitted = FittedChannels(
        report,
        trials.ch_names,
        trials.ch_types,
        splines,
        trials.bands,
        warned,
        tuple(with_computed.waiting),
    )
    _warn_of_projectors(with_computed, fitted.used)
    return fitted, with_computed


def as_in_fit(trials: Trials, fitted: FittedChannels, config: Config) -> Trials:
    """Bring trials to the channels of fit, check the signals, and add computed sites."""
    read = {i for i, match in enumerate(fitted.report) if match.used}
    if fitted.splines is not None:
        read.update(fitted.splines.sources)
    names = [name for i, name in enumerate(fitted.names) if i in read]
    trials = as_fitted(trials, fitted.names, names, fitted.types, config.modality)
    _warn_of_projectors(trials, fitted.used, fitted.projectors)
    _check_signals(trials, fitted.report, config, fitted.bands, fitted.warned)
    return trials if fitted.splines is None else with_sites(trials, fitted.splines)


def as_fitted(
    trials: Trials,
    seen: Sequence[str],
    used: Sequence[str],
    types: Sequence[str] | None = None,
    modality: str = "eeg",
) -> Trials:
    """Bring trials to the channels ``seen`` in fit, by name; warn of used ones that are bad.

    ``types`` are those of all channels that fit saw, None if nothing was known.
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
    picks = [i for i, name in enumerate(seen) if name in used]
    if trials.ch_types is not None and trials.ch_types != types:
        check_types_of_fit(
            [trials.ch_names[i] for i in picks],
            [trials.ch_types[i] for i in picks],
            None if types is None else [types[i] for i in picks],
            modality,
        )
    bads = [trials.ch_names[i] for i in picks if trials.ch_names[i] in trials.bads]
    if bads:
        warn(
            f"{shorten(bads, 6)} marked bad in X, but good in what fit saw: used nevertheless. "
            "Interpolate bad channels (epochs.interpolate_bads), or drop them and fit again."
        )
    return trials


def _check_signals(
    trials: Trials,
    report: ChannelReport,
    config: Config,
    known_bands: Sequence[tuple[float, float]] = (),
    warned: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Warn about filters and amplitudes unless fit has; return what there was to warn about."""
    if not set(trials.bands) <= set(known_bands) and check_band(trials, preprocessing_of(config)):
        # An offset has the same cause as a wide band, and the same remedy.
        warned |= {"offset"}
    # Scaled channels are encoded one by one: a broken one does not spoil the others.
    return check_amplitude(trials, report, joint=not config.takes_scaled, warned=warned)


def _warn_of_projectors(trials: Trials, used: Sequence[str], known: Sequence[str] = ()) -> None:
    """Warn about projectors, other than known ones, that are not applied to used channels."""
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
