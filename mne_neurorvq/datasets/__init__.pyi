from .loaders import (
    epochs_from_recordings,
    load_eegbci,
    simulate_epochs,
    simulate_recordings,
    trial_column,
)

__all__ = [
    "epochs_from_recordings",
    "load_eegbci",
    "simulate_epochs",
    "simulate_recordings",
    "trial_column",
]
