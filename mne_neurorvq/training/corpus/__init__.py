# License: BSD-3-Clause
"""From folders of recordings to a corpus of windows, and from there to training."""
