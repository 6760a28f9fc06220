# License: BSD-3-Clause
"""JSON that carries its own digest, so that damage and changes by hand are noticed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

DIGEST = "digest"


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest to JSON-able content."""
    return {**content, DIGEST: _digest(content)}


def is_whole(sealed: Mapping[str, Any]) -> bool:
    """Whether content that was read is what :func:`seal` returned."""
    content = {name: value for name, value in sealed.items() if name != DIGEST}
    return bool(sealed.get(DIGEST) == _digest(content))


def _digest(content: Mapping[str, Any]) -> str:
    return blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
