# License: BSD-3-Clause
"""The arguments of the commands; importing this loads no library."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from .._references import REFERENCES
from ..weights.registry import SystemName

_RULES_FOR_CHANNELS = ("match", "strict", "nearest", "interpolate")
_SYSTEMS = ", ".join(get_args(SystemName))


class Argument(NamedTuple):
    """An argument: its flags, what its help says, and what else argparse takes."""

    flags: tuple[str, ...]
    help: str
    settings: dict[str, Any]
    # Of the arguments with the same mark, at most one may be given.
    exclusive: str = ""


def add_arguments(parser: argparse.ArgumentParser, arguments: tuple[Argument, ...]) -> None:
    """Add arguments to a parser."""
    groups: dict[str, Any] = {"": parser}
    for argument in arguments:
        if argument.exclusive not in groups:
            groups[argument.exclusive] = parser.add_mutually_exclusive_group()
        group = groups[argument.exclusive]
        group.add_argument(*argument.flags, help=argument.help, **argument.settings)


def _numbers(text: str) -> list[int]:
    """Read the numbers of ``3``, ``1-16`` or ``1,3,5-7``."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            start, stop = int(first), int(last if dash else first)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is neither a number nor a range such as 1-16"
            ) from None
        if not 1 <= start <= stop:
            raise argparse.ArgumentTypeError(f"{text!r} is not a range of numbers from 1 upwards")
        numbers += range(start, stop + 1)
    return numbers


def _people(text: str) -> list[str]:
    """Read ``S003`` or ``S001-S016``."""
    first, dash, last = text.partition("-")
    found = re.fullmatch(r"(.*?)(\d+)", first)
    if not dash or found is None or not re.fullmatch(re.escape(found[1]) + r"\d+", last):
        return [text]
    width, stop = len(found[2]), int(last.removeprefix(found[1]))
    return [f"{found[1]}{n:0{width}d}" for n in range(int(found[2]), stop + 1)]


def _positive(text: str, or_else: str = "") -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be {or_else}a number from 1 upwards")
    return int(text)


def _batch_size(text: str) -> int | str:
    return text if text == "auto" else _positive(text, "'auto' or ")


def _rule_for_channels(text: str) -> str:
    if text not in _RULES_FOR_CHANNELS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of {', '.join(_RULES_FOR_CHANNELS)}, which say what becomes of "
            "channels that the model does not know; to use some channels only, save those "
            "(raw.pick) and give that file"
        )
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive number of seconds")
    return seconds


def _arg(usage: str, help: str, *, exclusive: str = "", **settings: Any) -> Argument:
    """Declare an argument by what its usage says, such as ``-o --out DIR``."""
    *flags, last = usage.split()
    if flags and last.isupper():
        settings["metavar"] = last
    else:
        flags.append(last)
    return Argument(tuple(flags), help, settings, exclusive)


def _switch(flag: str, help: str) -> Argument:
    return _arg(flag, help, action="store_true")


def _count(flag: str, default: int, help: str, type: Callable[[str], int] = _positive) -> Argument:
    return _arg(f"{flag} N", f"{help} (default: {default})", type=type, default=default)


