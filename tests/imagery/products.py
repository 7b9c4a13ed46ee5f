"""Products as they are downloaded, small: real structure and metadata, real JPEG 2000 without loss."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine

CRS, WEST, NORTH = "EPSG:32632", 600_000, 5_400_000
TILE, TIME = "T32TQM", "20220519T101601"
BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
COLOR_BANDS = ("B04", "B03", "B02")


def write_band(path: Path, values: npt.NDArray[Any], *, pixel: float = 10, driver: str = "JP2OpenJPEG") -> Path:
    """One band, on the grid of the tile, with `pixel` meters a pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    options = {"QUALITY": 100, "REVERSIBLE": "YES", "BLOCKXSIZE": 64, "BLOCKYSIZE": 64}
    profile = {"width": width, "height": height, "count": 1, "dtype": values.dtype, "driver": driver, "crs": CRS}
    profile["transform"] = Affine(pixel, 0, WEST, 0, -pixel, NORTH)
    with rasterio.open(path, "w", **profile, **(options if driver == "JP2OpenJPEG" else {})) as dataset:
        dataset.write(values, 1)
    return path


def safe_metadata(
    level: str, baseline: str, *, title: str, offset: int | None, scale: int = 10_000, files: Sequence[str] = ()
) -> str:
    """MTD_MSIL1C.xml or MTD_MSIL2A.xml, as baselines 02.04 to 05.11 have them, without what nobody reads."""
    number = level.removeprefix("L")
    prefix, each = ("RADIO", "Radiometric_Offset_List") if level == "L1C" else ("BOA", "BOA_ADD_OFFSET_VALUES_LIST")
    added = ""
    if offset is not None:
        lines = "".join(f'<{prefix}_ADD_OFFSET band_id="{i}">{offset}</{prefix}_ADD_OFFSET>' for i in range(13))
        added = f"<{each}>{lines}</{each}>"
    divided = f'<QUANTIFICATION_VALUE unit="none">{scale}</QUANTIFICATION_VALUE>'
    if level == "L2A":
        divided = (
            f'<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">{scale}</BOA_QUANTIFICATION_VALUE>'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<n1:Level-{number}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{number}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2022-05-19T10:16:01.024Z</PRODUCT_START_TIME>
      <PRODUCT_URI>{title}.SAFE</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{number}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{number}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Datatake datatakeIdentifier="GS2A_20220519T101601_036069_N{baseline}">
        <SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
        <DATATAKE_SENSING_START>2022-05-19T10:16:01.024Z</DATATAKE_SENSING_START>
      </Datatake>
      <Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>
      <Product_Organisation>
        <Granule_List>
          <Granule granuleIdentifier="S2A_OPER_MSI_{level}_TL_{TILE}_N{baseline}" imageFormat="JPEG2000">
            {"".join(f"<IMAGE_FILE>{name}</IMAGE_FILE>" for name in files)}
          </Granule>
        </Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
      {divided}
      {added}
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{number}_User_Product>
"""


def tile_metadata(level: str, height: int, width: int) -> str:
    """MTD_TL.xml: where the tile lies."""
    number = level.removeprefix("L")
    sizes = "".join(
        f'<Size resolution="{m}"><NROWS>{height * 10 // m}</NROWS><NCOLS>{width * 10 // m}</NCOLS></Size>'
        f'<Geoposition resolution="{m}"><ULX>{WEST}</ULX><ULY>{NORTH}</ULY><XDIM>{m}</XDIM><YDIM>-{m}</YDIM>'
        "</Geoposition>"
        for m in (10, 20, 60)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<n1:Level-{number}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{number}_Tile_Metadata.xsd">
  <n1:General_Info><TILE_ID>S2A_OPER_MSI_{level}_TL_{TILE}</TILE_ID></n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding>
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone 32N</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>{CRS}</HORIZONTAL_CS_CODE>
      {sizes}
    </Tile_Geocoding>
  </n1:Geometric_Info>
</n1:Level-{number}_Tile_ID>
"""


def write_safe(
    parent: Path,
    bands: Mapping[str, npt.NDArray[Any]],
    *,
    level: str = "L1C",
    baseline: str = "04.00",
    offset: int | None = -1000,
    coarse: Sequence[str] = (),
    scale: int = 10_000,
) -> Path:
    """A .SAFE folder of bands at 10 m; `coarse` ones are written at 20 m as they are given. Returns the folder."""
    title = f"S2A_MSI{level}_{TIME}_N{baseline.replace('.', '')}_R065_{TILE}_20220519T122601"
    folder = parent / f"{title}.SAFE"
    granule = folder / "GRANULE" / f"{level}_{TILE}_A036069_{TIME}"
    images, files = granule / "IMG_DATA", []
    for name, values in bands.items():
        meters = 20 if name in coarse else 10
        where = images / f"R{meters}m" if level == "L2A" else images
        ending = f"_{meters}m" if level == "L2A" else ""
        files.append(write_band(where / f"{TILE}_{TIME}_{name}{ending}.jp2", values, pixel=meters))
    (folder / f"MTD_MSI{level}.xml").write_text(
        safe_metadata(
            level,
            baseline,
            title=title,
            offset=offset,
            scale=scale,
            files=[str(file.relative_to(folder).with_suffix("")) for file in files],
        ),
        encoding="utf-8",
    )
    fine = max(bands.values(), key=np.size)
    (granule / "MTD_TL.xml").write_text(tile_metadata(level, *fine.shape), encoding="utf-8")
    return folder


def zipped(folder: Path) -> Path:
    """The zip archive of a folder, as it is downloaded, next to it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder.parent))
    return path


def numbers(pixels: npt.NDArray[np.uint8], *, seed: int = 0) -> npt.NDArray[np.float64]:
    """DN of top-of-atmosphere reflectance ``[3, H, W]`` that EuroSAT would draw as these pixels, about."""
    rng = np.random.default_rng(seed)
    return np.rint((pixels.astype(np.float64) - 1) * 2750 / 254 + rng.uniform(-4, 4, pixels.shape)).clip(1)


def landsat_facts(
    level: str, names: Mapping[int, str], *, spacecraft: str, scale: float, offset: float, elevation: float
) -> dict[str, dict[str, str]]:
    """What an MTL file holds, by groups: of level 2 those of level 1 after its own."""
    long = {"L1": "L1TP", "L2": "L2SP"}[level]
    first = "LEVEL1_RADIOMETRIC_RESCALING" if level == "L1" else "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
    facts = {
        "PRODUCT_CONTENTS": {
            "LANDSAT_PRODUCT_ID": f'"LC08_{long}_193026_20200518_20200820_02_T1"',
            "PROCESSING_LEVEL": f'"{long}"',
            "COLLECTION_NUMBER": "02",
            **{f"FILE_NAME_BAND_{number}": f'"{name}"' for number, name in names.items()},
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f'"{spacecraft}"',
            "DATE_ACQUIRED": "2020-05-18",
            "SCENE_CENTER_TIME": '"10:02:26.5912070Z"',
            "SUN_ELEVATION": str(elevation),
        },
        first: {
            f"REFLECTANCE_{kind}_BAND_{number}": str(value)
            for kind, value in (("MULT", scale), ("ADD", offset))
            for number in names
        },
    }
    if level == "L2":
        facts["LEVEL1_PROCESSING_RECORD"] = {"PROCESSING_LEVEL": '"L1TP"', "COLLECTION_NUMBER": "02"}
        facts["LEVEL1_RADIOMETRIC_RESCALING"] = {"REFLECTANCE_MULT_BAND_4": "2.0000E-05"}
    return facts


def write_landsat(
    parent: Path,
    bands: Mapping[int, npt.NDArray[Any]],
    *,
    level: str = "L2",
    form: str = "txt",
    spacecraft: str = "LANDSAT_8",
    scale: float = 2.75e-05,
    offset: float = -0.2,
    elevation: float = 60.0,
) -> Path:
    """A folder of Landsat Collection 2: bands of 30 m by their numbers, and metadata as text, JSON or XML."""
    title = f"LC08_{'L1TP' if level == 'L1' else 'L2SP'}_193026_20200518_20200820_02_T1"
    folder = parent / title
    names = {number: f"{title}_{'' if level == 'L1' else 'SR_'}B{number}.TIF" for number in bands}
    for number, values in bands.items():
        write_band(folder / names[number], values, pixel=30, driver="GTiff")
    facts = landsat_facts(level, names, spacecraft=spacecraft, scale=scale, offset=offset, elevation=elevation)
    plain = {group: {key: value.strip('"') for key, value in own.items()} for group, own in facts.items()}
    if form == "json":
        text = json.dumps({"LANDSAT_METADATA_FILE": plain})
    elif form == "xml":
        inside = "".join(
            f"<{group}>{''.join(f'<{key}>{value}</{key}>' for key, value in own.items())}</{group}>"
            for group, own in plain.items()
        )
        text = f"<LANDSAT_METADATA_FILE>{inside}</LANDSAT_METADATA_FILE>"
    else:
        lines = [
            line
            for group, own in facts.items()
            for line in (f"  GROUP = {group}", *(f"    {k} = {v}" for k, v in own.items()), f"  END_GROUP = {group}")
        ]
        text = "\n".join(["GROUP = LANDSAT_METADATA_FILE", *lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])
    (folder / f"{title}_MTL.{form}").write_text(text, encoding="utf-8")
    return folder
