from .lora import add_adapters, merge_adapters
from .net import (
    FineTuningNet,
    WeightedLoss,
    WeightedTrials,
    finish_training,
    history_of,
    make_net,
    make_trained_net,
)
from .processes import SharedNet, connect, same_seed
from .recipe import (
    Recipe,
    learning_rates,
    merge_repeats,
    schedule_factor,
    split_validation,
)

__all__ = [
    "FineTuningNet",
    "Recipe",
    "SharedNet",
    "WeightedLoss",
    "WeightedTrials",
    "add_adapters",
    "connect",
    "finish_training",
    "history_of",
    "learning_rates",
    "make_net",
    "make_trained_net",
    "merge_adapters",
    "merge_repeats",
    "same_seed",
    "schedule_factor",
    "split_validation",
]
