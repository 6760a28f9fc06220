from .batches import Batch, CropSettings
from .biocodec import BioCodecLossWeights, BioCodecPretrainConfig, BioCodecSettings
from .brainrvq import BrainRVQLossWeights, BrainRVQPretrainConfig, BrainRVQSettings
from .calibration import calibrate_amplitude
from .config import config_text, read_config
from .corpus.dataset import CorpusDataset, Window
from .corpus.prepare import prepare_corpus, verify_corpus
from .feeding import CorpusBatches
from .masking import GuidedMasking
from .neurorvq import NeuroRVQLossWeights, NeuroRVQPretrainConfig, NeuroRVQSettings
from .running import pretrain_foundation, pretrain_tokenizer
from .settings import FoundationSettings, Hardware, PretrainConfig, StageSettings
from .stages import FoundationStage, TokenizerStage

__all__ = [
    "Batch",
    "BioCodecLossWeights",
    "BioCodecPretrainConfig",
    "BioCodecSettings",
    "BrainRVQLossWeights",
    "BrainRVQPretrainConfig",
    "BrainRVQSettings",
    "CorpusBatches",
    "CorpusDataset",
    "CropSettings",
    "FoundationSettings",
    "FoundationStage",
    "GuidedMasking",
    "Hardware",
    "NeuroRVQLossWeights",
    "NeuroRVQPretrainConfig",
    "NeuroRVQSettings",
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
    "verify_corpus",
]
