"""Labeled patches: index them once, audit and split them, decode them once into a memory-mapped array.

Other rooms see patches through a :class:`PatchIndex` (one Parquet table, one row per patch) and never read folders.
:func:`build_index` makes it of folders, CSVs, zip archives, tables, torch datasets and data sets known by name: check
and decode, find duplicates, group, split. :func:`fix_index`, :func:`resample_index`, :func:`relabel`,
:func:`merge_lookalikes` and :func:`binary_index` make one index of another.
"""

from swath.data.archives import open_patches
from swath.data.audit import Audit, audit, write_audit
from swath.data.cache import cached_pixels, default_cache
from swath.data.duplicates import near_duplicates
from swath.data.filenames import LeftOut
from swath.data.fix import fix_index
from swath.data.images import Images, walk_images
from swath.data.index import SCHEMA, PatchIndex, class_numbers, label_matrix, read_index, write_index
from swath.data.named import NAMED, get, shipped_path
from swath.data.overlap import OverlapPair, find_overlaps, group_duplicates
from swath.data.relabel import binary_index, merge_lookalikes, relabel
from swath.data.rewrite import resample_index
from swath.data.sources import build_index
from swath.data.splits import split_index
from swath.data.statistics import color_feature_names, color_features

__all__ = [
    "NAMED",
    "SCHEMA",
    "Audit",
    "Images",
    "LeftOut",
    "OverlapPair",
    "PatchIndex",
    "audit",
    "binary_index",
    "build_index",
    "cached_pixels",
    "class_numbers",
    "color_feature_names",
    "color_features",
    "default_cache",
    "find_overlaps",
    "fix_index",
    "get",
    "group_duplicates",
    "label_matrix",
    "merge_lookalikes",
    "near_duplicates",
    "open_patches",
    "read_index",
    "relabel",
    "resample_index",
    "shipped_path",
    "split_index",
    "walk_images",
    "write_audit",
    "write_index",
]
