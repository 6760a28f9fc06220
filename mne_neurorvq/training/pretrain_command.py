# License: BSD-3-Clause
"""``mne-neurorvq pretrain``: from a corpus to a model, from the shell."""

from __future__ import annotations

import argparse
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._writing import json_text, write_text
from ..models.config import TransformerConfig
from ..weights import load_pretrained, save_pretrained
from ..weights.loading import CARD_FILE
from ..weights.manifest import Folder, every_file, read_file, read_together, saving_together
from ..weights.provenance import (
    MEASURES_FILE,
    TRAINING_FILE,
    data_set_and_person,
    pretraining_subjects,
)
from ..weights.saving import state_bytes, write_state
from ..weights.systems import SYSTEMS, Foundation, Tokenizer
from ..weights.target_head import TARGET_COLUMNS, TARGET_HEAD
from .checkpoints import is_first, steps_done
from .corpus.dataset import CorpusDataset
from .locks import only_writer
from .model_card import card_text, measure, read_curves
from .patch_targets import feature_names
from .run_config import FoundationPretrainConfig, config_text, plain_config, read_config
from .running import pretrain_foundation, pretrain_tokenizer
from .settings import PretrainConfig

_CONFIG = "config.yaml"
# Readers of a run that was killed hold its lock for some seconds more.
_LOCK_SECONDS = 15.0
_STAGES = ("tokenizer", "foundation")
# Ablations that are those of the tokenizer alone.
_OF_TOKENIZERS = ("domains", "phase")
# In the folder of a run: the model, and what only its further training needs.
MODEL, HEADS = "model", "masked_token_heads.safetensors"
# In the metadata of those heads: the digest of the foundation model that they are of.
HEADS_OF = "foundation_sha256"


def run(args: argparse.Namespace) -> None:
    """Train a stage; one that was interrupted goes on."""
    if args.stage == "config":
        print(config_text(_config(args)), end="")
        return
    for name, value in (("--corpus", args.corpus), ("-o", args.out)):
        if value is None:
            raise ValueError(f"pretrain {args.stage} needs {name}.")
    corpus = {side: CorpusDataset(args.corpus, side) for side in ("train", "validation")}
    config = _config(args, corpus["train"].system, corpus["train"].index["modality"])
    _check_corpus(corpus, config, args.corpus)
    _check_stage(args, config)
    lock = only_writer(args.out, "training in this folder", seconds=_LOCK_SECONDS)
    with lock if is_first() else nullcontext():
        _keep_config(args.out, config)
        if args.stage == "tokenizer":
            _train_tokenizer(args.out, corpus, config)
        else:
            assert isinstance(config, FoundationPretrainConfig)
            _train_foundation(args.out, corpus, config, args.tokenizer)
        if is_first():
            print(f"{args.out / MODEL} is the model: every pretrained= takes this path.")


def _train_tokenizer(
    run_dir: Path, corpus: dict[str, CorpusDataset], config: PretrainConfig
) -> None:
    if steps_done(run_dir / "foundation"):
        print(f"{run_dir}: the tokenizer is finished, and the foundation model begun.")
        return
    sides = corpus["train"], corpus["validation"]
    tokenizer = pretrain_tokenizer(*sides, config, run_dir / "tokenizer")
    if is_first():
        record = _record(run_dir, corpus, config, None)
        record |= config.finish(tokenizer, corpus["train"])
        write_model(run_dir, tokenizer, None, corpus, record)


def _train_foundation(
    run_dir: Path,
    corpus: dict[str, CorpusDataset],
    config: FoundationPretrainConfig,
    named: str | None,
) -> None:
    source = named or run_dir / MODEL
    tokenizer = load_pretrained(source, only="tokenizer").require("tokenizer", config.system)
    if tokenizer.config.modality != config.model.modality:
        raise ValueError(
            f"{source} is a tokenizer of {tokenizer.config.modality}, but model.modality is "
            f"{config.model.modality}."
        )
    _check_ablation(tokenizer.config, config, source)
    sides = corpus["train"], corpus["validation"]
    foundation = pretrain_foundation(*sides, tokenizer, config, run_dir / "foundation")
    if is_first():
        record = _record(run_dir, corpus, config, source)
        write_model(run_dir, tokenizer, foundation, corpus, record)


