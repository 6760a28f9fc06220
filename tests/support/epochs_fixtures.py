# License: BSD-3-Clause
"""Trials of a few subjects, and the smallest model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import mne
import numpy as np
import pandas as pd
import pytest

from mne_neurorvq import NeuroRVQTransformer, load_pretrained
from mne_neurorvq.encoding.memory import IN_PROCESS
from mne_neurorvq.weights import LoadedModel

TINY = "neurorvq-eeg-tiny-random"
CHANNELS = ("C3", "Cz", "C4", "Pz")
# Metres, in MNE's head frame; only that they come back matters.
POSITIONS = {
    "C3": (-0.06, 0.01, 0.08),
    "Cz": (0.0, 0.01, 0.1),
    "C4": (0.06, 0.01, 0.08),
    "Pz": (0.0, -0.05, 0.09),
}


def make_signals(
    n_trials: int, n_channels: int, n_times: int, seed: int = 0, scale: float = 20.0
) -> np.ndarray:
    """Noise in microvolts whose amplitude differs between trials and channels."""
    rng = np.random.default_rng(seed)
    gains = rng.uniform(0.5, 2.0, (n_trials, n_channels, 1))
    return scale * gains * rng.standard_normal((n_trials, n_channels, n_times))


@pytest.fixture(scope="session", autouse=True)
def _compute_everything() -> Iterator[None]:
    """Keep nothing in the process: results that are compared must have been computed."""
    bound, IN_PROCESS.most_bytes = IN_PROCESS.most_bytes, 0
    yield
    IN_PROCESS.most_bytes = bound


@pytest.fixture
def band() -> tuple[float, float]:
    """High-pass and low-pass that Epochs state: those of the model's preprocessing."""
    return 0.5, 44.5


@pytest.fixture
def make_epochs(band: tuple[float, float]) -> Callable[..., mne.EpochsArray]:
    """Epochs with positions, events of two kinds, and metadata."""

    def make(
        n_trials: int = 6,
        n_times: int = 320,
        sfreq: float = 160.0,
        ch_names: tuple[str, ...] = CHANNELS,
        *,
        tmin: float = 0.0,
        seed: int = 0,
        ch_types: str | list[str] = "eeg",
    ) -> mne.EpochsArray:
        microvolts = make_signals(n_trials, len(ch_names), n_times, seed)
        info = mne.create_info(list(ch_names), sfreq, ch_types, verbose="error")
        with info._unlock():
            info["highpass"], info["lowpass"] = band[0], min(band[1], sfreq / 2)
        known = {
            name: POSITIONS[name]
            for name, kind in zip(ch_names, info.get_channel_types(), strict=True)
            if name in POSITIONS and kind == "eeg"
        }
        if known:
            montage = mne.channels.make_dig_montage(known, coord_frame="head")
            info.set_montage(montage, on_missing="ignore")
        kinds = np.arange(n_trials) % 2
        # From the last to the first: nothing may sort trials by their samples.
        samples = 10_000 - 700 * np.arange(n_trials)
        return mne.EpochsArray(
            1e-6 * microvolts,
            info,
            events=np.column_stack([samples, np.zeros_like(kinds), kinds + 1]),
            event_id={"rest": 1, "hand/left": 2},
            tmin=tmin,
            metadata=pd.DataFrame(
                {"subject": [f"sub-{i * 3 // n_trials}" for i in range(n_trials)], "label": kinds}
            ),
            verbose="error",
        )

    return make


@pytest.fixture
def epochs(make_epochs: Callable[..., mne.EpochsArray]) -> mne.EpochsArray:
    """Six trials of four channels, two seconds at 160 Hz."""
    return make_epochs()


@pytest.fixture
def transformer() -> Callable[..., NeuroRVQTransformer]:
    """Make a transformer of the smallest model."""
    return partial(NeuroRVQTransformer, TINY)


@pytest.fixture(scope="session")
def tiny() -> LoadedModel:
    """The smallest model itself; not to be changed."""
    return load_pretrained(TINY)
