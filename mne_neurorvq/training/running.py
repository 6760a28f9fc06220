# License: BSD-3-Clause
"""Run a stage of pretraining: from a corpus to a model, resuming from the last checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from ..models import BrainRVQTokenizer, NeuroRVQTokenizer
from ..weights.systems import SYSTEMS, Foundation, Tokenizer, make_tokenizer
from .batches import CorpusBatches, model_input, watched_batches
from .checkpoints import CHECKPOINT, begin, digest_of, steps_done
from .corpus.dataset import CorpusDataset
from .foundation_stage import FoundationStage
from .run_config import FoundationPretrainConfig, plain_config
from .settings import PretrainConfig
from .tokenizer_stage import TokenizerStage
from .trainer import interruptible, make_trainer, quiet


def pretrain_tokenizer(
    train: CorpusDataset, valid: CorpusDataset, config: PretrainConfig, run_dir: Path
) -> Tokenizer:
    """Stage one: train a tokenizer or codec; a run that was interrupted goes on.

    Parameters
    ----------
    train, valid : CorpusDataset
        Windows to learn from, and of other subjects to watch.
    config : NeuroRVQPretrainConfig | BioCodecPretrainConfig | BrainRVQPretrainConfig
        Structure, batches, objective, budget.
    run_dir : Path
        Folder of checkpoints and logs.

    Returns
    -------
    NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
        The model after the last step: nothing is chosen on ``valid``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import mne
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq.training import (
    ...     CorpusDataset, prepare_corpus, pretrain_tokenizer, read_config)
    >>> folder = Path(tempfile.mkdtemp())
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     name = raw.info["subject_info"]["his_id"]
    ...     _ = raw.save(folder / f"{name}_raw.fif", verbose=False)
    >>> _ = prepare_corpus([folder], folder / "corpus", window=4)
    >>> sides = [CorpusDataset(folder / "corpus", side) for side in ("train", "validation")]
    >>> config = read_config(changes=[
    ...     "model.depth=1", "model.quantizer.n_codes=16", "model.quantizer.warmup_steps=1",
    ...     "crops.tokens_per_batch=32", "tokenizer.n_steps=2"])
    >>> with mne.utils.use_log_level("error"):  # no line at each validation
    ...     tokenizer = pretrain_tokenizer(*sides, config, folder / "run")
    >>> bool(tokenizer.quantizer.started)
    True
    """
    lightning.seed_everything(config.seed, verbose=False)
    tokenizer = make_tokenizer(config.model.config())
    config.start(tokenizer, torch.Generator().manual_seed(config.seed))
    stage = TokenizerStage(tokenizer, config.tokenizer, asdict(config.losses), config.seed)
    _run(stage, train, valid, config, run_dir)
    return tokenizer.eval()


def pretrain_foundation(
    train: CorpusDataset,
    valid: CorpusDataset,
    tokenizer: NeuroRVQTokenizer | BrainRVQTokenizer,
    config: FoundationPretrainConfig,
    run_dir: Path,
) -> Foundation:
    """Stage two: train a foundation model on the codes of a tokenizer, on physiology, or both.

    Parameters
    ----------
    train, valid : CorpusDataset
        Windows to learn from, and of other subjects to watch.
    tokenizer : NeuroRVQTokenizer | BrainRVQTokenizer
        Trained tokenizer; it stays as it is.
    config : NeuroRVQPretrainConfig | BrainRVQPretrainConfig
        Batches, masks and budget; the structure is the tokenizer's, but for what only the
        foundation model has: LayerScale and heads.
    run_dir : Path
        Folder of checkpoints and logs.

    Returns
    -------
    NeuroRVQ | BrainRVQ
        The model after the last step, with the heads that it has learned with.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import mne
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import (
    ...     CorpusDataset, prepare_corpus, pretrain_foundation, read_config)
    >>> folder = Path(tempfile.mkdtemp())
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     name = raw.info["subject_info"]["his_id"]
    ...     _ = raw.save(folder / f"{name}_raw.fif", verbose=False)
    >>> _ = prepare_corpus([folder], folder / "corpus", window=4)
    >>> sides = [CorpusDataset(folder / "corpus", side) for side in ("train", "validation")]
    >>> tokenizer = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> config = read_config(changes=["crops.tokens_per_batch=32", "foundation.n_steps=2"])
    >>> with mne.utils.use_log_level("error"):  # no line at each validation
    ...     foundation = pretrain_foundation(*sides, tokenizer, config, folder / "run")
    >>> foundation.config.quantizer == tokenizer.config.quantizer
    True
    """
    lightning.seed_everything(config.seed, verbose=False)
    kind = SYSTEMS[tokenizer.config.system].foundation
    assert kind is not None
    foundation = kind(
        config=tokenizer.config.with_foundation_of(config.model.config()),
        masked_token_heads=config.foundation.masked_tokens > 0,
    )
    if config.foundation.start == "random":
        config.start(foundation, torch.Generator().manual_seed(config.seed))
    else:
        # Not strict: the tokenizer has no LayerScale, that of BrainRVQ no norm of queries and keys.
        foundation.encoder.load_state_dict(tokenizer.encoder.state_dict(), strict=False)
    stage = FoundationStage(foundation, tokenizer, config.foundation, config.masking, config.seed)
    _run(stage, train, valid, config, run_dir)
    return foundation.eval()


def _run(
    stage: TokenizerStage | FoundationStage,
    train: CorpusDataset,
    valid: CorpusDataset,
    config: PretrainConfig,
    run_dir: Path,
) -> None:
    done = steps_done(run_dir)
    inputs = {"corpus": digest_of(train.index)}
    if stage.model is not stage.tokenizer:
        inputs["tokenizer"] = digest_of(stage.tokenizer.state_dict())
    begin(run_dir, done, inputs)
    with quiet():
        trainer = make_trainer(config.hardware, stage.settings, run_dir, done)
        for logger in trainer.loggers:
            # Another stretch of the run may have other hardware.
            logger.log_hyperparams(plain_config(config))
        with interruptible():
            trainer.fit(
                stage,
                datamodule=_Feed(stage, train, valid, config, done),
                ckpt_path=str(run_dir / CHECKPOINT) if done else None,
                weights_only=True,
            )
        if trainer.global_step > done:
            trainer.save_checkpoint(run_dir / CHECKPOINT)


class _Feed(lightning.LightningDataModule):
    """Loaders of one process, made once its rank is known."""

    def __init__(
        self,
        stage: TokenizerStage | FoundationStage,
        train: CorpusDataset,
        valid: CorpusDataset,
        config: PretrainConfig,
        done: int,
    ) -> None:
        super().__init__()
        self.stage, self.corpora, self.config, self.done = stage, (train, valid), config, done

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        (train, valid), model = self.corpora, self.stage.tokenizer.config
        budget = self.stage.settings
        common: dict[str, Any] = {
            "rank": self.trainer.global_rank,
            "n_ranks": self.trainer.world_size,
            "targets": self.stage.targets,
        }
        self.train = CorpusBatches(
            train,
            model,
            self.config.crops,
            seed=self.config.seed,
            n_batches=budget.n_steps * budget.accumulate,
            first=self.done * budget.accumulate,
            **common,
        )
        self.valid = [
            batch._replace(windows=model_input(batch.windows, model)[0])
            for _, batch in watched_batches(valid, model, **common)
        ]

    def train_dataloader(self) -> DataLoader[Any]:
        n_workers = self.config.hardware.workers
        return DataLoader(
            self.train,
            batch_size=None,
            num_workers=n_workers,
            persistent_workers=n_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        watched: Any = self.valid
        return DataLoader(watched, batch_size=None)
