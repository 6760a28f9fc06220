# License: BSD-3-Clause
"""Pretrained networks of braindecode as frozen features, with weights that all fit or none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import mne
import numpy as np
import torch
from huggingface_hub import hf_hub_download
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load_file
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor, nn

from .._fitting import all_or_nothing
from .._optional import optional
from ..encoding.passes import resolve_device
from ..signals.resampling import resample
from .pipeline_files import NotAtHand

with optional("a network of braindecode", "benchmark"), warnings.catch_warnings(action="ignore"):
    # Importing it raises deprecation warnings of its dependencies.
    import braindecode.models

_FILE = "model.safetensors"
_HEAD = "final_layer"


def _percentile(x: NDArray[Any]) -> NDArray[Any]:
    size = np.quantile(abs(x), 0.95, axis=-1, keepdims=True)
    return np.divide(x, size, out=np.zeros_like(x), where=size > 0)


def _range(x: NDArray[Any]) -> NDArray[Any]:
    low, high = x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)
    return np.asarray(2 * (x - low) / (high - low) - 1)


def _zscore(x: NDArray[Any]) -> NDArray[Any]:
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    return np.asarray((centred / centred.std(axis=(1, 2), keepdims=True)).clip(-15, 15))


#: What networks were trained on, made of microvolts, as open-eeg-bench 0.6 has it.
SCALES: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "100uV": lambda x: x / 100,
    "percentile": _percentile,
    "range": _range,
    "z-score": _zscore,
}


class PretrainedNetwork(TransformerMixin, BaseEstimator):
    """Features of a frozen network of braindecode, of all its tokens in a row.

    Parameters
    ----------
    module : str
        Class in :mod:`braindecode.models`.
    weights : str | None
        Repository on the Hugging Face Hub, or path of a file; None leaves random weights.
    sfreq : float
        Rate in Hz that the network reads; trials are resampled.
    scale : "100uV" | "percentile" | "range" | "z-score"
        What it was trained on: microvolts by 100, channels by the 95th percentile of their
        amplitude, windows from -1 to 1, or standardised windows.
    settings : dict | None
        Further arguments of the class.
    batch_size : int
        Trials per forward pass.

    Raises
    ------
    NotAtHand
        If the weights cannot be had, or some of the network's are not among them: it is then not
        a pretrained network.
    """

    def __init__(
        self,
        module: str,
        weights: str | None,
        *,
        sfreq: float,
        scale: str,
        settings: Mapping[str, Any] | None = None,
        batch_size: int = 16,
    ) -> None:
        self.module = module
        self.weights = weights
        self.sfreq = sfreq
        self.scale = scale
        self.settings = settings
        self.batch_size = batch_size

    @all_or_nothing
    def fit(self, X: mne.BaseEpochs, y: ArrayLike | None = None) -> Self:
        """Build the network for these channels and this length, and load its weights.

        Parameters
        ----------
        X : mne.Epochs
            Trials.
        y : None
            Ignored.

        Returns
        -------
        PretrainedNetwork
            Itself.
        """
        state = None if self.weights is None else load_file(_find(self.weights))
        windows = self._windows(X[:1])
        with (
            torch.random.fork_rng(devices=[]),
            warnings.catch_warnings(action="ignore"),
            mne.utils.use_log_level("error"),
        ):
            torch.manual_seed(0)
            network = getattr(braindecode.models, self.module)(
                n_outputs=2,
                chs_info=X.copy().pick("eeg").info["chs"],
                n_times=windows.shape[-1],
                sfreq=self.sfreq,
                **(self.settings or {}),
            )
        if state is not None:
            _load(network, state, str(self.weights))
        self.network_ = network.eval().to(resolve_device("auto"))
        return self

    def transform(self, X: mne.BaseEpochs) -> NDArray[np.float32]:
        """Compute the features.

        Parameters
        ----------
        X : mne.Epochs
            Trials.

        Returns
        -------
        ndarray, shape (n_trials, n_columns)
            Features.
        """
        windows = torch.tensor(self._windows(X), dtype=torch.float32)
        device = next(self.network_.parameters()).device
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A window was not provided")  # BIOT's spectra
            parts = [
                self.network_(part.to(device), return_features=True)["features"].flatten(1).cpu()
                for part in windows.split(self.batch_size)
            ]
        found: NDArray[np.float32] = torch.cat(parts).numpy()
        return found

    def _windows(self, epochs: mne.BaseEpochs) -> NDArray[np.float64]:
        signals = 1e6 * epochs.get_data(picks="eeg", verbose="error")
        return SCALES[self.scale](resample(signals, epochs.info["sfreq"], self.sfreq))


def _find(weights: str) -> Path:
    if Path(weights).is_file():
        return Path(weights)
    try:
        return Path(hf_hub_download(weights, _FILE))
    except (OSError, ValueError) as error:  # as huggingface_hub raises without a network
        raise NotAtHand(
            f"the weights {weights} cannot be had ({type(error).__name__}): download {_FILE} from "
            f"https://huggingface.co/{weights} with `hf download {weights}`, on a machine with a "
            "network if this one has none, or give the path of the file as weights."
        ) from error


def _load(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load all weights but those of the head; positions of longer windows may be left over."""
    own = {k: v for k, v in network.state_dict().items() if not k.startswith(f"{_HEAD}.")}
    fitting = {}
    for key, wanted in own.items():
        found = state.get(key)
        if found is not None and found.ndim == wanted.ndim:
            if key.endswith("temporal_embedding"):
                found = found[:, : wanted.shape[1]]
            if found.shape == wanted.shape:
                fitting[key] = found
    learned = {key for key, _ in network.named_parameters()} & set(own)
    absent = sorted(learned - set(fitting))
    if absent:
        raise NotAtHand(
            f"{name} lacks {len(absent)} of the {len(learned)} weights of "
            f"{type(network).__name__}, or has them in another shape, such as {absent[0]}: it "
            "would not be a pretrained network. Use the release of braindecode that the file was "
            "made for, or the path of another file as weights."
        )
    network.load_state_dict(fitting, strict=False)
