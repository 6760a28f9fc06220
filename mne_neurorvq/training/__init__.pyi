from .batches import Batch, CorpusBatches
from .biocodec_pretraining import BioCodecLossWeights, BioCodecPretrainConfig, BioCodecSettings
from .brainrvq_pretraining import BrainRVQLossWeights, BrainRVQPretrainConfig, BrainRVQSettings
from .calibration import calibrate_amplitude
from .corpus.dataset import CorpusDataset, Window
from .corpus.prepare import prepare_corpus
from .corpus.verify import verify_corpus
from .crops import CropSettings
from .foundation_stage import FoundationStage
from .masked_prediction import GuidedMasking
from .neurorvq_pretraining import NeuroRVQLossWeights, NeuroRVQPretrainConfig, NeuroRVQSettings
from .run_config import config_text, read_config
from .running import pretrain_foundation, pretrain_tokenizer
from .settings import FoundationSettings, Hardware, PretrainConfig, StageSettings
from .tokenizer_stage import TokenizerStage

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
