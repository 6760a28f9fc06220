from .config import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQConfig,
    QuantizerConfig,
)
from .foundation import NeuroRVQ
from .quantizer import Quantized, ResidualVQ
from .search import kmeans, nearest_codes
from .spectrum import Spectrum, analyse, reconstruction_losses, synthesise
from .tokenizer import NeuroRVQTokenizer
from .usage import count_codes, perplexity, used_share
from .windows import WindowModel

__all__ = [
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
    "count_codes",
    "kmeans",
    "nearest_codes",
    "perplexity",
    "reconstruction_losses",
    "synthesise",
    "used_share",
]