_DEBUG = _switch("--debug", "show where an error comes from")
_DEVICE = _arg("--device", "auto, cpu, cuda, ... (default: auto)", default="auto")
_MODEL = (
    _arg(
        "--pretrained NAME",
        "name or path of a model (default: neurorvq-eeg-small); it decides which channels are read",
        default="neurorvq-eeg-small",
    ),
    _DEVICE,
)
_BATCH_SIZE = _arg(
    "--batch-size N",
    "trials in a forward pass (default: auto)",
    type=_batch_size,
    default="auto",
)
_STUDY = (
    _arg(
        "--data FILE",
        "'ecg', 'emg' or 'ppg' (simulated, as EEG is by default), 'eegbci' (PhysioNet motor "
        "imagery; MNE_DATASETS_EEGBCI_PATH names its folder), or recordings that MNE or wfdb "
        "(.hea) reads; those of one subject by BIDS name (sub-01_...) count as one, "
        "otherwise each file is taken to be another subject",
        nargs="+",
    ),
    _arg(
        "--subjects N",
        "numbers and ranges, such as 1-16 (default: 1-8; of eegbci or simulated)",
        nargs="+",
        type=_numbers,
    ),
    _arg("--runs N", "of eegbci (default: 4 8 12)", nargs="+", type=_numbers),
)
_FILES = (
    _arg(
        "files FILE",
        "recordings that MNE or wfdb (.hea) reads, or Epochs (-epo.fif, .set with trials)",
        nargs="+",
        type=Path,
    ),
    _arg("-o --out OUT", "folder", type=Path, required=True),
    _arg(
        "--window S",
        "length of the windows that a recording is cut into, in s (default: 4)",
        type=_seconds,
        default=4.0,
    ),
    _switch("--no-filter", "the recordings have the model's filters already"),
    _arg(
        "--channels RULE",
        f"{', '.join(_RULES_FOR_CHANNELS)}: leave out channels that the model does not know, "
        "fail, map them to the nearest sites, or interpolate the sites (default: match)",
        type=_rule_for_channels,
        default="match",
    ),
    _arg(
        "--reference",
        "reference of what the model is given, computed from all good EEG channels (default: the "
        "model's)",
        choices=REFERENCES,
    ),
)
_POOL = _arg(
    "--pool",
    "average over channels and patches, channels, patches, each third of the window, or nothing; "
    "keep_channels is another name of time, auto (the default) is thirds, of EMG time, of ECG mean",
    choices=("auto", "mean", "channel", "time", "thirds", "none", "keep_channels"),
    default="auto",
)
_OUTPUT = _arg(
    "--output",
    "features of the model, or the physiological numbers that it has learned to tell of them",
    choices=("embedding", "physiology"),
    default="embedding",
)
_OVERWRITE = _switch("--overwrite", "replace files that are there")

