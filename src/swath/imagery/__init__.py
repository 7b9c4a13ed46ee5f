"""Pixels in: any picture file becomes an array with named bands and units.

:func:`decode` reads JPEG, PNG, WebP, TIFF, GeoTIFF, JPEG 2000 and ``.npy`` and trusts none of them: the format is
detected from the content, sizes are checked before decoding, and damage is an error that names the file. The rest is
what is done to pixels before a model sees them: choosing bands, rescaling reflectance to 8 bits, resizing, and
resampling to a coarser ground sampling distance.
"""

from swath.imagery.decode import SUFFIXES, decode, probe
from swath.imagery.header import RGB, Header, Picture
from swath.imagery.resize import resample_to_gsd, resize
from swath.imagery.rgb import as_rgb, rescale_reflectance, select_bands
from swath.imagery.storage import Storage, storage

__all__ = [
    "RGB",
    "SUFFIXES",
    "Header",
    "Picture",
    "Storage",
    "as_rgb",
    "decode",
    "probe",
    "resample_to_gsd",
    "rescale_reflectance",
    "resize",
    "select_bands",
    "storage",
]
