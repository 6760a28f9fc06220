from .record import Tokens

__all__ = ["Tokens"]
