# License: BSD-3-Clause
"""A fit that takes place as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

E = TypeVar("E")
P = ParamSpec("P")
R = TypeVar("R")


def all_or_nothing(fit: Callable[Concatenate[E, P], R]) -> Callable[Concatenate[E, P], R]:
    """Let a method that fits assign all that it learns at once, when it has succeeded.

    It works on a twin of the estimator, with its parameters and without what an earlier fit
    learned. Where it raises, or is interrupted, the estimator is as it was before.
    """

    @wraps(fit)
    def fit_a_twin(self: E, /, *args: P.args, **kwargs: P.kwargs) -> R:
        twin = object.__new__(type(self))
        vars(twin).update(
            {name: value for name, value in vars(self).items() if not _is_learned(name)}
        )
        result: Any = fit(twin, *args, **kwargs)
        self.__dict__ = vars(twin)  # one step, which nothing can interrupt
        return cast(R, self if result is twin else result)

    return fit_a_twin


def _is_learned(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")
