# License: BSD-3-Clause
"""Removing what is left of an amplitude bias when the tokenizer is trained."""

from __future__ import annotations

import torch
from torch import nn

from ..models import NeuroRVQTokenizer
from .batches import watched_batches
from .corpus.dataset import CorpusDataset

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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import CorpusDataset, calibrate_amplitude, prepare_corpus
    >>> folder = Path(tempfile.mkdtemp())
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     name = raw.info["subject_info"]["his_id"]
    ...     _ = raw.save(folder / f"{name}_raw.fif", verbose=False)
    >>> _ = prepare_corpus([folder], folder / "corpus", window=4)
    >>> tokenizer = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> raised = calibrate_amplitude(tokenizer, CorpusDataset(folder / "corpus"))
    >>> raised > 0  # an untrained decoder gives too little
    True
    """
    head = tokenizer.to_amplitude[-1]
    assert isinstance(head, nn.Linear)
    encoded = [
        (batch, *tokenizer.encode(batch.windows, batch.channel_ids))
        for _, batch in watched_batches(corpus, tokenizer.config)
    ]
    spread = torch.cat([side[:, 1] for _, _, side in encoded]).mean()
    raised = 0.0
    for _ in range(_ROUNDS):
        logs = []
        for batch, codes, side in encoded:
            rebuilt = tokenizer.decode_codes(codes, side, batch.channel_ids)
            logs.append((rebuilt.std(-1) / batch.windows.std(-1)).log().flatten())
        log_gain = torch.cat(logs)
        step = -log_gain[log_gain.isfinite()].mean() / spread
        head.bias.add_(step)
        raised += step.item()
    return raised
