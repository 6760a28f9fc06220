# License: BSD-3-Clause
"""How windows are cut into segments that fit a model's token budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._warnings import warn


@dataclass(frozen=True)
class Segmentation:
    """How a window is cut into patches and segments.

    Patches follow one another from the first sample. If the window does not end with a whole patch,
    the last patch ends with the window and overlaps its neighbour. Successive patches form a
    segment, the unit that a model sees at once.

    Parameters
    ----------
    n_times, patch_size : int
        Samples of the window, and of a patch, at the model's rate.
    segments : tuple of int
        Patches in each segment; they differ by one patch at most.
    overlap : int
        Samples that the last patch shares with its neighbour.
    padding : int
        Samples of reflection after the end of a window that is shorter than a patch.

    Examples
    --------
    >>> from mne_neurorvq.signals import Segmentation
    >>> plan = Segmentation(n_times=500, patch_size=200, segments=(2, 1), overlap=100, padding=0)
    >>> plan.n_patches, plan.starts, plan.weights
    (3, array([  0, 200, 300]), array([1. , 1. , 0.5]))
    """

    n_times: int
    patch_size: int
    segments: tuple[int, ...]
    overlap: int = 0
    padding: int = 0

    def __post_init__(self) -> None:
        covered = self.n_patches * self.patch_size
        if covered != self.n_times + self.overlap + self.padding or min(self.segments) < 1:
            raise ValueError(
                f"A segmentation into {self.segments} patches of {self.patch_size} samples with "
                f"overlap {self.overlap} and padding {self.padding} does not cover a window of "
                f"{self.n_times} samples exactly."
            )

    @cached_property
    def n_patches(self) -> int:
        """Patches of the window."""
        return sum(self.segments)

    @property
    def starts(self) -> NDArray[np.intp]:
        """First sample of every patch, shape (n_patches,)."""
        starts = np.arange(self.n_patches) * self.patch_size
        starts[-1] -= self.overlap
        return starts

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Part of every patch that no earlier patch holds, shape (n_patches,): pool with it."""
        weights = np.ones(self.n_patches)
        weights[-1] -= (self.overlap + self.padding) / self.patch_size
        weights.flags.writeable = False
        return weights

    @cached_property
    def thirds(self) -> NDArray[np.float64]:
        """Share of every patch in each third of the window, shape (3, n_patches); rows sum to one.

        Thirds may end within patches, so that windows of any number of patches have three.
        """
        ends = np.cumsum(self.weights) / self.weights.sum()
        edges = np.linspace(0.0, 1.0, 4)
        starts = np.concatenate([[0.0], ends[:-1]])
        common = np.minimum(ends, edges[1:, None]) - np.maximum(starts, edges[:-1, None])
        return common.clip(min=0.0) * 3


def plan_segments(
    n_times: int, n_channels: int, *, patch_size: int, max_patches: int
) -> Segmentation:
    """Decide how windows are cut into patches and segments.

    Parameters
    ----------
    n_times, n_channels : int
        Samples of a window at the model's rate, and channels that the model will see.
    patch_size : int
        Samples of a patch.
    max_patches : int
        Token budget of the model: the most channels * patches that it takes at once.

    Returns
    -------
    segmentation : Segmentation
        As few segments as the budget allows, of equal length but for one patch.

    Raises
    ------
    ValueError
        If a single patch of all channels exceeds the budget, or a number is below 1.

    Warns
    -----
    UserWarning
        If the window is shorter than a patch and will be padded by reflection.

    Examples
    --------
    >>> from mne_neurorvq.signals import plan_segments
    >>> plan = plan_segments(1700, 64, patch_size=200, max_patches=256)
    >>> plan.segments, plan.overlap
    ((3, 3, 3), 100)
    """
    for name, value in (
        ("n_times", n_times),
        ("n_channels", n_channels),
        ("patch_size", patch_size),
        ("max_patches", max_patches),
    ):
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    if n_channels > max_patches:
        raise ValueError(
            f"n_channels={n_channels} exceeds the {max_patches} patches that the model takes at "
            "once: pick fewer channels."
        )
    padding = max(patch_size - n_times, 0)
    if padding:
        warn(
            f"Windows of {n_times} samples (at the model's rate) are shorter than one patch of "
            f"{patch_size} samples and are padded by reflection to one patch."
        )
    n_patches = -(-n_times // patch_size)
    overlap = n_patches * patch_size - n_times - padding
    n_segments = -(-n_patches // (max_patches // n_channels))
    shorter, longer_count = divmod(n_patches, n_segments)
    segments = (shorter + 1,) * longer_count + (shorter,) * (n_segments - longer_count)
    return Segmentation(n_times, patch_size, segments, overlap, padding)
