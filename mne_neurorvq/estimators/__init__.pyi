from .preprocessing import preprocess
from .scaling import GroupStandardScaler
from .transformer import NeuroRVQTransformer

__all__ = ["GroupStandardScaler", "NeuroRVQTransformer", "preprocess"]
