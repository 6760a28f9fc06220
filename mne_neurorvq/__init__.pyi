from . import (
    analysis,
    benchmarks,
    datasets,
    estimators,
    models,
    signals,
    tokens,
    training,
    viz,
    weights,
)
from .encoding import BraindecodeModel, preprocess
from .estimators import (
    BioCodecClassifier,
    BioCodecTransformer,
    BrainRVQClassifier,
    BrainRVQTransformer,
    GroupStandardScaler,
    NeuroRVQClassifier,
    NeuroRVQRegressor,
    NeuroRVQTransformer,
    load_estimator,
)
from .signals import as_array_like
from .tokens import Tokens
from .weights import list_pretrained, load_pretrained

__version__: str

__all__ = [
    "BioCodecClassifier",
    "BioCodecTransformer",
    "BrainRVQClassifier",
    "BrainRVQTransformer",
    "BraindecodeModel",
    "GroupStandardScaler",
    "NeuroRVQClassifier",
    "NeuroRVQRegressor",
    "NeuroRVQTransformer",
    "Tokens",
    "__version__",
    "analysis",
    "as_array_like",
    "benchmarks",
    "datasets",
    "estimators",
    "list_pretrained",
    "load_estimator",
    "load_pretrained",
    "models",
    "preprocess",
    "signals",
    "tokens",
    "training",
    "viz",
    "weights",
]
