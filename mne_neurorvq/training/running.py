# License: BSD-3-Clause
"""Run a stage of pretraining with Lightning: batches, checkpoints, logs, resume."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from ..models import BrainRVQTokenizer, NeuroRVQTokenizer
from ..weights.systems import SYSTEMS, Foundation, Tokenizer, make_tokenizer
from .batches import CorpusBatches, model_input, watched_batches
from .checkpoints import (
    CHECKPOINT,
    ReplacingCheckpointIO,
    StepCheckpoint,
    begin,
    digest_of,
    steps_done,
)
from .corpus.dataset import CorpusDataset
from .foundation_stage import FoundationStage
from .optimisation import start_encoder, start_weights
from .run_config import FoundationPretrainConfig, plain_config
from .settings import Hardware, PretrainConfig, StageSettings
from .tokenizer_stage import TokenizerStage

# What Lightning says about choices that are meant: the workers asked for, a folder that already
# has the checkpoint to go on from, an epoch resumed where it stopped, a frozen tokenizer, means
# that are those of all processes already.
_EXPECTED = (
    "The '.*_dataloader' does not have many workers",
    "Checkpoint directory",
    "Experiment logs directory",
    "You're resuming from a checkpoint",
    ".*mid-epoch",
    ".*LeafSpec",
    ".*in eval mode at the start of training",
    "It is recommended to use `self.log",
)


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
    >>> tokenizer = pretrain_tokenizer(*sides, config, folder / "run")
    Training...
    >>> bool(tokenizer.quantizer.started)
    True
    """
    lightning.seed_everything(config.seed, verbose=False)
    tokenizer = make_tokenizer(config.model.config())
    start_weights(tokenizer, torch.Generator().manual_seed(config.seed))
    stage = TokenizerStage(tokenizer, config.tokenizer, asdict(config.losses), config.seed)
    _run(stage, train, valid, config, config.tokenizer, run_dir)
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
    >>> foundation = pretrain_foundation(*sides, tokenizer, config, folder / "run")
    Training...
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
        start_encoder(foundation, torch.Generator().manual_seed(config.seed))
    else:
        # Not strict: the tokenizer has no LayerScale, that of BrainRVQ no norm of queries and keys.
        foundation.encoder.load_state_dict(tokenizer.encoder.state_dict(), strict=False)
    stage = FoundationStage(foundation, tokenizer, config.foundation, config.masking, config.seed)
    _run(stage, train, valid, config, config.foundation, run_dir)
    return foundation.eval()


def _run(
    stage: TokenizerStage | FoundationStage,
    train: CorpusDataset,
    valid: CorpusDataset,
    config: PretrainConfig,
    settings: StageSettings,
    run_dir: Path,
) -> None:
    done = steps_done(run_dir)
    model = stage.tokenizer.config
    inputs, targets = {"corpus": digest_of(train.index)}, tuple[str, ...]()
    if isinstance(stage, FoundationStage):
        inputs["tokenizer"] = digest_of(stage.tokenizer.state_dict())
        targets = tuple(stage.settings.learned_targets)
    begin(run_dir, done, inputs)

    def feed(rank: int, n_ranks: int) -> tuple[CorpusBatches, list[Any]]:
        batches = CorpusBatches(
            train,
            model,
            config.crops,
            seed=config.seed,
            n_batches=settings.n_steps * settings.accumulate,
            first=done * settings.accumulate,
            rank=rank,
            n_ranks=n_ranks,
            targets=targets,
        )
        watched = watched_batches(valid, model, rank=rank, n_ranks=n_ranks, targets=targets)
        return batches, [
            batch._replace(windows=model_input(batch.windows, model)[0]) for _, batch in watched
        ]

    with _quiet():
        trainer = make_trainer(config.hardware, settings, run_dir, done)
        for logger in trainer.loggers:
            # Another stretch of the run may have other hardware.
            logger.log_hyperparams(plain_config(config))
        with _interruptible():
            trainer.fit(
                stage,
                datamodule=_Feed(feed, config.hardware.workers),
                ckpt_path=str(run_dir / CHECKPOINT) if done else None,
                weights_only=True,
            )
        if trainer.global_step > done:
            trainer.save_checkpoint(run_dir / CHECKPOINT)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Lightning say what is wrong, and not what it is doing."""
    logger = logging.getLogger("lightning.pytorch")
    usual = logger.level
    logger.setLevel(max(logging.WARNING, logger.getEffectiveLevel()))
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(usual)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Undo what Lightning makes of Ctrl-C: the end of the process, and no Ctrl-C any more."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


class _Feed(lightning.LightningDataModule):
    """Loaders of one process, made once its rank is known."""

    def __init__(
        self, feed: Callable[[int, int], tuple[CorpusBatches, list[Any]]], n_workers: int
    ) -> None:
        super().__init__()
        self.feed = feed
        self.n_workers = n_workers

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.train, self.valid = self.feed(self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            self.train,
            batch_size=None,
            num_workers=self.n_workers,
            persistent_workers=self.n_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        watched: Any = self.valid
        return DataLoader(watched, batch_size=None)


def make_trainer(
    hardware: Hardware, settings: StageSettings, run_dir: Path, done: int
) -> lightning.Trainer:
    """Make the trainer of a stage."""
    launcher = _launcher()
    for environment in launcher:
        # Lightning itself does not look at this where it was told of one process only.
        environment.validate_settings(hardware.devices, hardware.nodes)
    several = hardware.devices * hardware.nodes > 1
    return lightning.Trainer(
        max_steps=settings.n_steps,
        max_epochs=-1,
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        # Every process computes the same codebooks: nothing has to be sent before each step.
        strategy=DDPStrategy(broadcast_buffers=False) if several else "auto",
        use_distributed_sampler=False,
        plugins=[ReplacingCheckpointIO(), *launcher],
        accumulate_grad_batches=settings.accumulate,
        default_root_dir=run_dir,
        logger=_loggers(run_dir, done),
        log_every_n_steps=min(20, settings.n_steps),
        # In batches, of which there are several to a step.
        val_check_interval=min(settings.validate_every, settings.n_steps) * settings.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        callbacks=[
            StepCheckpoint(
                run_dir,
                filename=Path(CHECKPOINT).stem,
                every_n_train_steps=settings.save_every,
                enable_version_counter=False,
            ),
            _Progress(refresh_rate=20),
        ],
    )


def _loggers(run_dir: Path, done: int) -> list[Logger]:
    """Log as CSV, and for TensorBoard where that is installed."""
    logs: dict[str, Any] = {"name": "logs", "version": f"from_{done}"}
    loggers: list[Logger] = [CSVLogger(run_dir, flush_logs_every_n_steps=1, **logs)]
    if find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(run_dir, default_hp_metric=False, **logs))
    return loggers


def _launcher() -> list[ClusterEnvironment]:
    """Find what started the processes, if anything did; torchrun first, which may run within Slurm.

    It is left to Slurm to start a job again: Lightning would keep a checkpoint beside ours.
    """
    if TorchElasticEnvironment.detect():
        return [TorchElasticEnvironment()]
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


class _Progress(TQDMProgressBar):
    """Lightning's bar, without the name of the folder that the logs go to."""

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, Any]:
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown
