from .bits import Compression, compression
from .coherence import SpatialCoherence, spatial_coherence
from .learning import LowResourceCurve, low_resource_curve
from .levels import LevelScores, RateDistortion, level_scores, rate_distortion
from .perturbations import PERTURBATIONS, Gain, Mask, Noise
from .quality import BANDS, BandQuality, ReconstructionQuality, reconstruction_quality
from .stability import CodeStability, code_stability
from .usage import CodeUsage, code_usage

__all__ = [
    "BANDS",
    "PERTURBATIONS",
    "BandQuality",
    "CodeStability",
    "CodeUsage",
    "Compression",
    "Gain",
    "LevelScores",
    "LowResourceCurve",
    "Mask",
    "Noise",
    "RateDistortion",
    "ReconstructionQuality",
    "SpatialCoherence",
    "code_stability",
    "code_usage",
    "compression",
    "level_scores",
    "low_resource_curve",
    "rate_distortion",
    "reconstruction_quality",
    "spatial_coherence",
]
