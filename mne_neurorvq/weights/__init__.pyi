from .errors import (
    CheckpointError,
    DownloadError,
    HashError,
    MismatchError,
    NotACheckpointError,
    NotOnHubError,
    OfflineError,
    TruncatedError,
)
from .hub import push_to_hub
from .loading import LoadedModel, load_pretrained
from .official import to_official_state_dict
from .registry import Pretrained, WeightsFile, list_pretrained
from .saving import save_pretrained

__all__ = [
    "CheckpointError",
    "DownloadError",
    "HashError",
    "LoadedModel",
    "MismatchError",
    "NotACheckpointError",
    "NotOnHubError",
    "OfflineError",
    "Pretrained",
    "TruncatedError",
    "WeightsFile",
    "list_pretrained",
    "load_pretrained",
    "push_to_hub",
    "save_pretrained",
    "to_official_state_dict",
]
