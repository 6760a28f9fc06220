# License: BSD-3-Clause
"""How recordings become windows: what the system and the user decide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...encoding.preprocessing import find_preprocessing, preprocessing_of
from ...signals import unit_factor
from ...signals.units import UNITLESS
from ...weights.systems import SYSTEMS, Config
from .artefacts import CLIP, LIMITS, ArtefactLimits
from .format import FORMAT

# Steps from zero to the clip limit: 0.05 uV for EEG, finer than the noise of any amplifier. A step
# that is the same for all lets quiet channels take fewer bytes.
STEPS = 10_000
#: A window has at least so many patches.
SHORTEST = 2
# A shorter patch, in seconds, cannot be judged as flat or clipped: that of the corpus is a second.
_SHORTEST_PATCH = 0.1


@dataclass(frozen=True)
class Rules:
    """How recordings become windows."""

    system: str  # whose models are to learn from them
    modality: str
    window_patches: int  # patches of a window

    @classmethod
    def of(cls, system: str, modality: str, window: float) -> Rules:
        """Check what the user says; ``window`` is in seconds."""
        if system not in SYSTEMS:
            raise ValueError(f"system={system!r} is none of {', '.join(SYSTEMS)}.")
        find_preprocessing(system, modality)
        seconds = cls(system, modality, 0).patch_seconds
        patches = round(window / seconds)
        if patches < SHORTEST or abs(patches * seconds - window) > 1e-9:
            raise ValueError(
                f"window={window:g} s must be a multiple of the patch ({seconds:g} s), and at "
                f"least {SHORTEST * seconds:g} s."
            )
        return cls(system, modality, patches)

    @property
    def config(self) -> Config:
        """Vocabulary, unit and rate of the system's models."""
        return SYSTEMS[self.system].presets[self.modality]

    @property
    def limits(self) -> ArtefactLimits:
        """When channels and windows are left out."""
        return LIMITS[self.modality]

    @property
    def unit(self) -> str:
        """Unit of the corpus."""
        return self.config.signal_unit

    @property
    def patch_size(self) -> int:
        """Samples of a patch of the corpus."""
        config = self.config
        return config.patch_size if config.patch_seconds >= _SHORTEST_PATCH else round(config.sfreq)

    @property
    def patch_seconds(self) -> float:
        """Duration of a patch of the corpus."""
        return self.patch_size / self.config.sfreq

    @property
    def clip(self) -> float:
        """Largest value in the unit of the corpus."""
        preprocessing = preprocessing_of(self.config)
        if preprocessing.clip is None:
            return CLIP[self.modality] * self._per_microvolt
        return preprocessing.clip * unit_factor(preprocessing.unit, self.unit)

    @property
    def flat_deviation(self) -> float:
        """Least standard deviation of a patch that is not flat, in the unit of the corpus."""
        return self.limits.flat_deviation * self._per_microvolt

    @property
    def _per_microvolt(self) -> float:
        """Turn limits into the unit of the corpus; a pulse wave's have none."""
        return 1.0 if self.unit == UNITLESS else unit_factor("uV", self.unit)

    @property
    def step(self) -> float:
        """What a count stands for, in the unit of the corpus."""
        return self.clip / STEPS

    def settings(self) -> dict[str, Any]:
        """All that decides what the windows are, JSON-able."""
        return {
            "format": FORMAT,
            "system": self.system,
            "modality": self.modality,
            "sfreq": self.config.sfreq,
            "unit": self.unit,
            "patch_size": self.patch_size,
            "window_patches": self.window_patches,
            "step": self.step,
            "channels": list(self.config.channels),
            "preprocessing": asdict(preprocessing_of(self.config)),
            "limits": asdict(self.limits),
        }
