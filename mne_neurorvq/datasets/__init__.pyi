from .loaders import (
    epochs_from_recordings,
    load_eegbci,
    simulate_epochs,
    simulate_recordings,
    trial_column,
)
from .text_recordings import load_emg_lower_limb, read_bidmc, read_welltory
from .wfdb_records import load_ptbxl, read_wfdb

__all__ = [
    "epochs_from_recordings",
    "load_eegbci",
    "load_emg_lower_limb",
    "load_ptbxl",
    "read_bidmc",
    "read_welltory",
    "read_wfdb",
    "simulate_epochs",
    "simulate_recordings",
    "trial_column",
]
