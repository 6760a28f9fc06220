from .batches import Batch, CropSettings
from .calibration import calibrate_amplitude
from .config import (
    Hardware,
    LossWeights,
    ModelSettings,
    PretrainConfig,
    StageSettings,
    config_text,
    read_config,
)
from .corpus.dataset import CorpusDataset, Window
from .corpus.order import EpochSampler
from .corpus.prepare import prepare_corpus
from .crops import RandomCrops, Recording
from .feeding import CorpusBatches
from .recordings import read_recordings
from .running import pretrain_foundation, pretrain_tokenizer
from .stages import FoundationStage, TokenizerStage

__all__ = [
    "Batch",
    "CorpusBatches",
    "CorpusDataset",
    "CropSettings",
    "EpochSampler",
    "FoundationStage",
    "Hardware",
    "LossWeights",
    "ModelSettings",
    "PretrainConfig",
    "RandomCrops",
    "Recording",
    "StageSettings",
    "TokenizerStage",
    "Window",
    "calibrate_amplitude",
    "config_text",
    "prepare_corpus",
    "pretrain_foundation",
    "pretrain_tokenizer",
    "read_config",
    "read_recordings",
]
