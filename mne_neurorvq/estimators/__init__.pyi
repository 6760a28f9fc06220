from .biocodec_classifier import BioCodecClassifier
from .biocodec_transformer import BioCodecTransformer
from .brainrvq_classifier import BrainRVQClassifier
from .brainrvq_transformer import BrainRVQTransformer
from .loading import load_estimator
from .neurorvq_classifier import NeuroRVQClassifier, NeuroRVQRegressor
from .neurorvq_transformer import NeuroRVQTransformer
from .scaling import GroupStandardScaler

__all__ = [
    "BioCodecClassifier",
    "BioCodecTransformer",
    "BrainRVQClassifier",
    "BrainRVQTransformer",
    "GroupStandardScaler",
    "NeuroRVQClassifier",
    "NeuroRVQRegressor",
    "NeuroRVQTransformer",
    "load_estimator",
]
