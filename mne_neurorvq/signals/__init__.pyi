__all__ = [
    "BIOCODEC_EEG_PREPROCESSING",
    "BRAINRVQ_EEG_PREPROCESSING",
    "NEURORVQ_EEG_PREPROCESSING",
    "ChannelMatch",
    "ChannelReport",
    "EpochsView",
    "Preprocessing",
    "Segmentation",
    "Splines",
    "Trials",
    "as_array_like",
    "as_trials",
    "check_amplitude",
    "check_band",
    "check_recording_scale",
    "check_scale",
    "cut",
    "join",
    "laplacian_matrix",
    "match_and_interpolate",
    "match_channels",
    "plan_segments",
    "prepare",
    "filter_recording",
    "read_signals",
    "resample",
    "resampled_length",
    "restore",
    "robust_scale",
    "robust_statistics",
    "scale_by",
    "unit_factor",
    "use_channels",
    "used_channels",
    "warn_of_silence",
    "with_sites",
]

from .amplitude import check_amplitude, warn_of_silence
from .any_montage import use_channels
from .array_like import EpochsView, as_array_like
from .channel_report import ChannelMatch, ChannelReport, used_channels
from .channels import match_and_interpolate, match_channels
from .conversion import as_trials
from .filtering import (
    BIOCODEC_EEG_PREPROCESSING,
    BRAINRVQ_EEG_PREPROCESSING,
    NEURORVQ_EEG_PREPROCESSING,
    Preprocessing,
    check_band,
    filter_recording,
)
from .laplacian import laplacian_matrix
from .preparation import prepare, read_signals, restore
from .resampling import resample, resampled_length
from .robust_scaling import robust_scale, robust_statistics, scale_by
from .scale import check_recording_scale, check_scale
from .segments import Segmentation, cut, join, plan_segments
from .splines import Splines, with_sites
from .trials import Trials
from .units import unit_factor