def _check_ablation(tokenizer: Any, config: FoundationPretrainConfig, source: str | Path) -> None:
    """Refuse choices that only another tokenizer could meet; defaults are not choices."""
    wanted, usual = config.model.config(), type(config.model)().config()
    for name in _OF_TOKENIZERS:
        value = getattr(wanted, name, None)
        if value not in (getattr(usual, name, None), getattr(tokenizer, name, None)):
            raise ValueError(
                f"{source} has {name}={getattr(tokenizer, name)!r}, but the configuration asks for "
                f"{value!r}: that is decided by 'pretrain tokenizer', in a run of its own."
            )


def _config(
    args: argparse.Namespace, system: str = "neurorvq", modality: str = "eeg"
) -> PretrainConfig:
    """Read the configuration; without a file, the defaults of what the corpus holds."""
    changes = args.set if args.system is None else [*args.set, f"system={args.system}"]
    if args.config is not None:
        return read_config(args.config, changes)
    return read_config(changes=changes, system=system, modality=modality)


def _check_corpus(corpus: dict[str, CorpusDataset], config: PretrainConfig, path: str) -> None:
    system, modality = corpus["train"].system, corpus["train"].index["modality"]
    if system != config.system:
        raise ValueError(
            f"{path} was prepared for {system}, but the configuration is one of {config.system}: "
            f"'mne-neurorvq prepare --system {config.system}' makes another."
        )
    if modality != config.model.modality:
        raise ValueError(f"{path} holds {modality}, but model.modality is {config.model.modality}.")
    for side, windows in corpus.items():
        if not len(windows):
            raise ValueError(
                f"{path} has no windows on the side {side!r}: prepare more subjects, or name the "
                "validation subjects yourself."
            )


def _check_stage(args: argparse.Namespace, config: PretrainConfig) -> None:
    """Check that a run has one tokenizer, and that its system has such a stage."""
    if args.stage == "foundation" and SYSTEMS[config.system].foundation is None:
        raise ValueError(
            f"{SYSTEMS[config.system].title} has no foundation model: 'pretrain tokenizer' is all "
            "of its pretraining."
        )
    own, later = (steps_done(args.out / stage) for stage in ("tokenizer", "foundation"))
    if args.stage == "foundation":
        if args.tokenizer and own:
            raise ValueError(f"{args.out} has a tokenizer of its own: leave out --tokenizer.")
        model = Folder.now(args.out / MODEL)
        if not args.tokenizer and not model.has("tokenizer.safetensors"):
            raise ValueError(
                f"{args.out} has no finished tokenizer: 'mne-neurorvq pretrain tokenizer' makes "
                "one, or --tokenizer names another."
            )
    elif args.tokenizer:
        raise ValueError("--tokenizer is for the foundation model, which learns from it.")
    elif later and not own:
        raise ValueError(f"{args.out} has a foundation model of another tokenizer.")


def _keep_config(run_dir: Path, config: PretrainConfig) -> None:
    """Write the configuration of a new run; of one that goes on, only the hardware may differ."""
    file = run_dir / _CONFIG
    if file.exists():
        begun, now = read_config(file), config
        for name in (n for n in vars(begun) if n != "hardware"):
            if getattr(begun, name) != getattr(now, name):
                raise ValueError(
                    f"{run_dir} was begun with {name}: {getattr(begun, name)}, now it is "
                    f"{getattr(now, name)}: give --config {file}, or another folder."
                )
    elif is_first():
        run_dir.mkdir(parents=True, exist_ok=True)
        # Other processes of the run may be reading it.
        write_text(file, config_text(config))


