# License: BSD-3-Clause
"""What all estimators share: from the user's trials to trials matched to a model."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, replace
from numbers import Real
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_scalar, validate_data
from torch import nn

from .._references import REFERENCES, Reference
from ..encoding.matched_trials import FittedChannels, MatchedTrials, match, match_again
from ..encoding.pooling import POOL_NAMES
from ..signals import Segmentation, Trials, unit_factor
from ..signals.conversion import recorded_trials, trials_of_array
from ..signals.modalities import find_modality
from ..signals.reference import kind_of
from ..weights import LoadedModel
from ..weights.registry import SystemName, registered
from ..weights.sharing import CPU
from ..weights.systems import SYSTEMS, Config
from .persistence import SavedEstimator


class SignalEstimator(SavedEstimator):
    """An estimator that reads trials and has the parameters which say how.

    Its subclasses have the parameters ``pretrained``, ``revision``, ``reference``, ``unit``,
    ``ch_names``, ``sfreq``, ``device`` and ``verbose``, and ``channels`` where the model has a
    vocabulary.
    """

    #: Whose architecture the model must have.
    _system: ClassVar[SystemName]
    #: Values that a parameter may have, where an estimator has it.
    _choices: ClassVar[dict[str, tuple[object, ...]]] = {
        "verbose": (None, True, False),
        "precision": ("auto", "float32", "bf16"),
        "pool": POOL_NAMES,
        "scaling": ("trial", "fit"),
        "finetune": ("full", "head", "lora"),
        "head": ("mean", "flatten"),
        "reference": (None, *REFERENCES),
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Two-dimensional arrays stay allowed: scikit-learn's checks would all skip otherwise.
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with all models on the CPU: it loads on a machine without a GPU."""
        return {name: on_device(value, CPU) for name, value in super().__getstate__().items()}

    def _match(self, X: Any, config: Config) -> MatchedTrials:
        """Match the trials given to fit to a model, and remember how."""
        if (rate := getattr(self, "model_sfreq", None)) is not None:
            config = replace(config, sfreq=float(rate))
        trials = read_trials(self, X, config, reset=True)
        mode = getattr(self, "channels", "match")
        self._fitted, matched = match(trials, config, mode, self.reference)
        self.channel_report_, self.ch_names_ = self._fitted.report, self._fitted.used
        self.reference_: Reference = kind_of(self._fitted.rereference)
        self.config_, self.segmentation_ = config, matched.segmentation
        return matched

    def _learn(
        self, matched: MatchedTrials, weights: NDArray[np.floating] | None = None
    ) -> MatchedTrials:
        """Learn from trials, by their weights ``(n_trials,)``, how they are prepared."""
        return matched

    def _match_again(self, X: Any) -> MatchedTrials:
        """Check the parameters, and match trials to the model by what fit has learned."""
        if not hasattr(self, "_fitted"):
            check_is_fitted(self)  # scikit-learn's words
        self._check_parameters()
        trials = read_trials(self, X, self.config_, reset=False)
        return match_again(trials, self._fitted, self.config_, self.segmentation_)

    def _state(self) -> tuple[dict[str, Any], nn.Module]:
        facts, weights = self._network_state()
        return {
            "learned": self._learned(),
            **facts,
            "config": self.config_.to_dict(),
            "segmentation": asdict(self.segmentation_),
            **self._fitted.to_dict(),
            "n_features_in": self.n_features_in_,
            "feature_names_in": getattr(self, "feature_names_in_", np.array([])).tolist(),
        }, weights

    def _set_state(self, record: dict[str, Any]) -> None:
        segments = tuple(record["segmentation"]["segments"])
        self.segmentation_ = Segmentation(**record["segmentation"] | {"segments": segments})
        self._fitted = FittedChannels.from_dict(record)
        self.channel_report_, self.ch_names_ = self._fitted.report, self._fitted.used
        self.reference_ = kind_of(self._fitted.rereference)
        self.config_ = SYSTEMS[self._system].config.from_dict(record["config"])
        self.n_features_in_ = record["n_features_in"]
        if record["feature_names_in"]:
            self.feature_names_in_ = np.array(record["feature_names_in"], dtype=object)
        self._set_learned(record["learned"])

    def _network_state(self) -> tuple[dict[str, Any], nn.Module]:
        """Return what is needed to build the network again, and the module with its weights."""
        raise NotImplementedError

    def _learned(self) -> dict[str, Any]:
        """Return what was learned besides channels and weights, as plain data."""
        return {}

    def _set_learned(self, learned: dict[str, Any]) -> None:
        """Restore what :meth:`_learned` returned."""

    def _check_parameters(self) -> None:
        """Raise if a parameter is impossible."""
        if not isinstance(self.pretrained, (str, PathLike)):
            raise TypeError(
                f"pretrained={self.pretrained!r} must be the name of a model (list_pretrained() "
                "gives them) or a path."
            )
        if (rate := getattr(self, "model_sfreq", None)) is not None:
            check_scalar(rate, "model_sfreq", Real, min_val=0, include_boundaries="neither")
        for name, allowed in self._choices.items():
            if hasattr(self, name) and getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {allowed}.")

    def _check_model_name(self) -> None:
        """Raise, before a model is downloaded, if it is another system's."""
        entry = registered(self.pretrained)
        if entry is not None and entry.system != self._system:
            raise ValueError(
                f"pretrained={entry.name!r} is a {SYSTEMS[entry.system].title} model, but "
                f"{type(self).__name__} needs one of {SYSTEMS[self._system].title}: "
                "list_pretrained() lists the system of each."
            )


def read_trials(estimator: BaseEstimator, X: Any, config: Config, *, reset: bool) -> Trials:
    """Make trials of any input and keep, or check, scikit-learn's record of its width."""
    unit_factor(estimator.unit, estimator.unit)  # raises if it is unknown
    trials = recorded_trials(X)
    items = X if isinstance(X, (list, tuple)) else ()
    # Windows of braindecode are tuples, which scikit-learn cannot validate.
    plain = trials is None and not any(isinstance(item, tuple) for item in items)
    if plain:
        if np.ma.isMaskedArray(X):
            # scikit-learn drops the mask, and what it hides would pass for signal.
            X = np.ma.filled(X.astype(np.float64), np.nan)
        # Finite values are checked later, where trial and channel can be named.
        X = validate_data(
            estimator, X, reset=reset, dtype="numeric", allow_nd=True, ensure_all_finite=False
        )
    if trials is None:
        trials = trials_of_array(
            X,
            estimator.ch_names,
            estimator.sfreq,
            estimator.unit,
            default_ch_name=find_modality(config.modality).ch_name,
            default_sfreq=config.sfreq,
        )
    if reset and not plain:
        estimator.n_features_in_ = len(trials.ch_names)
    return trials


def set_parameters(estimator: BaseEstimator, parameters: dict[str, Any]) -> None:
    """Store the arguments of ``__init__``, its ``locals()``, untouched."""
    vars(estimator).update((name, value) for name, value in parameters.items() if name != "self")


def on_device(value: Any, device: torch.device) -> Any:
    """Return a value with the models in it there: copies, since others may be using them."""
    if isinstance(value, nn.Module):
        there = next(value.parameters()).device == device
        return value if there else deepcopy(value).to(device)
    if isinstance(value, LoadedModel):
        models = {kind: on_device(getattr(value, kind), device) for kind in value.kinds}
        return replace(value, **models)
    if isinstance(value, dict) and any(isinstance(item, LoadedModel) for item in value.values()):
        return {key: on_device(item, device) for key, item in value.items()}
    return value
