from .codes import plot_code_topomap, plot_code_waveforms, plot_codebook_usage, plot_tokens
from .embedding import plot_embedding
from .measures import plot_spatial_coherence, plot_stability
from .reconstruction import plot_error_topomap, plot_rate_distortion, plot_reconstruction
from .recordings import plot_channel_match
from .report import add_to_report
from .scores import plot_benchmark, plot_learning_curve, plot_low_resource

__all__ = [
    "add_to_report",
    "plot_benchmark",
    "plot_channel_match",
    "plot_code_topomap",
    "plot_code_waveforms",
    "plot_codebook_usage",
    "plot_embedding",
    "plot_error_topomap",
    "plot_learning_curve",
    "plot_low_resource",
    "plot_rate_distortion",
    "plot_reconstruction",
    "plot_spatial_coherence",
    "plot_stability",
    "plot_tokens",
]
