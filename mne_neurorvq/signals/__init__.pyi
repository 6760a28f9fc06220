__all__ = [
    "BIOCODEC_EEG_PREPROCESSING",
    "BRAINRVQ_EEG_PREPROCESSING",
    "NEURORVQ_EEG_PREPROCESSING",
    "ChannelMatch",
    "EpochsView",
    "Preprocessing",
    "Segmentation",
    "Trials",
    "as_array_like",
    "as_trials",
    "check_band",
    "check_offset",
    "check_scale",
    "check_trials_scale",
    "cut",
    "join",
    "laplacian_matrix",
    "match_channels",
    "plan_segments",
    "prepare",
    "preprocess",
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
]

from .any_montage import use_channels
from .array_like import EpochsView, as_array_like
from .channels import ChannelMatch, match_channels, used_channels
from .filtering import (
    BIOCODEC_EEG_PREPROCESSING,
    BRAINRVQ_EEG_PREPROCESSING,
    NEURORVQ_EEG_PREPROCESSING,
    Preprocessing,
    check_band,
    preprocess,
)
from .laplacian import laplacian_matrix
from .preparation import check_offset, check_trials_scale, prepare, read_signals, restore
from .resampling import resample, resampled_length
from .scaling import robust_scale, robust_statistics, scale_by
from .segments import Segmentation, cut, join, plan_segments
from .trials import Trials, as_trials
from .units import check_scale, unit_factor
