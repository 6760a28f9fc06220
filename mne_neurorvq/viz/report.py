# License: BSD-3-Clause
"""All figures of a model and trials in a report of MNE."""

from __future__ import annotations

from typing import Any

import mne

from ..analysis import reconstruction_quality
from ..analysis.reconstruction import bands_within
from ..signals import set_reference
from .codes import plot_code_topomap, plot_code_waveforms, plot_codebook_usage, plot_tokens
from .drawing import place
from .reconstruction import plot_error_topomap, plot_reconstruction
from .recordings import plot_channel_match


def add_to_report(
    report: mne.Report,
    transformer: Any,
    epochs: mne.BaseEpochs,
    *,
    section: str = "Tokens",
    tags: tuple[str, ...] = ("mne-neurorvq",),
) -> None:
    """Add figures of tokens and reconstructions to a report of MNE.

    Parameters
    ----------
    report : mne.Report
        The report, which is changed.
    transformer : NeuroRVQTransformer | BrainRVQTransformer | BioCodecTransformer
        Fitted to the channels of the trials.
    epochs : mne.Epochs
        Trials. Only EEG has maps, if there are two electrodes or more and all have a place: their
        own or that of MNE's template for their names.
    section : str
        Section of the report.
    tags : tuple of str
        Tags of the figures.

    Examples
    --------
    >>> import mne
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", verbose=False).fit(epochs)
    >>> report = mne.Report(verbose=False)
    >>> add_to_report(report, model, epochs)
    >>> len(report)
    8
    """
    import matplotlib.pyplot as plt

    tokens = transformer.tokenize(epochs)
    decoded = transformer.detokenize(tokens)
    original = set_reference(epochs, transformer.reference_)
    modality = transformer.config_.modality
    bands = bands_within(modality, tokens.sfreq, tokens.n_times)
    quality = reconstruction_quality(original, decoded, bands=bands)
    figures = {
        "Reconstruction: median trial": plot_reconstruction(
            original, decoded, quality.trial("median"), show=False
        ),
        "Reconstruction: worst trial": plot_reconstruction(
            original, decoded, quality.trial("worst"), show=False
        ),
        "Tokens: median trial": plot_tokens(tokens, quality.trial("median"), show=False),
        "Use of the codebooks": plot_codebook_usage(tokens, show=False),
        "What codes stand for": plot_code_waveforms(tokens, decoded, show=False),
    }
    if modality == "eeg":
        channels = transformer.channel_report_
        if any(place(m.name, epochs.info, m.target or "") is not None for m in channels):
            match = plot_channel_match(channels, epochs.info, show=False)
            figures = {"Channels": match, **figures}
        placed = [place(name, decoded.info) is not None for name in decoded.ch_names]
        if len(placed) > 1 and all(placed):
            figures |= {
                "Error over the scalp": plot_error_topomap(quality, decoded.info, show=False),
                "Where codes occur": plot_code_topomap(tokens, decoded.info, show=False),
            }
    for title, figure in figures.items():
        report.add_figure(figure, title, section=section, tags=tags)
        plt.close(figure)
