# License: BSD-3-Clause
"""``mne-neurorvq tokenize | reconstruct | embed``: recordings to files, one after the other."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from ..encoding.preprocessing import preprocess
from ..signals.channel_report import list_by_reason
from ..weights import load_pretrained
from ..weights.loading import find_config
from ..weights.systems import SYSTEMS
from .messages import PROGRAM, Watch, one_line
from .outputs import complete, differences, outputs, settings_of
from .recordings import check_signals, read_file


def run_files(args: argparse.Namespace) -> int:
    """Write what the command makes of each file; a file that fails does not stop the others."""
    todo = []
    failed = 0
    kind, system = getattr(args, "output", args.command), find_config(args.pretrained).system
    for source, target in outputs(kind, args.files, args.out, system):
        if not target.exists() or args.overwrite:
            todo.append((source, target))
        elif (other := differences(target, settings_of(args, source))) is None:
            print(f"{source}: skipped, {target} is there (--overwrite replaces it)")
        else:
            failed += 1
            _complain(
                f"{source}: {target} is there, but {other}: --overwrite replaces it, or -o names "
                "another folder"
            )
    if todo:
        failed += _process_all(args, todo)
    if failed:
        print(f"{PROGRAM}: {failed} of {len(args.files)} files failed", file=sys.stderr)
    return 1 if failed else 0


def _process_all(args: argparse.Namespace, todo: Sequence[tuple[Path, Path]]) -> int:
    """Make the outputs; give the number of those that failed."""
    make = _find_transformer(args)
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with mne.utils.use_log_level("warning"), Watch() as watch:
        for source, target in todo:
            watch.step = str(source)
            try:
                made = _process(args, make(), source, target)
                print(f"{source}: {made} -> {target}", flush=True)
            except Exception as error:
                # What MNE raises for a broken file may be of any type.
                failed += 1
                if args.debug:
                    traceback.print_exc()
                _complain(f"{source}: {one_line(error)}")
    return failed


def _complain(message: str) -> None:
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)


def _find_transformer(args: argparse.Namespace) -> Callable[[], Any]:
    """Prepare the command's transformer; what the model cannot do fails here, before any file."""
    system_name = find_config(args.pretrained).system
    system = SYSTEMS[system_name]
    output = getattr(args, "output", "tokens")
    given = {
        "output": output,
        "pool": getattr(args, "pool", "auto"),
        "channels": args.channels,
        "reference": args.reference,
        "device": args.device,
        "batch_size": args.batch_size,
    }
    make = resolve_name(system.transformer)
    if "channels" not in make().get_params():
        del given["channels"]
        if args.channels != "match":
            raise ValueError(
                f"--channels {args.channels}: {args.pretrained!r} takes channels of any name. "
                "Leave it out."
            )
    kind = "tokenizer" if output == "tokens" else system.stages[-1]
    loaded: Any = load_pretrained(args.pretrained, only=kind)
    loaded.require(kind, system_name)
    if output == "physiology":
        loaded.require_target_head()
    return partial(make, args.pretrained, **given)


def _process(args: argparse.Namespace, model: Any, source: Path, target: Path) -> str:
    """Make the output of a file and say what it is."""
    windows = _read_windows(args, source)
    model.fit(windows.epochs)
    with complete(target, settings_of(args, source)) as temporary:
        _WRITERS[args.command](model, windows, temporary)
    left_out = [match for match in model.channel_report_ if match.left_out]
    notes = [*windows.notes, *([f"left out: {list_by_reason(left_out)}"] if left_out else [])]
    remarks = f" ({'; '.join(notes)})" if notes else ""
    return f"{len(windows.epochs)} windows × {len(model.ch_names_)} channels{remarks}"


@dataclass(frozen=True)
class _Windows:
    """Windows of a recording, or the trials of Epochs as they are."""

    epochs: mne.BaseEpochs
    first_sample: int = 0
    notes: tuple[str, ...] = ()

    @property
    def times(self) -> NDArray[np.float64]:
        """Start of each in s from the start of the recording.

        Of Epochs nobody knows that start: there it is sample 0 of their events.
        """
        samples = self.epochs.events[:, 0] - self.first_sample
        return samples / self.epochs.info["sfreq"] + self.epochs.tmin


def _read_windows(args: argparse.Namespace, source: Path) -> _Windows:
    raw = read_file(source)
    if isinstance(raw, mne.BaseEpochs):
        return _Windows(raw)
    check_signals(raw, args.pretrained)
    duration = raw.n_times / raw.info["sfreq"]
    if duration < args.window:
        raise ValueError(f"{duration:g} s are shorter than a window of {args.window:g} s")
    if not args.no_filter:
        raw = preprocess(raw, args.pretrained)
    epochs = mne.make_fixed_length_epochs(raw, args.window, preload=False, verbose="error")
    n_windows = len(epochs.events)
    epochs.drop_bad(verbose="error")
    if not len(epochs):
        raise ValueError("every window overlaps an annotation that begins with BAD")
    notes = []
    if n_windows > len(epochs):
        notes.append(f"{n_windows - len(epochs)} windows overlap a BAD annotation")
    rest = duration - n_windows * args.window
    if rest >= 1 / raw.info["sfreq"]:
        notes.append(f"the last {rest:.3g} s do not fill a window")
    return _Windows(epochs, raw.first_samp, tuple(notes))


def _write_tokens(model: Any, windows: _Windows, path: Path) -> None:
    model.tokenize(windows.epochs).save(path)


def _write_reconstruction(model: Any, windows: _Windows, path: Path) -> None:
    model.reconstruct(windows.epochs).save(path, verbose="error")


def _write_features(model: Any, windows: _Windows, path: Path) -> None:
    np.savez(
        path,
        **{model.output: model.transform(windows.epochs)},
        feature_names=model.get_feature_names_out().astype(str),
        ch_names=np.array(model.ch_names_),
        times=windows.times,
        duration=len(windows.epochs.times) / windows.epochs.info["sfreq"],
        pretrained=str(model.pretrained),
    )


_WRITERS: dict[str, Callable[[Any, _Windows, Path], None]] = {
    "tokenize": _write_tokens,
    "reconstruct": _write_reconstruction,
    "embed": _write_features,
}
