# License: BSD-3-Clause
"""Sphinx settings. The documentation builds offline, and a warning is an error in CI."""

from __future__ import annotations

import os

from sphinx_gallery.sorting import ExplicitOrder

import mne_neurorvq

os.environ["MPLBACKEND"] = "Agg"

project = "mne_neurorvq"
author = "mne_neurorvq developers"
copyright = author
version = release = mne_neurorvq.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "mne": ("https://mne.tools/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "python": ("https://docs.python.org/3", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "auto_examples/**.ipynb", "auto_examples/**.py"]
default_role = "code"
nitpicky = False

autosummary_generate = True
# numpydoc's sections give the types; a second copy in the signatures only makes them unreadable.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# The class template lists the members that a class defines itself.
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# From a first look to a model of one's own.
_EXAMPLES = {
    "start": ["first_look", "tokens_and_reconstruction"],
    "codes": ["what_codes_mean", "three_systems", "compress_a_recording"],
    "predict": ["cross_subject_pipeline", "grid_search", "fine_tuning", "sleep_like_stages"],
    "body": ["ecg", "emg", "ppg"],
    "others": ["autoreject", "moabb_cross_subject", "braindecode_and_skorch", "onnx"],
    "train": ["train_a_small_model"],
}
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    # What a cell ends with is shown if it has a table or a diagram of its own, and never as text.
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "min_reported_time": 1e6,
    "parallel": 2,
    "plot_gallery": "True",
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "subsection_order": ExplicitOrder([f"../examples/{folder}" for folder in _EXAMPLES]),
    "within_subsection_order": ExplicitOrder(
        [f"plot_{name}.py" for names in _EXAMPLES.values() for name in names]
    ),
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"mne_neurorvq {release}"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}


def _skip_generated_methods(app, what, name, obj, skip, options):
    """Leave out the methods that scikit-learn adds for metadata routing."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    app.connect("autodoc-skip-member", _skip_generated_methods)
