# License: BSD-3-Clause
"""From folders of recordings to a corpus of windows, and from there to training.

``finding`` looks for recordings and says whose they are; ``recording`` makes windows of one of them
by ``rules`` and ``artefacts``, in one of the processes of ``jobs``; ``prepare`` does that for all, and
keeps in a ``storage`` of a ``format`` what has been done; ``verify`` looks for damage, ``dataset``
reads windows.
"""
