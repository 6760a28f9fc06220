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
from .corpus.prepare import prepare_corpus
from .feeding import CorpusBatches
from .running import pretrain_foundation, pretrain_tokenizer
from .stages import FoundationStage, TokenizerStage

__all__ = [
    "Batch",
    "CorpusBatches",
    "CorpusDataset",
    "CropSettings",
    "FoundationStage",
    "Hardware",
    "LossWeights",
    "ModelSettings",
    "PretrainConfig",
    "StageSettings",
    "TokenizerStage",
    "Window",
    "calibrate_amplitude",
    "config_text",
    "prepare_corpus",
    "pretrain_foundation",
    "pretrain_tokenizer",
    "read_config",
]
