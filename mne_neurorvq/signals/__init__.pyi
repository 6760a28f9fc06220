__all__ = [
    "BIOCODEC_EEG_PREPROCESSING",
    "BIOCODEC_EMG_PREPROCESSING",
    "BRAINRVQ_EEG_PREPROCESSING",
    "NEURORVQ_ECG_PREPROCESSING",
    "NEURORVQ_EEG_PREPROCESSING",
    "NEURORVQ_EMG_PREPROCESSING",
    "NEURORVQ_PPG_PREPROCESSING",
    "ChannelMatch",
    "ChannelReport",
    "EpochsView",
    "Preprocessing",
    "Segmentation",
    "Trials",
    "as_array_like",
    "as_trials",
    "check_amplitude",
    "check_recording_scale",
    "check_scale",
    "laplacian_matrix",
    "match_channels",
    "plan_segments",
    "resample",
    "robust_scale",
    "set_reference",
    "unit_factor",
    "use_channels",
]

from .amplitude import check_amplitude
from .array_like import EpochsView, as_array_like
from .channel_report import ChannelMatch, ChannelReport
from .channels import match_channels, use_channels
from .conversion import as_trials
from .filtering import (
    BIOCODEC_EEG_PREPROCESSING,
    BIOCODEC_EMG_PREPROCESSING,
    BRAINRVQ_EEG_PREPROCESSING,
    NEURORVQ_ECG_PREPROCESSING,
    NEURORVQ_EEG_PREPROCESSING,
    NEURORVQ_EMG_PREPROCESSING,
    NEURORVQ_PPG_PREPROCESSING,
    Preprocessing,
)
from .laplacian import laplacian_matrix
from .reference import set_reference
from .resampling import resample
from .robust_scaling import robust_scale
from .scale import check_recording_scale, check_scale
from .segments import Segmentation, plan_segments
from .trials import Trials
from .units import unit_factor
