from .codes import CodeUsage, Compression, code_usage, compression
from .coherence import SpatialCoherence, spatial_coherence
from .feature_maps import feature_map
from .occurrences import CodeWaveforms, code_rates, code_waveforms
from .perturbations import PERTURBATIONS, Gain, Mask, Noise
from .rate_distortion import RateDistortion, gaussian_bound, rate_distortion
from .reconstruction import (
    BANDS,
    BANDS_OF,
    BandQuality,
    ReconstructionQuality,
    reconstruction_quality,
)
from .stability import CodeStability, code_stability
from .subject_scores import LevelScores, LowResourceCurve, level_scores, low_resource_curve

__all__ = [
    "BANDS",
    "BANDS_OF",
    "PERTURBATIONS",
    "BandQuality",
    "CodeStability",
    "CodeUsage",
    "CodeWaveforms",
    "Compression",
    "Gain",
    "LevelScores",
    "LowResourceCurve",
    "Mask",
    "Noise",
    "RateDistortion",
    "ReconstructionQuality",
    "SpatialCoherence",
    "code_rates",
    "code_stability",
    "code_usage",
    "code_waveforms",
    "compression",
    "feature_map",
    "gaussian_bound",
    "level_scores",
    "low_resource_curve",
    "rate_distortion",
    "reconstruction_quality",
    "spatial_coherence",
]
