# License: BSD-3-Clause
"""Arguments of the commands; importing this loads no library."""

from __future__ import annotations

import argparse
from pathlib import Path

_DEFAULT_MODEL = "neurorvq-eeg-small"
#: What ``compare`` can compare.
ROWS = (
    *("full", "lora", "head", "random-full", "random-lora", "random-head"),
    *("eegnet", "shallow", "csp", "chance"),
)

_RULES_FOR_CHANNELS = ("match", "strict", "nearest", "interpolate")


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``demo``."""
    _add_study_arguments(parser, "mne-neurorvq-demo", "report and figures, replaced if there")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes for scoring (default: 1)"
    )
    _add_model_arguments(parser)
    _add_batch_size(parser)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``compare``."""
    _add_study_arguments(parser, "mne-neurorvq-compare", "report, scores and finished folds")
    parser.add_argument(
        "--channels",
        nargs="+",
        metavar="NAME",
        help=(
            "channels to use (default: 21 over the sensorimotor strip where the recordings have "
            "them, otherwise all)"
        ),
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=ROWS,
        metavar="ROW",
        help=(
            f"what to compare: {', '.join(ROWS)} (default: all; random-... is the same network "
            "from random weights)"
        ),
    )
    parser.add_argument(
        "--reference",
        choices=ROWS,
        metavar="ROW",
        help="row that the others are compared with (default: csp, or the first)",
    )
    parser.add_argument(
        "--head",
        choices=("mean", "flatten"),
        default="mean",
        help="what the head of the fine-tuned models sees (default: mean)",
    )
    for name, default, text in (
        ("--splits", 3, "folds"),
        ("--epochs", 5, "epochs of training of every row that is trained by epochs"),
        ("--batch-size", 32, "trials in a step of training"),
    ):
        parser.add_argument(
            name, type=_positive, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0],
        metavar="N",
        help="each assigns the subjects to folds anew (default: 0)",
    )
    _add_model_arguments(parser)


def add_file_arguments(parser: argparse.ArgumentParser, *, embedding: bool) -> None:
    """Add the arguments of the commands that make files of files."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recordings that MNE reads, or Epochs (-epo.fif, .set with trials)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder")
    parser.add_argument(
        "--window",
        type=_seconds,
        default=4.0,
        metavar="S",
        help="length of the windows that a recording is cut into, in s (default: 4)",
    )
    parser.add_argument(
        "--no-filter", action="store_true", help="the recordings have the model's filters already"
    )
    parser.add_argument(
        "--channels",
        type=_rule_for_channels,
        default="match",
        metavar="RULE",
        help=(
            f"{', '.join(_RULES_FOR_CHANNELS)}: leave out channels that the model does not know, "
            "fail, take them for the nearest site, or compute sites from them (default: match)"
        ),
    )
    if embedding:
        parser.add_argument(
            "--pool",
            choices=("mean", "channel", "time", "none", "keep_channels"),
            default="mean",
            help=(
                "average over channels and patches, channels, patches, or nothing; keep_channels "
                "is another name of time"
            ),
        )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    _add_model_arguments(parser)
    _add_batch_size(parser)


def _add_study_arguments(parser: argparse.ArgumentParser, folder: str, holds: str) -> None:
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="FILE",
        help=(
            "'eegbci' (PhysioNet motor imagery; MNE_DATASETS_EEGBCI_PATH names its folder), or "
            "recordings that MNE reads; those of one subject by BIDS name (sub-01_...) count as "
            "one, otherwise each file is taken to be another subject"
        ),
    )
    parser.add_argument(
        "--subjects",
        nargs="+",
        type=_numbers,
        metavar="N",
        help="numbers and ranges, such as 1-16 (default: 1-8; of eegbci or simulated)",
    )
    parser.add_argument(
        "--runs", nargs="+", type=_numbers, metavar="N", help="of eegbci (default: 4 8 12)"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path(folder),
        metavar="DIR",
        help=f"folder of {holds} (default: ./{folder})",
    )


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pretrained", default=_DEFAULT_MODEL, metavar="NAME", help="name or path of a model"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")


def _add_batch_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=_batch_size,
        default="auto",
        metavar="N",
        help="trials in a forward pass (default: auto)",
    )


def _numbers(text: str) -> list[int]:
    """Numbers of ``3``, ``1-16`` or ``1,3,5-7``."""
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
            raise argparse.ArgumentTypeError(f"{text!r} is no range of numbers from 1 upwards")
        numbers += range(start, stop + 1)
    return numbers


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 upwards")
    return int(text)


def _batch_size(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be 'auto' or a number from 1 upwards")
    return int(text)


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
