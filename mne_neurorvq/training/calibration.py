# License: BSD-3-Clause
"""Removing what is left of an amplitude bias when the tokenizer is trained."""

from __future__ import annotations

import torch
from torch import nn

from ..models import NeuroRVQTokenizer
from .corpus.dataset import CorpusDataset
from .feeding import watched_batches

_ROUNDS = 4


@torch.no_grad()
def calibrate_amplitude(tokenizer: NeuroRVQTokenizer, corpus: CorpusDataset) -> float:
    """Shift the predicted log amplitude so that reconstructions are as large as the signals.

    A decoder that minimises a squared error shrinks what it is unsure of, and the signal comes
    back too small. One number, the bias of the amplitude head, is set on the training windows
    until the standard deviation of their reconstructed channels is right on (geometric) average.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer
        Changed in place.
    corpus : CorpusDataset
        The training windows, some of each subject.

    Returns
    -------
    float
        What the log amplitude was raised by.

    Notes
    -----
    The head predicts the log amplitude in units of its standard deviation in the segment, hence
    the division by the mean of that.
    """
    head = tokenizer.to_amplitude[-1]
    assert isinstance(head, nn.Linear)
    batches = [batch for _, batch in watched_batches(corpus, tokenizer.config)]
    raised = 0.0
    for _ in range(_ROUNDS):
        logs, spreads = [], []
        for batch in batches:
            codes, side = tokenizer.encode(batch.windows, batch.channel_ids)
            rebuilt = tokenizer.decode_codes(codes, side, batch.channel_ids)
            logs.append((rebuilt.std(-1) / batch.windows.std(-1)).log().flatten())
            spreads.append(side[:, 1])
        log_gain = torch.cat(logs)
        step = -log_gain[log_gain.isfinite()].mean() / torch.cat(spreads).mean()
        head.bias.add_(step)
        raised += step.item()
    return raised
