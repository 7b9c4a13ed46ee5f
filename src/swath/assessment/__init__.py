"""How good a map is: samples to label, accuracy and areas with intervals, agreement with other maps.

:func:`sample_map` draws a stratified random sample of a map's pixels and writes it as points with a column to fill in.
:func:`assess` compares one or more maps with the labeled points, or with another raster of classes. Torch-free.
"""

from swath.assessment.assess import assess
from swath.assessment.estimators import StratifiedSample, measure_difference, measure_map
from swath.assessment.results import Agreement, Assessment
from swath.assessment.sample import MapSample, sample_map

__all__ = [
    "Agreement",
    "Assessment",
    "MapSample",
    "StratifiedSample",
    "assess",
    "measure_difference",
    "measure_map",
    "sample_map",
]
