# License: BSD-3-Clause
"""``mne-neurorvq export``: from a run to a folder that can be given away."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

import torch

from ..models.heads import make_token_heads
from ..weights import LoadedModel, load_pretrained, to_official_state_dict
from ..weights.loading import CARD_FILE
from ..weights.manifest import Folder, every_file, read_together, saving_together
from ..weights.reading import fill
from ..weights.saving import files_with_reference
from ..weights.tensors import read_tensors
from .pretrain_command import HEADS, HEADS_OF, MODEL

_FRONT = """---
license: {licence}
library_name: mne-neurorvq
tags:
- {modality}
- {system}
- residual-vector-quantization
---

# {name}

{reference}"""
_REFERENCE = """Reference of what it is given, unless a user chooses another: {reference}, computed
from all good EEG channels of a recording. Figures of reconstruction below are of signals as
recorded.

"""


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
    reference = args.reference or loaded.config.reference
    if args.reference is not None:
        files = files_with_reference(files, reference)
    front = _FRONT.format(
        reference="" if reference == "recorded" else _REFERENCE.format(reference=reference),
        licence=args.licence,
        modality=loaded.config.modality,
        system=loaded.config.system,
        name=args.name or args.out.name,
    )
    files[CARD_FILE] = (front + (loaded.card or "")).encode("utf-8")
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
    print(f"Publish it with: hf upload USER/{args.name or args.out.name} {args.out}")


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
