from .biocodec import (
    BIOCODEC_EEG,
    BIOCODEC_EMG,
    BIOCODEC_LOSS_WEIGHTS,
    BioCodec,
    BioCodecConfig,
    biocodec_losses,
)
from .biocodec_head import BioCodecHead
from .brainrvq import (
    BRAINRVQ_EEG,
    BRAINRVQ_LEVEL_WEIGHTS,
    BrainRVQ,
    BrainRVQConfig,
    BrainRVQTokenizer,
    DualView,
    analyse_dual,
    dual_losses,
    synthesise_dual,
)
from .config import QuantizerConfig
from .heads import token_cross_entropy
from .masking import draw_mask, information_scores, information_weight, limit_runs
from .neurorvq import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQ,
    NeuroRVQConfig,
    NeuroRVQTokenizer,
    Spectrum,
    analyse,
    reconstruction_losses,
    synthesise,
)
from .quantizer import Quantized, ResidualVQ
from .search import kmeans, nearest_codes
from .usage import count_codes, perplexity, used_share
from .window_model import WindowModel

__all__ = [
    "BIOCODEC_EEG",
    "BIOCODEC_EMG",
    "BIOCODEC_LOSS_WEIGHTS",
    "BRAINRVQ_EEG",
    "BRAINRVQ_LEVEL_WEIGHTS",
    "BioCodec",
    "BioCodecConfig",
    "BioCodecHead",
    "BrainRVQ",
    "BrainRVQConfig",
    "BrainRVQTokenizer",
    "DualView",
    "NEURORVQ_ECG",
    "NEURORVQ_EEG",
    "NEURORVQ_EMG",
    "NEURORVQ_PPG",
    "NeuroRVQ",
    "NeuroRVQConfig",
    "NeuroRVQTokenizer",
    "Quantized",
    "QuantizerConfig",
    "ResidualVQ",
    "Spectrum",
    "WindowModel",
    "analyse",
    "analyse_dual",
    "biocodec_losses",
    "count_codes",
    "draw_mask",
    "dual_losses",
    "information_scores",
    "information_weight",
    "kmeans",
    "limit_runs",
    "nearest_codes",
    "perplexity",
    "reconstruction_losses",
    "synthesise",
    "synthesise_dual",
    "token_cross_entropy",
    "used_share",
]
