"""Pixels in: any picture file becomes an array with stated bands and units.

One decoder reads JPEG, PNG, WebP, TIFF, GeoTIFF, JPEG 2000 and ``.npy``, and trusts none of them: the
format is told by content, sizes are checked before decoding, and damage is an error that names the file.
Beside it are the few things done to pixels before a model sees them: choosing bands, rendering
reflectance to 8 bits, resizing, and showing them as a coarser sensor would.
"""

from swath.imagery.decode import SUFFIXES, decode, probe
from swath.imagery.header import RGB, Header, Picture
from swath.imagery.resample import resample_to_gsd
from swath.imagery.resize import resize
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
