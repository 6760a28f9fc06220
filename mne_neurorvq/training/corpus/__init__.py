# License: BSD-3-Clause
"""From folders of recordings to a corpus of windows, and from there to training.

``finding`` looks for recordings and says whose they are. ``recording`` makes windows of one of them
by ``window_rules`` and ``artefacts``, in a process of ``jobs``. ``prepare`` does that for all, and
keeps what is done (``storage``, ``format``, ``zarr_arrays``). ``verify`` looks for damage,
``dataset`` reads windows, ``summary`` counts them.
"""
