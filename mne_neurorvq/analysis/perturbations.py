# License: BSD-3-Clause
"""Small changes of the signals that should not change the codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: Takes signals ``(n_trials, n_channels, n_times)`` and a generator, returns changed signals.
Perturbation = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


@dataclass(frozen=True)
class Noise:
    """White noise at a given signal-to-noise ratio.

    Parameters
    ----------
    snr : float
        Ratio in dB of the variance of the signal to the mean square of the noise, met exactly in
        each trial and channel. Noise is white up to half the sampling rate of the signals.
    kind : "gaussian" | "uniform"
        Distribution of the noise.


    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signals = 10e-6 * rng.standard_normal((2, 3, 400))
    >>> noise = Noise(20.0)(signals, rng) - signals
    >>> (10 * np.log10(signals.var(axis=-1) / (noise**2).mean(axis=-1))).round(6)
    array([[20., 20., 20.],
           [20., 20., 20.]])
    """

    snr: float
    kind: Literal["gaussian", "uniform"] = "gaussian"

    def __post_init__(self) -> None:
        if not np.isfinite(self.snr):
            raise ValueError(f"snr must be a finite number of dB, got {self.snr}")
        if self.kind not in ("gaussian", "uniform"):
            raise ValueError(f"kind must be 'gaussian' or 'uniform', got {self.kind!r}")

    def __call__(
        self, signals: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Add noise drawn for each trial and channel."""
        shape = signals.shape
        gaussian = self.kind == "gaussian"
        noise = rng.standard_normal(shape) if gaussian else rng.uniform(-1, 1, shape)
        power = signals.var(axis=-1, keepdims=True) / 10 ** (self.snr / 10)
        return signals + noise * np.sqrt(power / (noise**2).mean(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Gain:
    """Scale all channels by the same factor.

    Parameters
    ----------
    factor : float
        Factor that the signals are multiplied by.


    Examples
    --------
    >>> import numpy as np
    >>> Gain(1.2)(np.ones((1, 1, 3)), np.random.default_rng(0))
    array([[[1.2, 1.2, 1.2]]])
    """

    factor: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.factor) and self.factor > 0):
            raise ValueError(f"factor must be a positive number, got {self.factor}")

    def __call__(
        self, signals: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Multiply the signals."""
        return signals * self.factor


@dataclass(frozen=True)
class Mask:
    """Set an interval of each trial to zero in all channels.

    Parameters
    ----------
    share : float
        Duration of the interval as a share of the trial. Its position is drawn for each trial.


    Examples
    --------
    >>> import numpy as np
    >>> Mask(0.25)(np.ones((1, 1, 8)), np.random.default_rng(0))
    array([[[1., 1., 1., 1., 1., 0., 0., 1.]]])
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must be between 0 and 1, neither included, got {self.share}")

    def __call__(
        self, signals: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Set the interval to zero."""
        n_trials, _, n_times = signals.shape
        length = max(1, round(self.share * n_times))
        times = np.arange(n_times) - rng.integers(n_times - length + 1, size=(n_trials, 1))
        masked = (times >= 0) & (times < length)
        return np.where(masked[:, None], 0.0, signals)


#: Noise at 30, 20 and 10 dB, gain changed by 20 %, and a tenth of each trial set to zero.
PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType(
    {
        "gaussian 30 dB": Noise(30.0),
        "gaussian 20 dB": Noise(20.0),
        "gaussian 10 dB": Noise(10.0),
        "uniform 30 dB": Noise(30.0, "uniform"),
        "uniform 20 dB": Noise(20.0, "uniform"),
        "uniform 10 dB": Noise(10.0, "uniform"),
        "gain 0.8": Gain(0.8),
        "gain 1.2": Gain(1.2),
        "mask 10 %": Mask(0.1),
    }
)
