from .biocodec_estimators import BioCodecClassifier, BioCodecTransformer
from .brainrvq_estimators import BrainRVQClassifier, BrainRVQTransformer
from .group_scaling import GroupStandardScaler
from .neurorvq_estimators import NeuroRVQClassifier, NeuroRVQRegressor, NeuroRVQTransformer
from .persistence import load_estimator

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
