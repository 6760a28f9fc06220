# License: BSD-3-Clause
"""Sphinx settings. The documentation builds offline, and a warning is an error in CI."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl
from docutils import nodes
from sphinx_gallery.sorting import ExplicitOrder

import mne_neurorvq

os.environ["MPLBACKEND"] = "Agg"
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

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
        "braindecode": ("https://braindecode.org/stable", None),
        "mne": ("https://mne.tools/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "python": ("https://docs.python.org/3", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "_templates",
    "**.inc",
    "auto_examples/**.ipynb",
    "auto_examples/**.py",
]
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
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "logo": {"text": project},
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}


def _skip_generated_methods(app, what, name, obj, skip, options):
    """Leave out the methods that scikit-learn adds for metadata routing."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def _draw(app):
    """Draw the figures and write the pages that are made from the code."""
    import draw
    import model_pages

    if str(app.config.plot_gallery) in ("0", "False"):
        app.config.suppress_warnings = ["image.not_readable"]  # figures that the examples draw
    with mpl.rc_context(draw.STYLE):
        draw.draw_all(HERE / "figures")
        model_pages.write_model_pages(HERE / "cards")


def _keep_numbers_together(app, doctree):
    """Let no line end between a mean and its deviation."""
    for text in list(doctree.findall(nodes.Text)):
        if " ± " in text and not isinstance(text.parent, nodes.literal_block):
            text.parent.replace(
                text, nodes.Text(text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"))
            )


def setup(app):
    app.connect("doctree-read", _keep_numbers_together)
    app.connect("builder-inited", _draw)
    app.connect("autodoc-skip-member", _skip_generated_methods)
