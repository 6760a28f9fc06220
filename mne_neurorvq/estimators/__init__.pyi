from .biocodec_estimators import BioCodecClassifier, BioCodecTransformer
from .brainrvq_estimators import BrainRVQClassifier, BrainRVQTransformer
from .neurorvq_estimators import NeuroRVQClassifier, NeuroRVQRegressor, NeuroRVQTransformer
from .persistence import load_estimator
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
