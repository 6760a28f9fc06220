# License: BSD-3-Clause
"""How stable codes are under small changes of the signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .codes import code_usage
from .perturbations import PERTURBATIONS, Perturbation
from .trial_arrays import nanmean, signals_of, with_signals

if TYPE_CHECKING:
    from ..tokens import Tokens


@dataclass(frozen=True)
class CodeStability:
    """Share of unchanged codes for each perturbation.

    Attributes
    ----------
    perturbations : tuple of str
        Their names.
    equal : array, shape (n_perturbations, n_trials, n_codebooks, n_levels)
        Share of the codes of a trial that do not change, over all channels and patches.
    elsewhere : array, shape (n_perturbations, n_trials, n_codebooks, n_levels)
        The same over the patches in which no sample was changed, which shows how far a change
        reaches. NaN where there is no such patch.
    chance : array, shape (n_codebooks, n_levels)
        Share of equal codes in two independent draws from the codes of all trials.
    """

    perturbations: tuple[str, ...]
    equal: np.ndarray
    elsewhere: np.ndarray
    chance: np.ndarray

    @property
    def mean(self) -> dict[str, np.ndarray]:
        """Mean of ``equal`` over the trials by name, each of shape (n_codebooks, n_levels)."""
        return dict(zip(self.perturbations, self.equal.mean(axis=1), strict=True))

    @property
    def mean_elsewhere(self) -> dict[str, np.ndarray]:
        """The same of ``elsewhere``, over the trials in which it is defined."""
        means = nanmean(self.elsewhere, axis=1)
        return dict(zip(self.perturbations, means, strict=True))


def code_stability(
    transformer: Any,
    X: Any,
    perturbations: Mapping[str, Perturbation] = PERTURBATIONS,
    *,
    random_state: int = 0,
) -> CodeStability:
    """Compare the codes of trials with those of slightly changed trials.

    Parameters
    ----------
    transformer : NeuroRVQTransformer | object
        Any fitted object whose ``tokenize(X)`` returns :class:`~mne_neurorvq.Tokens`.
    X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        Trials, in the unit that the transformer expects. They are not modified, and are all held
        in memory.
    perturbations : dict of str to callable
        By name: :class:`Noise`, :class:`Gain`, :class:`Mask`, or any function that takes signals
        ``(n_trials, n_channels, n_times)`` and a :class:`numpy.random.Generator` and returns the
        changed signals.
    random_state : int
        Seed. Each perturbation gets its own generator with this seed, so that noise at two ratios
        differs in size only.

    Returns
    -------
    stability : CodeStability
        Share of equal codes for each perturbation, trial, codebook and level.


    Notes
    -----
    A level codes the residual of the levels before it: where an early code changes, the later
    ones code another residual and agree hardly more often than by chance.

    Patches that a mask touches naturally get other codes, and longer patches are touched more
    often. When comparing models, look at ``elsewhere`` too.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.analysis import Mask, Noise
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", verbose=False).fit(epochs)
    >>> stability = code_stability(model, epochs, {"30 dB": Noise(30.0), "mask": Mask(0.1)})
    >>> stability.equal.shape  # perturbations, trials, codebooks, levels
    (2, 2, 4, 2)
    >>> bool((stability.mean["30 dB"] > stability.chance).all())
    True
    """
    if not perturbations:
        raise ValueError("perturbations is empty: give at least one")
    signals = signals_of("X", X)
    signals.setflags(write=False)  # a perturbation in place would change the next one's input
    tokens: Tokens = transformer.tokenize(X)
    counts = code_usage(tokens).counts
    equal, elsewhere = [], []
    for name, perturb in perturbations.items():
        changed = perturb(signals, np.random.default_rng(random_state))
        if changed.shape != signals.shape:
            raise ValueError(
                f"the perturbation {name!r} made signals of shape {changed.shape} out of "
                f"{signals.shape}"
            )
        stays = transformer.tokenize(with_signals(X, changed)).codes == tokens.codes
        equal.append(stays.mean(axis=(1, 2)))
        untouched = untouched_patches(tokens, (changed == signals).all(axis=1))
        n_kept = np.einsum("ncpbl,np->nbl", stays, untouched.astype(float))
        with np.errstate(invalid="ignore"):  # a trial may have no such patch
            elsewhere.append(n_kept / (stays.shape[1] * untouched.sum(axis=1))[:, None, None])
    return CodeStability(
        perturbations=tuple(perturbations),
        equal=np.stack(equal),
        elsewhere=np.stack(elsewhere),
        chance=((counts / counts.sum(axis=-1, keepdims=True)) ** 2).sum(axis=-1),
    )


def untouched_patches(tokens: Tokens, same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the patches (n_trials, n_patches) whose samples `same` (n_trials, n_times) all are."""
    starts = (tokens.patch_times - tokens.tmin) * tokens.sfreq
    stops = starts + tokens.patch_size / tokens.model_sfreq * tokens.sfreq
    # If the rates differ, a patch begins and ends between two samples: include both.
    spans = zip(np.floor(starts + 1e-6), np.ceil(stops - 1e-6), strict=True)
    return np.stack([same[:, int(a) : int(b)].all(axis=1) for a, b in spans], axis=1)
