# License: BSD-3-Clause
"""The size of reconstructions, set when the tokenizer is trained."""

from __future__ import annotations

import torch

from mne_neurorvq.models import NeuroRVQTokenizer
from mne_neurorvq.training import calibrate_amplitude


def test_reconstructions_get_the_size_of_the_signals_once(config, valid):
    torch.manual_seed(0)
    tokenizer = NeuroRVQTokenizer(config=config.model.config()).eval()
    codebook = tokenizer.quantizer.codebook.clone()
    assert abs(calibrate_amplitude(tokenizer, valid)) > 0.1
    logs = []
    with torch.no_grad():
        for window in (valid[i] for i in range(len(valid))):
            x, rows = torch.from_numpy(window.data)[None], torch.from_numpy(window.rows)
            logs.append((tokenizer(x, rows).std(-1) / x.std(-1)).log().mean())
    assert abs(torch.stack(logs).mean()) < 0.05
    assert abs(calibrate_amplitude(tokenizer, valid)) < 0.02
    assert torch.equal(tokenizer.quantizer.codebook, codebook)
