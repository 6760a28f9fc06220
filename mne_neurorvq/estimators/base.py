# License: BSD-3-Clause
"""What the estimators share: from the user's trials to matched inputs of a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from ..encoding.device import resolve_batch_size, resolve_device
from ..encoding.matched_trials import Inputs, as_fitted, plan, warn_of_projectors
from ..encoding.passes import run_batches
from ..encoding.preprocessing import preprocessing_of, registered
from ..signals import ChannelReport, Segmentation, Trials, as_trials, check_amplitude
from ..signals.channels import match_and_interpolate
from ..signals.conversion import is_recorded
from ..signals.filtering import check_band
from ..signals.splines import Splines, with_sites
from ..weights.registry import Kind, SystemName
from ..weights.systems import SYSTEMS, Config
from .persistence import save_estimator

_PRECISIONS = ("auto", "float32", "bf16")


class SignalEstimator(BaseEstimator):
    """An estimator that reads trials and has the parameters which say how.

    Its subclasses have the parameters ``pretrained``, ``unit``, ``ch_names``, ``sfreq``,
    ``device`` and ``verbose``, and ``channels`` where the model has a vocabulary.
    """

    #: Whose architecture the model must have.
    _system: ClassVar[SystemName]
    #: Whether the model sees all channels together, so that a broken one spoils the others.
    _joint: ClassVar[bool] = True
    #: What fit has warned of: it is not said again of other trials.
    _told: frozenset[str] = frozenset()
    #: Types of the channels that fit saw; None if nothing was known.
    _fitted_types: tuple[str, ...] | None = None
    #: Weights of the sites that channels="interpolate" computes.
    _splines: Splines | None = None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Two-dimensional arrays stay allowed: scikit-learn's checks would all skip otherwise.
        tags.input_tags.three_d_array = True
        return tags

    def _match(self, X: Any, config: Config) -> Inputs:
        """Match the trials given to fit to a model, and remember how."""
        trials = read_trials(self, X, config, reset=True)
        self.channel_report_, self._splines = self._choose_channels(trials, config)
        self._told = self._judge(trials, config)
        self._fitted_names, self._fitted_bands = trials.ch_names, trials.bands
        self._fitted_types = trials.ch_types
        trials = with_sites(trials, self._splines)
        inputs = self._plan(trials, config)
        self.config_ = config
        self.ch_names_ = inputs.ch_names
        self.segmentation_ = inputs.segmentation
        self._fitted_waiting = tuple(trials.waiting)
        warn_of_projectors(trials, inputs.ch_names)
        return inputs

    def _seen(self, X: Any) -> Inputs:
        """Trials with the channels that fit saw."""
        trials = read_trials(self, X, self.config_, reset=False)
        read = {i for i, match in enumerate(self.channel_report_) if match.used}
        if self._splines is not None:
            read.update(self._splines.sources)
        names = [name for i, name in enumerate(self._fitted_names) if i in read]
        trials = as_fitted(
            trials, self._fitted_names, names, self._fitted_types, self.config_.modality
        )
        warn_of_projectors(trials, self.ch_names_, self._fitted_waiting)
        self._judge(trials, self.config_, self._fitted_bands, self._told)
        trials = with_sites(trials, self._splines)
        return self._plan(trials, self.config_, self.segmentation_)

    def _judge(
        self,
        trials: Trials,
        config: Config,
        known: Sequence[tuple[float, float]] = (),
        told: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """Warn of filters and amplitudes of which fit did not; say of what there was to warn."""
        if not set(trials.bands) <= set(known) and check_band(trials, preprocessing_of(config)):
            # An offset is of the same cause as a wide band and has the same remedy.
            told |= {"offset"}
        return check_amplitude(trials, self.channel_report_, joint=self._joint, warned=told)

    def _learn(self, inputs: Inputs, weights: NDArray[np.floating] | None = None) -> Inputs:
        """Learn from trials, by their weights, how to prepare them."""
        return inputs

    def _choose_channels(self, trials: Trials, config: Any) -> tuple[ChannelReport, Splines | None]:
        return match_and_interpolate(
            trials.ch_names,
            config.channels,
            mode=self.channels,
            positions=trials.positions,
            ch_types=trials.ch_types,
            bads=trials.bads,
            modality=config.modality,
        )

    def _plan(self, trials: Trials, config: Any, known: Segmentation | None = None) -> Inputs:
        return plan(trials, self.channel_report_, config, known)

    def _trials_per_pass(
        self, batch_size: int | str, n_channels: int, n_patches: int, device: torch.device
    ) -> int:
        """Trials of so many channels and patches, at most, that the model is given at a time."""
        return resolve_batch_size(batch_size, n_channels * n_patches, device)

    def _run(
        self,
        model: nn.Module,
        forward: Callable[[list[Tensor], Tensor], tuple[Tensor, ...]],
        inputs: Inputs,
        batch_size: int | str = "auto",
        *,
        bf16: bool = False,
    ) -> Iterator[tuple[NDArray[Any], ...]]:
        """Apply a model to all trials, see :func:`run_batches`."""
        device = resolve_device(self.device)
        size = self._trials_per_pass(
            batch_size, len(inputs.picks), max(inputs.segmentation.segments), device
        )
        return run_batches(
            model,
            forward,
            inputs,
            device=device,
            batch_size=size,
            verbose=self.verbose,
            bf16=bf16,
        )

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted estimator as a folder of safetensors and JSON.

        Parameters
        ----------
        path : str | path-like
            Folder, made if absent; an estimator in it is replaced.

        Returns
        -------
        Path
            The folder, for :func:`~mne_neurorvq.load_estimator`. It holds the weights of the
            models that the estimator has used.

        Warns
        -----
        UserWarning
            If there are callbacks, a RandomState or a ``joblib.Memory``, which are not saved.
        """
        check_is_fitted(self)
        return save_estimator(self, path)

    @abstractmethod
    def _saved(self) -> tuple[nn.Module, dict[str, Any]]:
        """Give what holds the weights of the fitted estimator, and how to make it again."""

    @abstractmethod
    def _parts(self, record: dict[str, Any]) -> dict[Kind, Config]:
        """Give the configurations of the models that the record tells of."""

    @abstractmethod
    def _restored(self, record: dict[str, Any], read: Callable[[nn.Module], None]) -> nn.Module:
        """Make the network again, with the weights that ``read`` puts into what holds them."""

    @abstractmethod
    def _hold(self, model: nn.Module, record: dict[str, Any]) -> None:
        """Take up the network and what else the record tells of it."""

    def _learned(self) -> dict[str, Any]:
        """Give what was learned besides channels and weights, as plain data."""
        return {}

    def _recall(self, learned: dict[str, Any]) -> None:
        """Take up what :meth:`_learned` gave."""

    def _check_signal_parameters(self) -> None:
        if not isinstance(self.pretrained, (str, PathLike)):
            raise TypeError(
                f"pretrained={self.pretrained!r} must be the name of a model (list_pretrained() "
                "gives them) or a path."
            )
        if hasattr(self, "precision"):
            check_choice("precision", self.precision, _PRECISIONS)
        check_choice("verbose", self.verbose, (None, True, False))

    def _check_model_name(self) -> None:
        """Raise, before a model is downloaded, if it is another system's or cannot be used yet."""
        entry = registered(self.pretrained)
        if entry is None:
            return
        if entry.system != self._system:
            raise ValueError(
                f"pretrained={entry.name!r} is a {SYSTEMS[entry.system].title} model, but "
                f"{type(self).__name__} needs one of {SYSTEMS[self._system].title}: "
                "list_pretrained() says whose each is."
            )
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


