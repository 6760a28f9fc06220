# License: BSD-3-Clause
"""What the systems differ in on the way from a recording to a batch."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from ..models import BioCodecConfig, BrainRVQConfig
from ..signals import robust_scale
from ..weights.systems import Config

# Validation looks at so many patches of a window, and of BioCodec's at so many channels, which it
# codes one by one.
_WATCHED_PATCHES, _WATCHED_SECONDS, _WATCHED_CHANNELS = 4, 5, 8


def corpus_unit(config: Config) -> str:
    """Name the unit of the signals in a corpus: the model's, microvolts where it has none.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    str
        Unit.
    """
    return "uV" if isinstance(config, BioCodecConfig) else config.unit


def corpus_patch(config: Config) -> int:
    """Count the samples of a patch of a corpus: the model's, or a second where that is too short.

    A fraction of a second cannot be judged as flat or clipped.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    int
        Samples.
    """
    return round(config.sfreq) if isinstance(config, BioCodecConfig) else config.patch_size


def vocabulary(config: Config) -> tuple[str, ...]:
    """List the channels that a model knows by name.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    tuple of str
        Names; none if it takes any channel.
    """
    return () if isinstance(config, BioCodecConfig) else config.channels


def largest_crop(config: Config) -> tuple[int, int]:
    """Find how much a model takes at once.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    n_tokens, n_patches : int
        The most channels times patches, and the most patches of a channel; huge where there is no
        limit.
    """
    if isinstance(config, BioCodecConfig):
        return sys.maxsize, sys.maxsize
    if isinstance(config, BrainRVQConfig):
        return sys.maxsize, config.max_patches
    return config.max_patches, config.max_patches


def codebook_names(config: Config) -> tuple[str, ...]:
    """Name the codebooks, where each stands for something else.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    tuple of str
        The domains of BrainRVQ; nothing for other systems.
    """
    return config.domains if isinstance(config, BrainRVQConfig) else ()


def watched_size(config: Config, n_channels: int, n_patches: int) -> tuple[int, int]:
    """Find the size of what is watched of a window.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.
    n_channels, n_patches : int
        Size of the window.

    Returns
    -------
    n_channels, n_patches : int
        All channels that the model takes, of four patches; of BioCodec's, which codes channels one
        by one, at most 8, of 5 s.
    """
    if isinstance(config, BioCodecConfig):
        return min(_WATCHED_CHANNELS, n_channels), min(_WATCHED_SECONDS, n_patches)
    n_patches = min(_WATCHED_PATCHES, n_patches)
    return min(n_channels, largest_crop(config)[0] // n_patches), n_patches


def is_scaled(config: Config) -> bool:
    """Say whether a model takes signals scaled by median and interquartile range.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    bool
        False for those that take signals in their unit.
    """
    return isinstance(config, BioCodecConfig)


def model_input(windows: Tensor, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Make windows of a corpus what a model takes, and say how to undo it.

    Parameters
    ----------
    windows : Tensor, shape (n_windows, n_channels, n_times)
        Windows.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        The model.

    Returns
    -------
    windows : Tensor, shape (n_windows, n_channels, n_times)
        What the model takes.
    centre, scale : Tensor, shape (n_windows, n_channels, 1)
        The windows are ``scale`` times that plus ``centre``.
    """
    if not is_scaled(config):
        centre = windows.new_zeros(*windows.shape[:2], 1)
        return windows, centre, torch.ones_like(centre)
    scaled, centre, scale = (torch.from_numpy(a).float() for a in robust_scale(windows.numpy()))
    return scaled, centre[..., None], scale[..., None]
