"""A scene in, a land map out.

Windows are laid over a scene of any size, classified strip by strip, and their probabilities averaged
where they overlap; the result is a class raster and its confidence as Cloud Optimized GeoTIFFs with the
area of every class, a legend and a picture. Memory does not grow with the scene's height. A scene whose
truth is known can be sewn from labeled patches, and a map held against it.
"""

from swath.mapping.grid import Grid, make_grid
from swath.mapping.mosaic import MapAccuracy, map_accuracy, write_mosaic
from swath.mapping.scene import map_scene
from swath.mapping.summary import MapFiles, MapSummary

__all__ = [
    "Grid",
    "MapAccuracy",
    "MapFiles",
    "MapSummary",
    "make_grid",
    "map_accuracy",
    "map_scene",
    "write_mosaic",
]
