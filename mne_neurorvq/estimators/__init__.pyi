from .classifier import NeuroRVQClassifier, NeuroRVQRegressor
from .loading import load_estimator
from .preprocessing import preprocess
from .scaling import GroupStandardScaler
from .transformer import NeuroRVQTransformer

__all__ = [
    "GroupStandardScaler",
    "NeuroRVQClassifier",
    "NeuroRVQRegressor",
    "NeuroRVQTransformer",
    "load_estimator",
    "preprocess",
]
