from .braindecode_model import BraindecodeModel
from .preprocessing import preprocess

__all__ = ["BraindecodeModel", "preprocess"]
