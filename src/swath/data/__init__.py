"""Labeled patches: index them once, audit and split them, decode them once into a mapped array.

Everything right of this room sees patches through a :class:`PatchIndex` (one Parquet table, one row
a patch) and never looks at folders again. The order of making is: check and decode, find duplicates,
group, split. Sources are folders, CSVs, zip archives, and data sets known by name.
"""

from swath.data.archives import Images, PatchReader, open_patches, walk_images
from swath.data.audit import Audit, audit, write_audit
from swath.data.cache import cached_pixels, default_cache
from swath.data.download import get
from swath.data.duplicates import DuplicatePair, group_duplicates, near_duplicates
from swath.data.fix import CleaningReport, fix_index
from swath.data.index import SCHEMA, SPLITS, PatchIndex, read_index, write_index
from swath.data.labels import class_numbers, label_matrix
from swath.data.named import NAMED, NamedSet, find_named, shipped_path
from swath.data.relabel import RelabelingReport, binary_index, relabel
from swath.data.resample import resample_index
from swath.data.sources import build_index
from swath.data.spatial import make_splits, make_val_split, with_bias_note
from swath.data.splits import fold_index, split_index
from swath.data.statistics import color_feature_names, color_features

__all__ = [
    "NAMED",
    "SCHEMA",
    "SPLITS",
    "Audit",
    "CleaningReport",
    "DuplicatePair",
    "Images",
    "NamedSet",
    "PatchIndex",
    "PatchReader",
    "RelabelingReport",
    "audit",
    "binary_index",
    "build_index",
    "cached_pixels",
    "class_numbers",
    "color_feature_names",
    "color_features",
    "default_cache",
    "find_named",
    "fix_index",
    "fold_index",
    "get",
    "group_duplicates",
    "label_matrix",
    "make_splits",
    "make_val_split",
    "near_duplicates",
    "open_patches",
    "read_index",
    "relabel",
    "resample_index",
    "shipped_path",
    "split_index",
    "walk_images",
    "with_bias_note",
    "write_audit",
    "write_index",
]
