from .calibration import calibrate_amplitude
from .corpus import Window
from .corpus.dataset import CorpusDataset
from .corpus.order import EpochSampler
from .corpus.prepare import prepare_corpus
from .crops import Batch, RandomCrops, Recording
from .recordings import read_recordings
from .running import pretrain_foundation, pretrain_tokenizer
from .stages import FoundationStage, LossWeights, StageSettings, TokenizerStage

__all__ = [
    "Batch",
    "CorpusDataset",
    "EpochSampler",
    "FoundationStage",
    "LossWeights",
    "RandomCrops",
    "Recording",
    "StageSettings",
    "TokenizerStage",
    "Window",
    "calibrate_amplitude",
    "prepare_corpus",
    "pretrain_foundation",
    "pretrain_tokenizer",
    "read_recordings",
]
