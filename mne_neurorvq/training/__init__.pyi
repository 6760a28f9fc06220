from .calibration import calibrate_amplitude
from .crops import Batch, RandomCrops, Recording
from .recordings import read_recordings
from .running import pretrain_foundation, pretrain_tokenizer
from .stages import FoundationStage, LossWeights, StageSettings, TokenizerStage

__all__ = [
    "Batch",
    "FoundationStage",
    "LossWeights",
    "RandomCrops",
    "Recording",
    "StageSettings",
    "TokenizerStage",
    "calibrate_amplitude",
    "pretrain_foundation",
    "pretrain_tokenizer",
    "read_recordings",
]
