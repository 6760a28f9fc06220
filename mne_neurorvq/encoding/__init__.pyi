from .preprocessing import preprocess

__all__ = ["preprocess"]
