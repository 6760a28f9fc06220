from .classifiers import ClassifierScores, compare_classifiers
from .features import band_power, representations, untrained_twin
from .fold_cache import FoldResult
from .peers import BraindecodeClassifier
from .scoring import CrossSubjectScores, compare_features, cross_subject_scores
from .spatial_patterns import csp_lda
from .tables import classifier_table, comparison, report_table

__all__ = [
    "BraindecodeClassifier",
    "ClassifierScores",
    "CrossSubjectScores",
    "FoldResult",
    "band_power",
    "classifier_table",
    "compare_classifiers",
    "compare_features",
    "comparison",
    "cross_subject_scores",
    "csp_lda",
    "report_table",
    "representations",
    "untrained_twin",
]
