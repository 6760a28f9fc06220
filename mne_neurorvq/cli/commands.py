# License: BSD-3-Clause
"""``mne-neurorvq``: the main jobs from the shell.

Only what a command needs is imported, and only when it runs: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NamedTuple

from .._optional import optional
from .arguments import ARGUMENTS, add_arguments
from .messages import PROGRAM, one_line

_KEY = """\
has: a tokenizer, for codes and reconstructions; both: a foundation model, for
     embeddings and classifiers, as well.
now: ready     is in the package, or made from a seed: no network is needed;
     download  is fetched from the Hugging Face Hub when it is first used;
     by hand   get the file from its authors' page, which an attempt to load it
               names, and give its path as --pretrained;
     not yet   has been announced, but not published."""


class _Command(NamedTuple):
    """A command, and the function of the package that runs it."""

    run: str
    help: str
    examples: tuple[str, ...]
    description: str = ""


_COMMANDS = {
    "demo": _Command(
        "cli.demo:run_demo",
        "tokens, reconstruction and subject-independent scores, with figures",
        ("demo", "demo --data ecg", "demo --data eegbci --subjects 1-4 -o my-demo"),
        "Tokens, reconstruction quality and subject-independent scores beside band power and an "
        "untrained model. On SIMULATED recordings unless --data says otherwise.",
    ),
    "benchmark": _Command(
        "cli.benchmark:run_benchmark",
        "tasks of the literature with models, their random twins and classical pipelines",
        (
            "benchmark list --data recordings",
            "benchmark run results --tasks imagery --pipelines band_power csp_lda embedding",
            "benchmark report results",
        ),
        "Pipelines on tasks, fitted and scored by MOABB on people who were not trained on, with "
        "controls. What is finished is kept: the same command goes on with a run that was stopped, "
        "and several may work on one folder.",
    ),
    "tokenize": _Command(
        "cli.file_commands:run_files",
        "write the tokens of recordings, OUT/<name>-tokens.h5 (_desc-<system>_tokens.h5 in BIDS)",
        (
            "tokenize recording.edf -o tokens",
            "tokenize sub-*/eeg/*.vhdr -o derivatives --window 2 --pretrained biocodec-eeg-small",
            "tokenize 100.hea -o tokens --pretrained neurorvq-ecg",
        ),
    ),
    "reconstruct": _Command(
        "cli.file_commands:run_files",
        "pass recordings through the codes and back, OUT/<name>-reconstructed-epo.fif",
        ("reconstruct recording.bdf -o rebuilt",),
    ),
    "embed": _Command(
        "cli.file_commands:run_files",
        "write features of recordings, OUT/<name>-embedding.npz (or -physiology.npz)",
        (
            "embed recording.edf -o features",
            "embed cut-epo.fif -o features-per-channel --pool channel",
        ),
    ),
    "models": _Command("cli.commands:_run_models", "list the registered models", ("models",)),
    "prepare": _Command(
        "training.prepare_command:run",
        "make a corpus of recordings, to pretrain on",
        ("prepare recordings/ -o corpus --jobs 2",),
    ),
    "pretrain": _Command(
        "training.pretrain_command:run",
        "pretrain a tokenizer and a foundation model",
        (
            "pretrain config > small.yaml",
            "pretrain tokenizer --corpus corpus --config small.yaml -o run",
            "pretrain foundation --corpus corpus --config small.yaml -o run",
        ),
    ),
    "export": _Command(
        "training.export_command:run",
        "export a pretrained model as a folder to share",
        ("export run -o my-model --licence cc-by-4.0",),
    ),
}
# As shells say of a command that SIGPIPE has ended.
_CLOSED_PIPE = 141
#: What a wrong argument or file raises; anything else is a fault of this package.
_USER_ERRORS = (ValueError, OSError, ImportError, NotImplementedError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments; None takes those of the process.

    Returns
    -------
    int
        0 if all went well, 1 if some files failed or something unexpected happened, 2 for wrong
        arguments, 130 if interrupted, 141 if whatever read the output stopped.

    Examples
    --------
    >>> main(["models"])  # doctest: +ELLIPSIS
    | name ...
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    with _warnings_on_one_line():
        try:
            args = make_parser().parse_args(arguments)
            code = _run(args)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # Who reads, such as head, has enough: nothing is wrong, nor is anything to be flushed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _CLOSED_PIPE
        except KeyboardInterrupt:
            return _fail("interrupted; what was written is complete", 130)
        except _USER_ERRORS as error:
            if debug:
                traceback.print_exc()
            return _fail(one_line(error), 2)
        except Exception as error:
            if debug:
                traceback.print_exc()
            message = f"{type(error).__name__}: {one_line(error)}"
            return _fail(f"{message} (--debug shows where)", 1)


def _fail(message: str, code: int) -> int:
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    return code


@contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    """Print each warning once, without the line of code that it comes from."""
    usual = warnings.showwarning
    shown: set[str] = set()

    def show(message: Warning | str, *args: object, **kwargs: object) -> None:
        text = " ".join(str(message).split())
        if text not in shown:
            print(f"{PROGRAM}: warning: {text}", file=sys.stderr)
        shown.add(text)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


def _run(args: argparse.Namespace) -> int:
    module, _, function = _COMMANDS[args.command].run.partition(":")
    if module.startswith("training"):
        with optional(args.command, "pretrain"):
            found = import_module(f"..{module}", __package__)
    else:
        found = import_module(f"..{module}", __package__)
    return getattr(found, function)(args) or 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; shtab turns it into a file for the completion of a shell."""
    from .. import __version__

    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Tokens, features and signals from residual-VQ models of EEG, EMG, ECG, PPG.",
        epilog=f"'{PROGRAM} COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        examples = (f"  {PROGRAM} {example}" for example in command.examples)
        description = command.description or f"{command.help[0].upper()}{command.help[1:]}"
        one = commands.add_parser(
            name,
            help=command.help,
            description=textwrap.fill(description, 79),
            epilog="\n".join(["examples:", *examples]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_arguments(one, ARGUMENTS[name])
    return parser


def _run_models(args: argparse.Namespace) -> None:
    """Print the table of models."""
    from .._table import markdown_table
    from ..weights import list_pretrained
    from ..weights.download import availability

    rows = [
        (
            entry.name,
            entry.modality,
            "both" if len(entry.kinds) > 1 else entry.kinds[0],
            entry.licence,
            availability(entry),
        )
        for entry in list_pretrained()
    ]
    head = ("name", "signal", "has", "licence", "now")
    print(f"{markdown_table(head, rows, align='lllll')}\n\n{_KEY}")
