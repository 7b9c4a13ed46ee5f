"""Labelled patches: index them once, audit and split them, decode them once into a mapped array.

Everything right of this room sees patches through a :class:`PatchIndex` (one Parquet table, one row
a patch) and never looks at folders again. The order of making is: check and decode, find duplicates,
group, split. Sources are folders, CSVs, zip archives, and data sets known by name.
"""

from swath.data.archives import Images, PatchReader, open_patches, walk_images
from swath.data.audit import Audit, audit, write_audit
from swath.data.cache import cached_pixels, default_cache
from swath.data.degrade import degrade_index
from swath.data.download import get
from swath.data.duplicates import DuplicatePair, group_duplicates, near_duplicates
from swath.data.fix import Fixed, fix_index
from swath.data.index import SCHEMA, SPLITS, PatchIndex, read_index, write_index
from swath.data.named import NAMED, NamedSet, find_named, shipped_path
from swath.data.relabel import Relabelling, binary_index, relabel
from swath.data.sources import build_index
from swath.data.spatial import cut_index, cut_val, labelled
from swath.data.splits import fold_index, split_index
from swath.data.statistics import colour_feature_names, colour_features

__all__ = [
    "NAMED",
    "SCHEMA",
    "SPLITS",
    "Audit",
    "DuplicatePair",
    "Fixed",
    "Images",
    "NamedSet",
    "PatchIndex",
    "PatchReader",
    "Relabelling",
    "audit",
    "binary_index",
    "build_index",
    "cached_pixels",
    "colour_feature_names",
    "colour_features",
    "cut_index",
    "cut_val",
    "default_cache",
    "degrade_index",
    "find_named",
    "fix_index",
    "fold_index",
    "get",
    "group_duplicates",
    "labelled",
    "near_duplicates",
    "open_patches",
    "read_index",
    "relabel",
    "shipped_path",
    "split_index",
    "walk_images",
    "write_audit",
    "write_index",
]
