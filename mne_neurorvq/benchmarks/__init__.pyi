from .features import band_power, representations, untrained_twin
from .paradigm import Windows
from .probe import LinearProbe
from .running import Plan, run
from .scoring import CrossSubjectScores, compare_features, cross_subject_scores
from .steps import WithinSubjects
from .tables import comparison, report_table
from .tasks import TASKS, Task

__all__ = [
    "TASKS",
    "CrossSubjectScores",
    "LinearProbe",
    "Plan",
    "Task",
    "Windows",
    "WithinSubjects",
    "band_power",
    "compare_features",
    "comparison",
    "cross_subject_scores",
    "report_table",
    "representations",
    "run",
    "untrained_twin",
]
