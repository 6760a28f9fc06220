from .biocodec import BioCodec
from .biocodec_config import BIOCODEC_EEG, BIOCODEC_EMG, BioCodecConfig
from .biocodec_head import BioCodecHead
from .brainrvq import BrainRVQ, BrainRVQTokenizer
from .brainrvq_config import BRAINRVQ_EEG, BRAINRVQ_LEVEL_WEIGHTS, BrainRVQConfig
from .config import QuantizerConfig
from .dual import DualView, analyse_dual, dual_losses, synthesise_dual
from .foundation import NeuroRVQ
from .masked_tokens import token_cross_entropy
from .masking import draw_mask, information_scores, information_weight, limit_runs
from .multiscale import BIOCODEC_LOSS_WEIGHTS, biocodec_losses
from .neurorvq_config import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQConfig,
)
from .quantizer import Quantized, ResidualVQ
from .search import kmeans, nearest_codes
from .spectrum import Spectrum, analyse, reconstruction_losses, synthesise
from .tokenizer import NeuroRVQTokenizer
from .usage import count_codes, perplexity, used_share
from .windows import WindowModel

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
