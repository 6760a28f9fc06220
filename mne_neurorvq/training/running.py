# License: BSD-3-Clause
"""Run a stage of pretraining with Lightning: batches, checkpoints, logs, resume."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from ..models import NeuroRVQ, NeuroRVQConfig, NeuroRVQTokenizer
from .crops import RandomCrops, Recording, validation_batches
from .optimisation import start_filter_bank
from .stages import FoundationStage, StageSettings, TokenizerStage

_CHECKPOINT_BATCHES = 250
# Lightning counts a step for each of the two optimisers.
_STEPS_PER_BATCH = 2
# What Lightning says about choices that are meant: no workers, optimisers stepped by hand, a
# folder that already has the checkpoint to resume from, an epoch resumed where it stopped, a
# frozen tokenizer.
_EXPECTED = (
    "The '.*_dataloader' does not have many workers",
    "Using ModelCheckpoint with manual optimization",
    "Checkpoint directory",
    "You're resuming from a checkpoint",
    ".*mid-epoch",
    ".*LeafSpec",
    ".*in eval mode at the start of training",
)


def pretrain_tokenizer(
    train: Sequence[Recording],
    valid: Sequence[Recording],
    config: NeuroRVQConfig,
    settings: StageSettings,
    run_dir: Path,
) -> NeuroRVQTokenizer:
    """Stage one: train a tokenizer; a run that was interrupted goes on.

    Parameters
    ----------
    train, valid : sequence of Recording
        Recordings to learn from, and of other subjects to watch.
    config : NeuroRVQConfig
        Structure.
    settings : StageSettings
        Budget and optimisation.
    run_dir : Path
        Folder of checkpoints and logs.

    Returns
    -------
    NeuroRVQTokenizer
        The model after the last step: nothing is chosen on ``valid``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import Recording, StageSettings, pretrain_tokenizer
    >>> noise = np.random.default_rng(0).standard_normal((2, 4000), np.float32)
    >>> recordings = [Recording(10 * noise, np.array([0, 1]), "noise")]
    >>> tiny = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> settings = StageSettings(n_steps=2, tokens_per_step=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = pretrain_tokenizer(
    ...         recordings, recordings, tiny.config, settings, Path(folder)
    ...     )
    Training...
    >>> model.training
    False
    """
    lightning.seed_everything(settings.seed, verbose=False)
    tokenizer = NeuroRVQTokenizer(config=config)
    if config.modality == "eeg":
        generator = torch.Generator().manual_seed(settings.seed)
        start_filter_bank(tokenizer.encoder, config.sfreq, generator)
    _run(TokenizerStage(tokenizer, settings), train, valid, config, settings, run_dir)
    return tokenizer.eval()


def pretrain_foundation(
    train: Sequence[Recording],
    valid: Sequence[Recording],
    tokenizer: NeuroRVQTokenizer,
    settings: StageSettings,
    run_dir: Path,
) -> NeuroRVQ:
    """Stage two: train a foundation model on the codes of a tokenizer.

    The encoder starts from the tokenizer's.

    Parameters
    ----------
    train, valid : sequence of Recording
        Recordings to learn from, and of other subjects to watch.
    tokenizer : NeuroRVQTokenizer
        Trained tokenizer; it stays as it is.
    settings : StageSettings
        Budget and optimisation.
    run_dir : Path
        Folder of checkpoints and logs.

    Returns
    -------
    NeuroRVQ
        The model after the last step, with its masked-token heads.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import Recording, StageSettings, pretrain_foundation
    >>> noise = np.random.default_rng(0).standard_normal((2, 4000), np.float32)
    >>> recordings = [Recording(10 * noise, np.array([0, 1]), "noise")]
    >>> tiny = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> settings = StageSettings(n_steps=2, tokens_per_step=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = pretrain_foundation(
    ...         recordings, recordings, tiny, settings, Path(folder)
    ...     )
    Training...
    >>> model.training
    False
    """
    lightning.seed_everything(settings.seed, verbose=False)
    config = tokenizer.config
    foundation = NeuroRVQ(config=config, masked_token_heads=True)
    # Not strict: the tokenizer has no LayerScale.
    foundation.encoder.load_state_dict(tokenizer.encoder.state_dict(), strict=False)
    stage = FoundationStage(foundation, tokenizer, settings)
    _run(stage, train, valid, config, settings, run_dir)
    return foundation.eval()


def _run(
    stage: TokenizerStage | FoundationStage,
    train: Sequence[Recording],
    valid: Sequence[Recording],
    config: NeuroRVQConfig,
    settings: StageSettings,
    run_dir: Path,
) -> None:
    checkpoint = run_dir / "last.ckpt"
    resume = str(checkpoint) if checkpoint.exists() else None
    done = 0
    if resume:
        state = torch.load(checkpoint, map_location="cpu", weights_only=False)
        done = state["global_step"] // _STEPS_PER_BATCH
    crops = RandomCrops(
        train,
        config,
        n_batches=settings.n_steps,
        tokens_per_batch=settings.tokens_per_step,
        seed=settings.seed,
        first=done,
    )
    trainer = lightning.Trainer(
        max_steps=settings.n_steps * _STEPS_PER_BATCH,
        accelerator="auto",
        devices=1,
        logger=CSVLogger(run_dir, name="logs", version=f"from_{done}"),
        log_every_n_steps=20,
        val_check_interval=min(500, settings.n_steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        callbacks=[
            ModelCheckpoint(
                run_dir,
                filename="last",
                every_n_train_steps=_CHECKPOINT_BATCHES * _STEPS_PER_BATCH,
                enable_version_counter=False,
            ),
            TQDMProgressBar(refresh_rate=50),
        ],
    )
    # The recordings are in memory and a crop costs far less than a step: no workers.
    watched: Any = validation_batches(valid, config)
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        trainer.fit(
            stage,
            DataLoader(crops, batch_size=None),
            DataLoader(watched, batch_size=None),
            ckpt_path=resume,
        )