def write_model(
    run_dir: Path,
    tokenizer: Tokenizer,
    foundation: Foundation | None,
    corpus: dict[str, CorpusDataset],
    record: dict[str, Any],
) -> None:
    """Write the folder ``model`` of a run: weights, provenance and card."""
    folder = run_dir / f"{MODEL}.new"
    shutil.rmtree(folder, ignore_errors=True)
    heads = targets = None
    if foundation is not None:
        heads, foundation.masked_tokens = foundation.masked_tokens, None
        targets, foundation.target_head = foundation.target_head, None
    if isinstance(tokenizer.config, TransformerConfig):
        trained = _trained_names(corpus["train"], tokenizer.config)
        tokenizer.config = replace(tokenizer.config, trained=trained)
        if foundation is not None:
            foundation.config = replace(foundation.config, trained=trained)
    save_pretrained(folder, tokenizer, foundation)
    if heads is not None:
        of = Folder.now(folder).digests["foundation.safetensors"]
        write_state(run_dir / HEADS, heads, {HEADS_OF: of})
    # What is measured is what is on the disk.
    saved = load_pretrained(folder)
    assert saved.tokenizer is not None
    if saved.foundation is not None:
        saved.foundation.masked_tokens = heads
    measures = measure(saved.tokenizer, saved.foundation, corpus["validation"])
    curves = {stage: read_curves(run_dir / stage) for stage in _STAGES}
    files = {
        **read_together(folder, every_file),
        TRAINING_FILE: json_text(record).encode("utf-8"),
        MEASURES_FILE: json_text(measures).encode("utf-8"),
        CARD_FILE: card_text(record, measures, curves).encode("utf-8"),
    }
    if targets is not None:
        named = {TARGET_COLUMNS: json.dumps(feature_names(list(targets.sizes)))}
        files[TARGET_HEAD] = state_bytes(targets, named)
    with saving_together(run_dir / MODEL) as together:
        for name, content in files.items():
            together.add(name, content)
    shutil.rmtree(folder)


def _trained_names(corpus: CorpusDataset, config: TransformerConfig) -> tuple[str, ...]:
    """Find the names that the corpus has, of those that the tokenizer was trained on."""
    seen = {config.channels[row] for rows in corpus.index["montages"] for row in rows}
    seen &= set(config.trained) or seen
    return tuple(name for name in config.channels if name in seen)


def _record(
    run_dir: Path,
    corpus: dict[str, CorpusDataset],
    config: PretrainConfig,
    tokenizer: str | Path | None,
) -> dict[str, Any]:
    """Gather data and settings of a run, and what is known of the tokenizer it started from."""
    before = json.loads((tokenizer and read_file(run_dir / MODEL, TRAINING_FILE)) or "{}")
    watched = sorted(set(corpus["validation"].subjects))
    return before | {
        "subjects": _subjects(corpus["train"], tokenizer),
        "validation": watched,
        "hours": corpus["train"].hours,
        "windows": len(corpus["train"]),
        "tokenizer_from": None if tokenizer in (None, run_dir / MODEL) else str(tokenizer),
        "config": plain_config(config),
        "steps": {name: steps_done(run_dir / name) for name in _STAGES if hasattr(config, name)},
    }


def _subjects(corpus: CorpusDataset, tokenizer: str | Path | None) -> dict[str, list[str]] | None:
    """Name the subjects that a model has seen; None if those of its tokenizer are not known."""
    seen: dict[str, set[str]] = {}
    for data_set, person in map(data_set_and_person, set(corpus.subjects)):
        seen.setdefault(data_set, set()).add(person)
    if tokenizer is not None:
        before = pretraining_subjects(tokenizer)
        if before is None:
            return None
        for data_set, people in before.items():
            seen.setdefault(data_set, set()).update(people)
    return {data_set: sorted(people) for data_set, people in sorted(seen.items())}
