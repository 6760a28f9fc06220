from .cross_subject import CrossSubjectScores, cross_subject_scores
from .features import band_power, representations, untrained_twin
from .paradigm import Windows
from .plan import Plan
from .probe import LinearProbe
from .running import run
from .steps import FromTokens, WithinSubjects
from .tasks import TASKS, Task

__all__ = [
    "TASKS",
    "CrossSubjectScores",
    "FromTokens",
    "LinearProbe",
    "Plan",
    "Task",
    "Windows",
    "WithinSubjects",
    "band_power",
    "cross_subject_scores",
    "representations",
    "run",
    "untrained_twin",
]
