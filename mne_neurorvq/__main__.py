# License: BSD-3-Clause
"""``python -m mne_neurorvq`` is ``mne-neurorvq``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