ARGUMENTS: Mapping[str, tuple[Argument, ...]] = {
    "demo": (
        _DEBUG,
        *_STUDY,
        _arg(
            "-o --out DIR",
            "folder of report and figures, replaced if there (default: ./mne-neurorvq-demo/eeg, or "
            "the kind of signal, or the name of the first file)",
            type=Path,
        ),
        _count("--jobs", 1, "processes for scoring", int),
        _arg(
            "--pretrained NAME",
            "name or path of a model (default: neurorvq-eeg-small; that of a simulated signal)",
        ),
        _DEVICE,
        _BATCH_SIZE,
    ),
    "benchmark": (
        _DEBUG,
        _arg(
            "what",
            "run what is not finished and report (the default), list what is at hand, or only "
            "report",
            nargs="?",
            choices=("run", "list", "report"),
            default="run",
        ),
        _arg(
            "out DIR",
            "folder of a run (default: ./mne-neurorvq-benchmark)",
            nargs="?",
            type=Path,
            default=Path("mne-neurorvq-benchmark"),
        ),
        _arg("--tasks NAME", "tasks (default: all at hand)", nargs="+", default=[]),
        _arg("--pipelines NAME", "pipelines (default: all)", nargs="+", default=[]),
        _arg(
            "--models NAME",
            "models of the pipelines that have one, each with its twin of random weights "
            "(default: the three small ones)",
            nargs="+",
            default=["neurorvq-eeg-small", "brainrvq-eeg-small", "biocodec-eeg-small"],
        ),
        _arg("--data DIR", "folder of the recordings (default: MNE's)", type=Path),
        _arg("--pipeline-folder DIR", "folder of further pipelines, MOABB's files", type=Path),
        _arg(
            "--subjects NAME",
            "people, such as S001-S016 (default: all)",
            nargs="+",
            type=_people,
        ),
        _count("--folds", 5, "folds of people"),
        _arg("--seeds N", "of folds and training (default: 0)", nargs="+", type=int, default=[0]),
        _arg(
            "--shares SHARE",
            "of the training trials, such as 0.1 0.3 1 (default: 1)",
            nargs="+",
            type=float,
            default=[1.0],
        ),
        _arg(
            "--controls NAME",
            "permuted (labels shuffled within people), identity (who is it?)",
            nargs="+",
            choices=("permuted", "identity"),
            default=[],
        ),
        _arg(
            "--reference NAME",
            "pipeline that the others are compared with (default: band_power)",
            default="band_power",
        ),
        _count("--jobs", 1, "processes"),
        _arg(
            "--memory GIB",
            "for features that are kept from fold to fold, of all processes together (default: a "
            "quarter of the machine's)",
            type=float,
        ),
    ),
    "tokenize": (_DEBUG, *_FILES, _OVERWRITE, *_MODEL, _BATCH_SIZE),
    "reconstruct": (_DEBUG, *_FILES, _OVERWRITE, *_MODEL, _BATCH_SIZE),
    "embed": (_DEBUG, *_FILES, _OUTPUT, _POOL, _OVERWRITE, *_MODEL, _BATCH_SIZE),
    "models": (_DEBUG,),
    "prepare": (
        _DEBUG,
        _arg(
            "sources SOURCE",
            "files that MNE or wfdb reads, folders, globs, BIDS data sets; none to --verify only",
            nargs="*",
        ),
        _arg(
            "-o --out DIR",
            "folder of the corpus; if it is there, the command goes on and adds to it",
            type=Path,
            required=True,
        ),
        _arg(
            "--system NAME",
            f"whose models are to learn from it: {_SYSTEMS} (default: neurorvq)",
            default="neurorvq",
        ),
        _arg("--modality", "kind of signal: eeg, emg, ecg or ppg (default: eeg)", default="eeg"),
        _arg(
            "--window S",
            "longest window in s, a multiple of the model's patch, of BioCodec 1 s (default: 12)",
            type=float,
            default=12.0,
        ),
        _arg(
            "--validation-fraction SHARE",
            "expected share of the subjects that is held back for validation (default: 0.1)",
            exclusive="validation",
            type=float,
            default=0.1,
        ),
        _arg(
            "--validation-subjects NAME",
            "names of these subjects instead",
            exclusive="validation",
            nargs="+",
        ),
        _arg(
            "--subject-from REGEX",
            "finds the subject in a path: the first group, or all that matches (default: BIDS "
            "entity, known file names, folder below the source, file name)",
        ),
        _count("--jobs", 1, "processes", int),
        _arg("--seed", "seed of the split (default: 0)", type=int, default=0),
        _switch(
            "--verify",
            "read all that the corpus has and compare it with its checksums; what is damaged is "
            "prepared again from its source, or only reported where no source is given",
        ),
    ),
    "pretrain": (
        _DEBUG,
        _arg(
            "stage",
            "what to train, the tokenizer first; 'config' prints the configuration",
            choices=("tokenizer", "foundation", "config"),
        ),
        _arg("--corpus DIR", "folder or URL that 'prepare' made"),
        _arg("--config FILE", "YAML file (default: small)", type=Path),
        _arg(
            "--system NAME",
            f"whose architecture: {_SYSTEMS} (default: that of the file, else of the corpus, else "
            "neurorvq)",
        ),
        _arg(
            "--set KEY=VALUE",
            "change single values, such as tokenizer.n_steps=4000 hardware.devices=4",
            nargs="+",
            default=[],
            action="extend",
        ),
        _arg(
            "--tokenizer NAME",
            "name or path of the tokenizer that the foundation model learns from (default: RUN's)",
        ),
        _arg("-o --out RUN", "folder of the run", type=Path),
    ),
    "export": (
        _DEBUG,
        _arg("run RUN", "folder of a pretraining run", type=Path),
        _arg("-o --out DIR", "new folder of the model", type=Path, required=True),
        _arg("--name", "name of the model (default: that of DIR)"),
        _arg(
            "--licence",
            "licence of the weights as the Hugging Face hub spells it, such as bsd-3-clause "
            "(default: other)",
            default="other",
        ),
        _arg(
            "--reference",
            "reference in which users' signals are given to the model unless they choose another "
            "(default: that of the run, as recorded)",
            choices=REFERENCES,
        ),
        _switch(
            "--official",
            "also write the authors' key format (for models with their residual rule)",
        ),
    ),
}
