"""A scene in, a land map out.

Windows are laid over a scene of any size and kind (file, open dataset, array), classified strip by strip, and their
probabilities averaged where they overlap. :func:`map_scene` returns a :class:`Map`: classes, confidence and the area
of every class, in memory or as Cloud Optimized GeoTIFFs with a legend and a picture; on disk, memory does not grow
with the scene's height. A scene whose truth is known can be made of labeled patches, and a map compared with it.
"""

from swath.mapping.estimate import MapEstimate, estimate_map
from swath.mapping.grid import Grid, make_grid
from swath.mapping.legend import LegendEntry
from swath.mapping.mosaic import MapAccuracy, map_accuracy, mosaic_order, write_mosaic
from swath.mapping.scene import map_scene
from swath.mapping.summary import Map, MapFiles

__all__ = [
    "Grid",
    "LegendEntry",
    "Map",
    "MapAccuracy",
    "MapEstimate",
    "MapFiles",
    "estimate_map",
    "make_grid",
    "map_accuracy",
    "map_scene",
    "mosaic_order",
    "write_mosaic",
]
