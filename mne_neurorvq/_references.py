# License: BSD-3-Clause
"""The references in which a model can be given its signals."""

from __future__ import annotations

from typing import Literal, get_args

Reference = Literal["recorded", "average", "laplacian"]
REFERENCES: tuple[Reference, ...] = get_args(Reference)
