# License: BSD-3-Clause
"""From codes to tokens, and from tokens back to signals."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._references import Reference
from ..signals import Segmentation, unit_factor
from ..signals.modalities import find_modality
from ..signals.reference import kind_of
from ..signals.resampling import restore
from ..tokens import Tokens
from ..weights import LoadedModel
from .matched_trials import MatchedTrials
from .passes import Arrays, Passes, progress

# Trials of which all electrodes are in memory at a time.
_AT_ONCE = 64


def make_tokens(values: Arrays, matched: MatchedTrials, model: str, loaded: LoadedModel) -> Tokens:
    """Make tokens of codes and side information, with all that decoding needs."""
    codes, side = values
    trials, segmentation = matched.trials, matched.segmentation
    return Tokens(
        codes=codes,
        side=side,
        n_codes=loaded.config.quantizer.n_codes,
        model=model,
        revision=loaded.revision,
        fingerprint=loaded.fingerprint,
        ch_names=matched.ch_names,
        channel_rows=tuple(matched.used[1]),
        sfreq=trials.sfreq,
        n_times=trials.n_times,
        model_sfreq=matched.config.sfreq,
        patch_size=segmentation.patch_size,
        segments=segmentation.segments,
        overlap=segmentation.overlap,
        padding=segmentation.padding,
        tmin=trials.tmin,
        events=trials.events,
        event_id=trials.event_id,
        metadata=trials.metadata,
        left_out=matched.left_out,
        reference=kind_of(matched.rereference),
    )


def as_tokens(tokens: object) -> Tokens:
    """Raise TypeError unless these are tokens."""
    if not isinstance(tokens, Tokens):
        raise TypeError(f"tokens is {type(tokens).__name__}: Tokens are needed (see tokenize).")
    return tokens


def check_origin(tokens: object, model: str, loaded: LoadedModel) -> None:
    """Raise unless tokens come from the model that was loaded under a name, and hold a trial."""
    tokens = as_tokens(tokens)
    revision, config = loaded.revision, loaded.config
    if (tokens.model, tokens.revision) != (model, revision):
        raise ValueError(
            f"the tokens were made by pretrained={tokens.model!r}, revision={tokens.revision!r}, "
            f"but this is pretrained={model!r}, revision={revision!r}: codes mean nothing to "
            "another model. If it is the same model in another place, say so with "
            "dataclasses.replace(tokens, model=..., revision=...)."
        )
    for name, ours in (
        ("n_codes", config.quantizer.n_codes),
        ("patch_size", config.patch_size),
    ):
        if getattr(tokens, name) != ours:
            raise ValueError(
                f"the tokens have {name}={getattr(tokens, name)}, but {model!r} has {ours}: they "
                "were made by another model."
            )
    if tokens.fingerprint not in (None, loaded.fingerprint):
        raise ValueError(
            f"the tokens were made by {model!r} with other weights than it has now: codes mean "
            "nothing to another model. Get the version of the model that made them."
        )
    if not len(tokens):
        raise ValueError("tokens hold no trial: there is nothing to decode.")


def decode(
    model: Any, tokens: Tokens, *, device: torch.device, batch_size: int | str, verbose: bool | None
) -> NDArray[np.float64]:
    """Decode tokens to volts ``(n_trials, n_channels, n_times)``, at the rate the trials had.

    Signals that have no volts are decoded to what they were in.
    """
    has_volts = find_modality(model.config.modality).has_volts
    covered = tokens.shape[2] * tokens.patch_size - tokens.overlap - tokens.padding
    segmentation = Segmentation(
        covered, tokens.patch_size, tokens.segments, tokens.overlap, tokens.padding
    )
    n_channels, n_patches = tokens.shape[1], max(tokens.segments)
    auto = model.config.trials_per_pass(n_channels, n_patches, device.type)
    size = auto if batch_size == "auto" else int(batch_size)
    passes = Passes(
        lambda given, rows: model.decode_segments(*given, rows, tokens.segments),
        torch.tensor(tokens.channel_rows, device=device),
        size,
        fill=False,
    )
    decoded = []
    with progress(len(tokens), verbose) as bar:
        for start in range(0, len(tokens), size):
            few = slice(start, start + size)
            # Side information may be read-only: a memmap.
            batch = [tokens.codes[few].astype(np.int64), np.array(tokens.side[few])]
            for part, segments in passes.over(batch):
                _check_finite(segments, tokens, start + part.start)
                volts = restore(
                    segments,
                    segmentation,
                    model_sfreq=tokens.model_sfreq,
                    model_unit=model.config.signal_unit,
                    sfreq=tokens.sfreq,
                    n_times=tokens.n_times,
                    unit="V" if has_volts else model.config.signal_unit,
                )
                decoded.append(volts)
                bar.update(len(volts))
    return np.concatenate(decoded)


def undo_reference(volts: NDArray[np.float64], matched: MatchedTrials) -> Reference:
    """Add to decoded trials what an average took away; tell the reference that they have then."""
    recorded, trials, picks = matched.recorded, matched.trials, matched.used[0]
    kind = kind_of(matched.rereference)
    if kind != "average" or recorded is None:
        return kind
    to_volts = unit_factor(trials.unit, "V")
    for start in range(0, len(volts), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(volts))
        taken = recorded.read(start, stop, picks) - trials.read(start, stop, picks)
        volts[start:stop] += to_volts * taken
    return "recorded"


def _check_finite(segments: Arrays, tokens: Tokens, first: int) -> None:
    """Raise if signals are not finite: side information far from that of any signal does that."""
    for segment in segments:
        if not np.isfinite(segment).all():
            trial, channel = np.argwhere(~np.isfinite(segment))[0][:2]
            trial += first
            raise ValueError(
                f"trial {trial}, channel {tokens.ch_names[channel]!r}: what is decoded is not "
                f"finite. Its side information reaches {np.abs(tokens.side[trial]).max():.3g}, "
                "which no signal gives: the tokens were changed."
            )
