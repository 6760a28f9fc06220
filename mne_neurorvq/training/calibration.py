# License: BSD-3-Clause
"""Removing what is left of an amplitude bias when the tokenizer is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..models import NeuroRVQTokenizer
from .crops import Recording, validation_batches

_ROUNDS = 4


@torch.no_grad()
def calibrate_amplitude(tokenizer: NeuroRVQTokenizer, recordings: Sequence[Recording]) -> float:
    """Shift the predicted log amplitude so that reconstructions are as large as the signals.

    A decoder that minimises a squared error shrinks what it is unsure of, and the signal comes
    back too small. One number, the bias of the amplitude head, is set on the training recordings
    until the standard deviation of their reconstructed channels is right on (geometric) average.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer
        Changed in place.
    recordings : sequence of Recording
        The training recordings.

    Returns
    -------
    float
        What the log amplitude was raised by.

    Notes
    -----
    The head predicts the log amplitude in units of its standard deviation in the segment, hence
    the division by the mean of that.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import Recording, calibrate_amplitude
    >>> tokenizer = load_pretrained("neurorvq-eeg-tiny-random").require("tokenizer")
    >>> noise = 10 * np.random.default_rng(0).standard_normal((2, 4000), dtype=np.float32)
    >>> raised = calibrate_amplitude(tokenizer, [Recording(noise, np.array([27, 31]), "noise")])
    >>> raised > 0  # an untrained decoder gives too little
    True
    """
    head = tokenizer.to_amplitude[-1]
    assert isinstance(head, nn.Linear)
    raised = 0.0
    for _ in range(_ROUNDS):
        logs, spreads = [], []
        for batch in validation_batches(recordings, tokenizer.config):
            codes, side = tokenizer.encode(batch.windows, batch.channel_ids)
            rebuilt = tokenizer.decode_codes(codes, side, batch.channel_ids)
            logs.append((rebuilt.std(-1) / batch.windows.std(-1)).log().flatten())
            spreads.append(side[:, 1])
        log_gain = torch.cat(logs)
        step = -log_gain[log_gain.isfinite()].mean() / torch.cat(spreads).mean()
        head.bias.add_(step)
        raised += step.item()
    return raised