def read_trials(estimator: BaseEstimator, X: Any, config: Config, *, reset: bool) -> Trials:
    """Make trials of any input and keep scikit-learn's record of its width.

    Parameters
    ----------
    estimator : BaseEstimator
        Has the parameters ``ch_names``, ``sfreq`` and ``unit``; gets ``n_features_in_``.
    X : Epochs | list of Epochs | array | dataset
        What the user gave.
    config : Config
        Gives the rate of an array of one unnamed channel.
    reset : bool
        Whether this is :meth:`fit`; otherwise the width must be the one seen then.

    Returns
    -------
    Trials
        The trials.
    """
    if _is_plain(X):
        if np.ma.isMaskedArray(X):
            # scikit-learn drops the mask, and what it hides would pass for signal.
            X = np.ma.filled(X.astype(np.float64), np.nan)
        # Finite values are checked later, where trial and channel can be named.
        X = validate_data(
            estimator, X, reset=reset, dtype="numeric", allow_nd=True, ensure_all_finite=False
        )
    trials = as_trials(
        X,
        ch_names=estimator.ch_names,
        sfreq=estimator.sfreq,
        unit=estimator.unit,
        default_sfreq=config.sfreq,
    )
    if reset and not _is_plain(X):
        estimator.n_features_in_ = len(trials.ch_names)
    return trials


def _is_plain(X: Any) -> bool:
    """Whether X is an array or nested lists of numbers, which scikit-learn can validate."""
    items = X if isinstance(X, (list, tuple)) else [X]
    return not any(isinstance(item, (tuple, str, PathLike)) or is_recorded(item) for item in items)
