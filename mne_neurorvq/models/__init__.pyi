from .biocodec import BioCodec
from .biocodec_config import BIOCODEC_EEG, BIOCODEC_EMG, BioCodecConfig
from .biocodec_head import BioCodecHead
from .config import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQConfig,
    QuantizerConfig,
)
from .foundation import NeuroRVQ
from .multiscale import BIOCODEC_LOSS_WEIGHTS, biocodec_losses
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
    "BioCodec",
    "BioCodecConfig",
    "BioCodecHead",
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
    "biocodec_losses",
    "count_codes",
    "kmeans",
    "nearest_codes",
    "perplexity",
    "reconstruction_losses",
    "synthesise",
    "used_share",
]
