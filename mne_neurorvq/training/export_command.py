# License: BSD-3-Clause
"""``mne-neurorvq export``: from a run to a folder that can be given away."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from ..models.heads import make_token_heads
from ..weights import LoadedModel, load_pretrained, to_official_state_dict
from ..weights.card import card_head
from ..weights.loading import CARD_FILE
from ..weights.manifest import Folder, every_file, read_together, saving_together
from ..weights.provenance import TRAINING_FILE
from ..weights.reading import fill
from ..weights.saving import files_with_reference
from ..weights.target_head import TARGET_COLUMNS, TARGET_HEAD
from ..weights.tensors import read_tensors
from .patch_targets import TARGETS, feature_names
from .pretrain_command import HEADS, HEADS_OF, MODEL


def run(args: argparse.Namespace) -> None:
    """Write the folder: weights, configuration, provenance and model card."""
    source = args.run / MODEL
    if not source.is_dir():
        raise FileNotFoundError(
            f"{args.run} has no finished stage: 'mne-neurorvq pretrain tokenizer' makes one."
        )
    began = Folder.now(source)
    loaded, files = load_pretrained(source), read_together(source, every_file)
    if not began.is_current:
        raise ValueError(f"{source} has just been written: export it again.")
    official = _official(loaded, args.run / HEADS, began) if args.official else {}
    if TARGET_HEAD in files:
        files[TARGET_HEAD] = _with_names(files[TARGET_HEAD], json.loads(files[TRAINING_FILE]))
    config = loaded.config
    if args.reference is not None:
        files = files_with_reference(files, args.reference)
        config = replace(config, reference=args.reference)
    head = card_head(config, args.name or args.out.name, args.licence)
    files[CARD_FILE] = (head + (loaded.card or "")).encode("utf-8")
    for kind, state in official.items():
        torch.save(state, buffer := BytesIO())
        files[f"official/{kind}.pt"] = buffer.getvalue()
    with saving_together(args.out) as together:
        if together.files:
            raise ValueError(f"{args.out} is not empty: name a new folder.")
        for name, content in files.items():
            together.add(name, content)
    print(
        f"{args.out}: load_pretrained({str(args.out)!r}) takes it, and so does every pretrained=."
    )
    if config.modality == "eeg":
        print(_about_reference(config.reference, json.loads(files[TRAINING_FILE])))
    print(f"Publish it with: hf upload USER/{args.name or args.out.name} {args.out}")


def _about_reference(reference: str, record: dict[str, Any]) -> str:
    """Say in which reference a model is given signals, and which it has learned from."""
    crops = record.get("config", {}).get("crops", {})
    shares = {name: crops.get(f"{name}_reference", 0.0) for name in ("average", "laplacian")}
    had = [f"{share:.0%} of the windows had the {name}" for name, share in shares.items() if share]
    return (
        f"It is given signals in the reference {reference!r} (--reference changes it). In "
        f"training, {' and '.join(had) or 'all windows were as recorded'}."
    )


def _with_names(head: bytes, record: dict[str, Any]) -> bytes:
    """Name the numbers of a target head; earlier versions had them in the record only."""
    targets = record["config"]["foundation"]["targets"]
    names = feature_names([name for name in TARGETS if targets.get(name)])
    tensors = load(head)
    if len(names) != len(tensors["bias"]):
        raise ValueError(
            f"{TARGET_HEAD} tells {len(tensors['bias'])} numbers, but the targets that "
            f"{TRAINING_FILE} names have {len(names)}: the run was changed, or is of another "
            "version."
        )
    return save(tensors, {TARGET_COLUMNS: json.dumps(names)})


def _official(
    loaded: LoadedModel, heads: Path, model: Folder
) -> dict[str, dict[str, torch.Tensor]]:
    """State dicts under the authors' names, the pretraining heads included."""
    if loaded.foundation is not None and heads.exists():
        loaded.foundation.masked_tokens = make_token_heads(loaded.foundation.config)
        tensors, metadata = read_tensors(heads)
        digest = model.digests.get("foundation.safetensors")
        # Earlier versions did not say it.
        if digest is not None and metadata.get(HEADS_OF, digest) != digest:
            raise ValueError(
                f"{heads} is not of the foundation model in {model.path}: repeat the 'mne-neurorvq "
                "pretrain foundation' command that was interrupted, or copy the whole run again."
            )
        fill(loaded.foundation.masked_tokens, tensors, str(heads))
    models = {"tokenizer": loaded.tokenizer, "foundation": loaded.foundation}
    return {
        kind: to_official_state_dict(model) for kind, model in models.items() if model is not None
    }
