from .features import band_power, representations, untrained_twin
from .report import comparison, report_table
from .scoring import CrossSubjectScores, compare_features, cross_subject_scores

__all__ = [
    "CrossSubjectScores",
    "band_power",
    "compare_features",
    "comparison",
    "cross_subject_scores",
    "report_table",
    "representations",
    "untrained_twin",
]
