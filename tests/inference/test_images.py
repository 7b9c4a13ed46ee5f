"""Every kind of image that people hold gives the pixels of the file it came from."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import swath
from swath.errors import DataError, MissingFileError, SettingError
from swath.imagery import decode
from swath.inference.images import image_pixels
from tests.tiny import CLASSES, input_spec, patches, tiny_graph, tiny_record, write_patches, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return swath.load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return sorted(write_patches(tmp_path_factory.mktemp("in"), n=1).rglob("*.png"))


@pytest.fixture(scope="module")
def rgb(paths):
    """The same images, uint8 [N, H, W, 3]."""
    return np.stack([np.asarray(Image.open(path)) for path in paths])


@pytest.fixture(scope="module")
def wanted(classifier, paths):
    return classifier.predict(paths)


def same(got, wanted):
    assert got.labels == wanted.labels
    np.testing.assert_array_equal(got.probabilities, wanted.probabilities)


def record_of(bands, data_type="uint8"):
    spec = input_spec(bands=bands, data_type=data_type, mean=(90,) * len(bands), sd=(30,) * len(bands))
    return tiny_record(tiny_graph(spec=spec), spec=spec)


def test_files_in_every_form(classifier, paths, wanted):
    assert wanted.labels == [path.parent.name for path in paths]
    assert wanted.paths == [str(path) for path in paths]
    for images in (
        [str(path) for path in paths],
        [path.read_bytes() for path in paths],
        [bytearray(path.read_bytes()) for path in paths],
        [decode(path, name="x") for path in paths],
        [Image.open(path) for path in paths],
        (path for path in paths),
    ):
        same(classifier.predict(images), wanted)


def test_arrays_of_both_layouts_alone_and_in_batches(classifier, rgb, wanted):
    chw = np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))
    for images in (rgb, chw, list(rgb), list(chw), [rgb[0], *chw[1:]]):
        got = classifier.predict(images)
        same(got, wanted)
        assert got.paths == [f"image {number}" for number in range(len(rgb))]


def test_one_image_alone_is_a_list_of_one(classifier, paths, rgb):
    path = paths[0]
    for image in (path, str(path), path.read_bytes(), decode(path, name="x"), Image.open(path), rgb[0]):
        assert classifier.predict(image).labels == [path.parent.name]


def test_torch_tensors(classifier, rgb, wanted):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(rgb.copy()).permute(0, 3, 1, 2)
    same(classifier.predict(tensor), wanted)
    same(classifier.predict(list(tensor)), wanted)
    with pytest.raises(DataError, match=r"float32.*255"):
        classifier.predict((tensor / 255).requires_grad_())


def test_data_arrays_with_their_dimensions_in_any_order(classifier, rgb, wanted):
    xarray = pytest.importorskip("xarray")
    whole = xarray.DataArray(rgb, dims=("time", "y", "x", "band"))
    same(classifier.predict(whole), wanted)
    same(classifier.predict(whole.transpose("x", "band", "time", "y")), wanted)
    same(classifier.predict([image.transpose("x", "y", "band") for image in whole]), wanted)
    named = whole.assign_coords(band=["red", "green", "blue"])[..., ::-1]  # blue, green, red
    same(classifier.predict(named), wanted)
    kept = whole[0].transpose("band", "y", "x")[::-1].assign_coords(band=[1, 2, 3])
    kept.attrs["long_name"] = ("blue", "green", "red")  # as rioxarray keeps band descriptions
    assert classifier.predict(kept).labels == wanted.labels[:1]
    with pytest.raises(DataError, match=r"time, y, x.*rename"):
        classifier.predict(whole[..., 0])


def test_rasterio_datasets_and_virtual_files(classifier, paths, rgb, wanted, tmp_path):
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "bgr.tif", "w", **options) as file:
        file.write(rgb[0].transpose(2, 0, 1)[::-1])
        file.descriptions = ("B02", "B03", "B04")  # blue, green, red
    with rasterio.open(tmp_path / "bgr.tif") as dataset:
        got = classifier.predict([dataset, paths[1]])
    assert got.paths == [str(tmp_path / "bgr.tif"), str(paths[1])]
    same(got, wanted[:2])
    with pytest.raises(DataError, match="closed"):
        classifier.predict(dataset)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(paths[0], "deep/a.png")
        archive.writestr("b.png", b"junk")
    same(classifier.predict(f"/vsizip/{tmp_path}/a.zip/deep/a.png"), wanted[:1])
    with pytest.raises(MissingFileError, match=r"a\.zip/gone\.png"):
        classifier.predict(f"/vsizip/{tmp_path}/a.zip/gone.png")
    with pytest.raises(DataError, match=r"b\.png"):
        classifier.predict(f"/vsizip/{tmp_path}/a.zip/b.png")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_a_pillow_image_is_what_its_file_is(mode, paths, tmp_path):
    image = Image.open(paths[0]).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    record = record_of(("red", "green", "blue"))
    opened = Image.open(path)
    np.testing.assert_array_equal(image_pixels(opened, record, name="x"), image_pixels(path, record, name="x"))


def test_a_pillow_image_lies_as_its_exif_says(tmp_path):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6))
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    image.save(tmp_path / "a.png", exif=exif)
    turned = image_pixels(Image.open(tmp_path / "a.png"), record_of(("gray",)), name="x")
    np.testing.assert_array_equal(turned[0], np.rot90(np.asarray(image), -1))


def test_a_pillow_image_of_floats_is_refused(classifier):
    with pytest.raises(DataError, match="mode F"):
        classifier.predict(Image.new("F", (64, 64)))


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_the_axis_as_long_as_the_bands_is_the_bands_axis(bands, height, width, first):
    names = tuple(f"b{number}" for number in range(bands))
    record = record_of(names)
    pixels = np.arange(bands * height * width, dtype=np.uint8).reshape(bands, height, width)
    given_pixels = pixels if first else pixels.transpose(1, 2, 0)
    if given_pixels.shape[0] == given_pixels.shape[-1] == bands:
        with pytest.raises(DataError, match='layout="chw"'):
            image_pixels(given_pixels, record, name="x")
    else:
        np.testing.assert_array_equal(image_pixels(given_pixels, record, name="x"), pixels)
    layout = "chw" if first else "hwc"
    np.testing.assert_array_equal(image_pixels(given_pixels, record, name="x", layout=layout), pixels)


def test_a_layout_can_be_stated(classifier):
    square = np.zeros((3, 64, 3), np.uint8)
    with pytest.raises(DataError, match=r"image 0 has shape \(3, 64, 3\).*layout="):
        classifier.predict(square)
    assert len(classifier.predict(square, layout="hwc")) == 1
    with pytest.raises(DataError, match="shape"):
        classifier.predict(np.zeros((64, 64, 3), np.uint8), layout="chw")
    with pytest.raises(SettingError, match="'chw'"):
        classifier.predict(square, layout="bhw")


def test_a_plane_is_an_image_of_one_band():
    plane = np.zeros((9, 7), np.uint8)
    assert image_pixels(plane, record_of(("vv",)), name="x").shape == (1, 9, 7)
    with pytest.raises(DataError, match=r"x has shape \(9, 7\)"):
        image_pixels(plane, record_of(("vv", "vh")), name="x")


@pytest.mark.parametrize(
    ("data_type", "dtype", "fix"),
    [
        ("uint8", np.float32, r"np\.rint\(255 \* pixels\)\.astype\('uint8'\)"),
        ("uint16", np.float64, r"np\.rint\(65535 \* pixels\)\.astype\('uint16'\)"),
        ("uint8", np.uint16, "rescale_reflectance"),
        ("uint16", np.uint8, "as stored"),
        ("uint8", np.int64, r"astype\('uint8'\)"),
    ],
)
def test_numbers_of_another_type_are_refused_with_what_to_do(data_type, dtype, fix):
    for scale in (0.5, 200):
        pixels = np.full((3, 64, 64), scale).astype(dtype)
        with pytest.raises(DataError, match=f"image 7 is {np.dtype(dtype)}, model 'tiny' takes {data_type}") as e:
            image_pixels(pixels, record_of(("red", "green", "blue"), data_type), name="image 7")
        assert e.match(fix)


def test_a_float_file_is_refused_like_a_float_array(classifier, tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 64, 64), 0.5, np.float32))
    with pytest.raises(DataError, match=r"a\.npy is float32.*before any scaling"):
        classifier.predict(tmp_path / "a.npy")


def test_eight_bit_images_for_a_sixteen_bit_model(tmp_path):
    path = write_tiny_model(tmp_path / "m.onnx", spec=input_spec(data_type="uint16"))
    with pytest.raises(DataError, match="is uint8, model 'tiny' takes uint16; give the numbers as stored"):
        swath.load(path, threads=1).predict(patches("River", 1)[0])


def test_an_image_of_another_shape_is_named_by_its_place(classifier, rgb):
    with pytest.raises(DataError, match=r"image 1 has shape \(64, 64, 4\)"):
        classifier.predict([rgb[0], np.zeros((64, 64, 4), np.uint8)])
    with pytest.raises(DataError, match=r"image 0 has shape \(2, 3, 0, 64\)|image 0 has shape \(3, 0, 64\)"):
        classifier.predict(np.zeros((2, 3, 0, 64), np.uint8))


def test_what_cannot_be_read_is_named(classifier, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nxxx")
    with pytest.raises(DataError, match=r"bad\.png"):
        classifier.predict([tmp_path / "bad.png"])
    with pytest.raises(MissingFileError, match=r"gone\.png"):
        classifier.predict([tmp_path / "gone.png"])
    with pytest.raises(DataError, match=r"is a folder.*predict_files"):
        classifier.predict(tmp_path)


@pytest.mark.parametrize("image", [None, 5, object()])
def test_what_is_no_image_is_named_by_its_type(classifier, image):
    for images in (image, [image]):
        with pytest.raises(DataError, match=f"image 0 is of type {type(image).__name__}.*; give a path"):
            classifier.predict(images)


def test_classes_are_those_of_the_model(wanted):
    assert wanted.classes == CLASSES
