"""Data sets: one module each, with one ``load`` that returns a ``Dataset``.

What the loads of published images have in common: ``data_dir`` is the folder that holds, or shall hold, the
folder of the data set's files; ``offset`` is subtracted from pixel / the largest value; ``classes`` are names
of classes to keep (None: all); ``train_rows`` keeps the first this many training rows (None: all);
``check_integrity`` is whether the files' MD5s must be the original ones. They raise ``DataError`` where a
file is missing and cannot be downloaded, or is damaged, and ``InvalidValue`` where a setting is not allowed.
"""

from expunge.datasets.base import Dataset

__all__ = ["Dataset"]
