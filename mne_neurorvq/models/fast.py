# License: BSD-3-Clause
"""Sizes of forward passes that suit a processor."""

from __future__ import annotations

# Tokens of a forward pass: on a CPU larger passes leave the cache and gain nothing.
_TOKENS = {"cpu": 256, "cuda": 16384}
# Series of a pass of BioCodec, and patches of each of them: more gain nothing.
_SERIES = {"cpu": 64, "cuda": 4096}
_PATCHES_PER_SERIES = 125


def tokens_per_pass(device: str) -> int:
    """Tokens of a forward pass of a transformer on a type of device."""
    return _TOKENS.get(device, _TOKENS["cpu"])


def series_per_pass(n_patches: int, device: str) -> int:
    """Series of so many patches of a forward pass of a codec on a type of device."""
    most = _SERIES.get(device, _SERIES["cpu"])
    return max(1, min(most, most * _PATCHES_PER_SERIES // n_patches))
