# License: BSD-3-Clause
"""What the estimators share: from the user's trials to matched inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from ..models import NeuroRVQConfig
from ..signals import check_band, check_offset, match_channels
from .inputs import Inputs, check_montage, plan, read_trials
from .preprocessing import preprocessing_of, registered

_PRECISIONS = ("auto", "float32", "bf16")


class SignalEstimator(BaseEstimator):
    """An estimator that reads trials and has the parameters which say how.

    Its subclasses have the parameters ``pretrained``, ``channels``, ``unit``, ``ch_names``,
    ``sfreq``, ``device``, ``precision`` and ``verbose``.
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Two-dimensional arrays stay allowed: scikit-learn's checks would all skip otherwise.
        tags.input_tags.three_d_array = True
        return tags

    def _match(self, X: Any, config: NeuroRVQConfig) -> Inputs:
        """Match the trials given to fit to a model, and remember how."""
        trials = read_trials(self, X, config, reset=True)
        check_band(trials, preprocessing_of(config))
        self.channel_report_ = match_channels(
            trials.ch_names,
            config.channels,
            mode=self.channels,
            positions=trials.positions,
            ch_types=trials.ch_types,
            bads=trials.bads,
            modality=config.modality,
        )
        inputs = plan(trials, self.channel_report_, config)
        check_offset(trials, self.channel_report_)
        self.config_ = config
        self.ch_names_ = inputs.ch_names
        self.segmentation_ = inputs.segmentation
        self._fitted_names = trials.ch_names
        return inputs

    def _seen(self, X: Any) -> Inputs:
        """Trials with the channels that fit saw."""
        trials = read_trials(self, X, self.config_, reset=False)
        check_montage(trials, self._fitted_names, self.ch_names_)
        return plan(trials, self.channel_report_, self.config_, self.segmentation_)

    def _check_signal_parameters(self) -> None:
        if not isinstance(self.pretrained, (str, PathLike)):
            raise TypeError(
                f"pretrained={self.pretrained!r} must be the name of a model (list_pretrained() "
                "gives them) or a path."
            )
        check_choice("precision", self.precision, _PRECISIONS)
        check_choice("verbose", self.verbose, (None, True, False))


def check_supported(pretrained: str | PathLike[str]) -> None:
    """Raise, before a model is downloaded, if its kind of signal cannot be prepared yet."""
    entry = registered(pretrained)
    if entry is not None:
        preprocessing_of(entry)


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise unless a parameter has one of the values allowed.

    Parameters
    ----------
    name : str
        Name of the parameter.
    value : object
        Its value.
    allowed : sequence
        Values allowed.

    Raises
    ------
    ValueError
        If it has another.
    """
    if value not in allowed:
        raise ValueError(f"{name}={value!r} must be one of {tuple(allowed)}.")
