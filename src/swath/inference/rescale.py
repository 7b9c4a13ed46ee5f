"""How a scene was drawn, and the line per band that makes its values those a model was trained on: ``--rescale``.

What name and tags say comes first, then the statistics of the pixels. Physics and arithmetic are in
:mod:`swath.imagery.sentinel2`, quantile matching in :mod:`swath.imagery.color_match`. The model is not asked: on scenes
made of EuroSAT's patches it is most confident in the right rendering, on real ones it was in a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, SettingError
from swath.imagery.color_match import ENOUGH, Comparison, Quantiles, compare, match
from swath.imagery.rescaling import Rescaling
from swath.imagery.sentinel2 import ADDED, TCI_WHITE, Drawing, Level, Product
from swath.model.record import InputSpec

IMAGES = 256  # sampled, of however many there are
_EACH = 64 * 64  # pixels sampled of an image: a single large picture is no scene either
_L1C_WHITES = (2000.0, 2400.0, 3000.0, 3558.0, 4200.0)  # DN; EuroSAT's own is the scene as it is
_L2A_WHITES = (1600.0, 2000.0, 2500.0, 3000.0, 3558.0, 4200.0)
# Where 1000 was added to all numbers, few are below the first; metadata of a product are believed down to the second:
# water and shadow of level 2A may lie below a reflectance of 0.
_DARK, _TOO_DARK = 0.9 * ADDED, 0.5 * ADDED
_VALUES = {"auto": 0, "off": 0, "match": 0, "l1c": 1, "l2a": 1, "tci": 2, "limits": 2}  # that may follow
_AIR_NAMES = {0.0: "clear air", 0.5: "light haze", 1.0: "usual air"}
_NOT_COMPARED = {
    True: "not compared: the model file holds no quantiles",
    False: "not compared: no pixel is clear and holds data",
}
Asked: TypeAlias = str | tuple[float, float]


@dataclass(frozen=True)
class Rescale:
    """What ``--rescale`` asks for, read from its text.

    Attributes
    ----------
    mode : str
        ``"auto"``, ``"off"``, ``"l1c"``, ``"l2a"``, ``"tci"``, ``"match"`` or ``"limits"``.
    white, air : float or None
        Of ``tci:WHITE:AIR``, ``l1c:WHITE`` and ``l2a:AIR``.
    limits : tuple of float or None
        Of ``LOW:HIGH``.
    """

    mode: str
    white: float | None = None
    air: float | None = None
    limits: tuple[float, float] | None = None

    def __str__(self) -> str:
        values = self.limits or tuple(v for v in (self.white, self.air) if v is not None)
        return ":".join([*(() if self.limits else (self.mode,)), *(f"{value:g}" for value in values)])


def read_rescale(asked: Asked) -> Rescale:
    """Read the text of ``--rescale``, or the two limits.

    Raises
    ------
    SettingError
        If it is none of what the option takes.

    Examples
    --------
    >>> read_rescale("tci:3558").white, read_rescale("0:2750").limits, str(read_rescale((0, 2750)))
    (3558.0, (0.0, 2750.0), '0:2750')
    """
    refused = SettingError(
        f"--rescale {asked if isinstance(asked, str) else ':'.join(map(str, asked))}",
        fix="give auto, off, l1c, l2a, tci, tci:WHITE (such as tci:3558), match, or LOW:HIGH, as in --rescale 0:2750",
    )
    mode, *rest = asked.split(":") if isinstance(asked, str) else ["limits", *map(str, asked)]
    if isinstance(asked, str) and mode not in _VALUES:
        mode, rest = "limits", [mode, *rest]
    try:
        values = [float(part) for part in rest]
    except ValueError:
        raise refused from None
    most, least = _VALUES[mode], 2 if mode == "limits" else 0
    if not (least <= len(values) <= most and all(map(math.isfinite, values))):
        raise refused
    if mode == "limits":
        if values[1] <= values[0]:
            raise SettingError(
                f"cannot rescale values from {values[0]:g} to {values[1]:g}",
                fix="give --rescale LOW:HIGH, LOW below HIGH",
            )
        return Rescale(mode, limits=(values[0], values[1]))
    both: list[float | None] = [*values, None, None]
    white, air = (None, both[0]) if mode == "l2a" else (both[0], both[1])
    if (white is not None and white <= 0) or (air is not None and not -1 <= air <= 2):
        raise SettingError(
            f"--rescale {asked}",
            fix="give a WHITE above 0, in reflectance x 10,000, and an AIR of 0 (clear) to 1 (usual)",
        )
    return Rescale(mode, white, air)


@dataclass(frozen=True)
class Sample:
    """What is known of a scene, or of images taken for one, before it is classified.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[bands, n]``, spread over all of it, as stored.
    product : Product
        What its name and tags say.
    tag : str or None
        What its tag SWATH_RESCALE asks for.
    scaling : tuple of float or None
        Scale and offset by which it says that its values become reflectance.
    what : str
        What messages call it.
    """

    pixels: npt.NDArray[Any]
    product: Product = field(default_factory=Product)
    tag: str | None = None
    scaling: tuple[float, float] | None = None
    what: str = "the scene"

    @property
    def dtype(self) -> str:
        """Of the stored values."""
        return self.pixels.dtype.name


@dataclass(frozen=True)
class Rendering:
    """One way in which a scene may have been drawn.

    Attributes
    ----------
    taken : str
        What ``--rescale`` takes to have it again.
    rescaling : Rescaling or None
        What makes its values the model's; None for none.
    drawing : Drawing or None
        The product, where it is taken for one.
    """

    taken: str
    rescaling: Rescaling | None
    drawing: Drawing | None = None


@dataclass(frozen=True)
class RescaleDecision:
    """What was found and decided.

    Attributes
    ----------
    asked : str
        The option.
    rendering : Rendering
        What was taken.
    comparison : Comparison or None
        The scene as the model would get it without a choice, compared with the training patches. None if the model
        file holds no quantiles of these, or no pixel is clear.
    sentence : str
        What was found and done, without a full stop.
    warning : str or None
        What the user should know; None where nothing is in doubt.
    alternative : Rendering or None
        What else it may be.
    """

    asked: str
    rendering: Rendering
    comparison: Comparison | None
    sentence: str
    warning: str | None = None
    alternative: Rendering | None = None

    @property
    def rescaling(self) -> Rescaling | None:
        """Applied to the pixels; None for none."""
        return self.rendering.rescaling

    @property
    def compared(self) -> bool:
        """Whether enough was seen to say if the scene is like the training patches."""
        return self.comparison is not None and self.comparison.pixels >= ENOUGH

    def record(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        found = None
        if self.comparison is not None:
            found = asdict(self.comparison)
            found["outside"] = [round(share, 4) for share in self.comparison.outside]
            found["below"] = [round(share, 4) for share in self.comparison.below]
        drawing = self.rendering.drawing
        return {
            "asked": self.asked,
            "taken": self.rendering.taken,
            "drawing": None if drawing is None else asdict(drawing),
            "rescaling": None if self.rescaling is None else asdict(self.rescaling),
            "scene": found,
            "finding": self.sentence,
        }


def decide_rescale(spec: InputSpec, sample: Sample, asked: Asked = "auto") -> RescaleDecision:
    """Decide how a scene was drawn, and how its values become the model's.

    Parameters
    ----------
    spec : InputSpec
        What the model expects.
    sample : Sample
        Of the scene.
    asked : str or tuple of float
        What ``--rescale`` takes, or LOW and HIGH.

    Raises
    ------
    SettingError
        If `asked` is nothing the option takes, or does not fit the model or the scene.
    DataError
        If the scene holds other values than the model takes and nothing says how they were drawn.
    """
    wanted = read_rescale(asked)
    by = ""
    if wanted.mode == "auto" and sample.tag is not None:
        wanted, by = _read_tag(sample.tag), ", as its tag SWATH_RESCALE says"
    check_rescale(wanted, spec, dtype=sample.dtype, what=sample.what)
    said = str(read_rescale(asked))
    same = sample.dtype == spec.data_type
    if not same and wanted.limits is None and (wanted.mode == "off" or spec.rendering is None):
        raise DataError(
            f"{sample.what} hold{'' if sample.what.endswith('s') else 's'} {sample.dtype} values and the model takes "
            f"{spec.data_type} ones",
            fix="give values of that type, or rescale them with --rescale LOW:HIGH",
        )
    if wanted.limits is not None:
        line = Rescaling.between(*wanted.limits, bands=len(spec.bands))
        return _plain(said, Rendering(str(wanted), line), sample, spec, f"rescaled from {wanted}{by}")
    if wanted.mode == "off":
        return _unchanged(said, sample, spec)
    unnamed = sample.product.level is None and not sample.product.picture
    # A picture that nothing is known of has an unknown white, and a wrong one does more harm than none.
    if wanted.mode == "match" or spec.rendering is None or (same and wanted.mode == "auto" and unnamed):
        base = None if same else _way(drawings(wanted, sample)[0], spec, _numbers(sample)).rescaling
        return _matched(said, sample, spec, base, always=wanted.mode == "match", by=by)
    return _drawn(said, wanted, sample, spec, by)


def check_rescale(asked: Rescale, spec: InputSpec, *, dtype: str, what: str) -> None:
    """Refuse what does not fit the model or the type of the values.

    Raises
    ------
    SettingError
        If it does not fit.
    """
    bits = {"uint8": "8-bit (uint8)", "uint16": "16-bit (uint16)"}
    product = asked.mode in {"l1c", "l2a", "tci"}
    if spec.data_type != "uint8" and (product or asked.limits is not None):
        raise SettingError(
            f"the model takes {bits[spec.data_type]} values, and rescaling gives 8-bit ones", fix="leave out --rescale"
        )
    if product and spec.rendering is None:
        raise SettingError(
            f"--rescale {asked} makes pictures like EuroSAT's, and the model was trained on other ones",
            fix="give --rescale match, or leave it out",
        )
    if dtype == "uint8":
        if asked.limits is not None and asked.limits[1] > 255:
            raise SettingError(
                f"{what} is 8-bit already, its values end at 255 and not at {asked.limits[1]:g}",
                fix="leave out --rescale",
            )
    elif product and asked.white is not None:
        raise SettingError(
            f"--rescale {asked} is for 8-bit pictures, and {what} holds {bits.get(dtype, dtype)} values",
            fix=f"give --rescale {'l1c' if asked.mode == 'l1c' else 'l2a'}",
        )
    if asked.mode == "match" and spec.channel_quantiles is None:
        raise SettingError(
            "the model file holds no quantiles of its training patches, so colors cannot be matched",
            fix="train the model again with this version, or leave out --rescale match",
        )


def drawings(asked: Rescale, sample: Sample) -> list[Drawing]:
    """The products of which a scene may be one, by what is asked for, its name and its values; the likeliest first.

    Raises
    ------
    DataError
        If its values are no numbers of a product.
    """
    level: Level | None = sample.product.level
    if asked.mode in {"l1c", "l2a"}:
        level = "l1c" if asked.mode == "l1c" else "l2a"
    if asked.mode == "tci":
        level = "l2a"
    levels: tuple[Level, ...] = ("l1c", "l2a") if level is None else (level,)
    air = 1.0 if asked.air is None else asked.air
    if sample.dtype != "uint8":
        added = _added(sample)
        return [Drawing(one, air=air if one == "l2a" else 1.0, added=more) for one in levels for more in added]
    found = []
    for one in levels:
        whites: tuple[float, ...] = _L1C_WHITES if one == "l1c" else _L2A_WHITES
        if asked.white is not None:
            whites = (asked.white,)
        elif sample.product.picture:
            whites = (TCI_WHITE[one],)
        found += [Drawing(one, white, air if one == "l2a" else 1.0) for white in whites]
    return found


def sample_images(
    images: Iterable[tuple[str, bytes]], pixels_of: Callable[[bytes, str], npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """Up to 4,096 pixels ``[bands, n]`` of each image, evenly spread over it.

    Parameters
    ----------
    images : iterable of (str, bytes)
        Names and undecoded images.
    pixels_of : callable
        Gives an image's pixels ``[bands, H, W]``; images that it refuses with a DataError are passed over,
        as whatever reads them next reports what is wrong.
    """
    parts = []
    for name, data in images:
        try:
            pixels = pixels_of(data, name)
        except DataError:
            continue
        flat = pixels.reshape(len(pixels), -1)
        parts.append(flat[:, :: -(-flat.shape[1] // _EACH)])
    return parts


def _read_tag(tag: str) -> Rescale:
    try:
        return read_rescale(tag.strip())
    except SettingError as error:
        raise SettingError(
            f"the scene's tag SWATH_RESCALE={tag!r:.60} is nothing that --rescale takes", fix="give --rescale"
        ) from error


def _numbers(sample: Sample) -> tuple[float, float]:
    """Scale and offset by which stored values become DN.

    Raises
    ------
    DataError
        If they are no reflectance.
    """
    if sample.scaling is not None and sample.scaling[0] > 0:
        return sample.scaling[0] / 1e-4, sample.scaling[1] / 1e-4
    largest = float(np.nanmax(sample.pixels, initial=0))
    if sample.dtype.startswith("float") and largest <= 200:
        return (10_000.0, 0.0) if largest <= 2 else (100.0, 0.0)
    if largest <= 255:
        raise DataError(
            f"the values of {sample.what} end at 255, as those of 8-bit pictures do",
            fix="bring them to 8 bit with --rescale 0:255",
        )
    return 1.0, 0.0


def _added(sample: Sample) -> tuple[bool, ...]:
    """Whether 1000 was added to the numbers: what may be, the likeliest first."""
    if _numbers(sample) != (1.0, 0.0):
        return (False,)
    dark, product = _darkest(sample), sample.product
    if dark < (
        _TOO_DARK if product.source == "metadata" else _DARK
    ):  # whatever is said: some archives take it off again
        return (False,)
    if product.added is not None:
        return (product.added,)
    return (True, False) if dark > ADDED else (False, True)


def _darkest(sample: Sample) -> float:
    """The number below which the darkest percent of the darkest band lies."""
    held = sample.pixels[:, sample.pixels.any(axis=0)]
    return float(np.quantile(held, 0.01, axis=1).min()) if held.size else 0.0


def _contradiction(sample: Sample, added: bool) -> str | None:
    """Where dark pixels say otherwise than the product, of which `added` was taken."""
    product = sample.product
    if sample.dtype == "uint8" or product.added is None or _numbers(sample) != (1.0, 0.0):
        return None
    dark, said = _darkest(sample), f"by its {product.source}"
    said += f" (baseline {product.baseline})" if product.baseline else ""
    if product.added and not added:
        return (
            f"{said} 1000 was added to its numbers, and its dark pixels lie at {dark:,.0f}, as where nothing was: "
            "taken as without; compare the map with the scene"
        )
    if not product.added and dark > ADDED:
        return (
            f"{said} nothing was added to its numbers, and hardly any lie below 1000, as where 1000 was: if this is no "
            "snow, cloud or desert, give --rescale 1000:3750"
        )
    return None


def _drawn(said: str, asked: Rescale, sample: Sample, spec: InputSpec, by: str) -> RescaleDecision:
    """Take the product whose values would be nearest to the training patches', or leave the scene as it is."""
    numbers = None if sample.dtype == "uint8" else _numbers(sample)
    named = sample.product.level is not None or sample.product.picture
    known = by or (f", by its {sample.product.source}" if asked.mode == "auto" and named else "")
    ways = [_way(drawing, spec, numbers) for drawing in drawings(asked, sample)]
    free = sample.dtype == "uint8" and asked.white is None and not sample.product.picture
    training = _training(spec)
    if free and "l1c" in (asked.mode, sample.product.level):  # drawn as EuroSAT's, perhaps
        ways.insert(0, Rendering("off", None))
    found = _compare(sample, ways[0], training)
    if ways[0].rescaling is None and (found is None or not found.far):
        return RescaleDecision(said, ways[0], found, "left as it is: its values are like the training images'")
    nearest = _by_distance(ways, sample, training)
    way = ways[nearest[0]]
    sentence = f"taken as {_words(way, sample.product)}{known}"
    if len(ways) > 1:
        sentence += ", whose values are nearest to the training images'"
    warning = None
    if free and way.drawing is not None:
        warning = f"{sentence}; that white is a guess, and the map depends on it: give --rescale {asked.mode}:WHITE"
    if len({one.drawing.level for one in ways if one.drawing is not None}) > 1:
        warning = f"{sentence}; nothing else says so: if you know better, give --rescale l1c or l2a"
    otherwise = _contradiction(sample, way.drawing is not None and way.drawing.added)
    warning = "; ".join(filter(None, (warning, otherwise))) or None
    return RescaleDecision(said, way, found, sentence, warning, ways[nearest[1]] if len(ways) > 1 else None)


def _way(drawing: Drawing, spec: InputSpec, numbers: tuple[float, float] | None) -> Rendering:
    line = drawing.rescaling(spec.bands)
    if numbers is not None:
        line = line.of(*numbers)
    if drawing.white is None:
        return Rendering(f"l2a:{drawing.air:g}" if drawing.level == "l2a" else "l1c", line, drawing)
    white = f"{drawing.white:g}"
    return Rendering(f"tci:{white}:{drawing.air:g}" if drawing.level == "l2a" else f"l1c:{white}", line, drawing)


def _words(way: Rendering, product: Product) -> str:
    """A rendering in words."""
    drawing = way.drawing
    if drawing is None:
        return "it is" if way.rescaling is None else "another picture, its colors matched to the training images"
    level = "level 1C" if drawing.level == "l1c" else "level 2A"
    if product.sensor is not None and not product.sensor.startswith("Sentinel-2"):
        level = "the top of the atmosphere" if drawing.level == "l1c" else "the surface"
    air = "" if drawing.level == "l1c" else f", {_AIR_NAMES.get(drawing.air, f'air {drawing.air:g}')}"
    if drawing.white is None:
        return f"reflectance of {level}{' with 1000 added' if drawing.added else ''}{air}"
    return f"a true-color picture of {level}, white {drawing.white:,.0f}{air}"


def _training(spec: InputSpec) -> Quantiles | None:
    kept = spec.channel_quantiles
    return None if kept is None else Quantiles(kept.levels, kept.values)


def _compare(
    sample: Sample, way: Rendering, training: Quantiles | None, *, most: int | None = None
) -> Comparison | None:
    """The scene's pixels, or about as many as `most` of them, in a rendering against the training patches."""
    pixels = sample.pixels
    if training is None or not pixels.size:
        return None
    if most is not None:
        pixels = pixels[:, :: -(-pixels.shape[1] // most)]
    return compare(pixels if way.rescaling is None else way.rescaling.apply(pixels), training)


def _by_distance(ways: Sequence[Rendering], sample: Sample, training: Quantiles | None) -> list[int]:
    """Renderings by how near their quantiles are to the training patches'; as given where nothing can be compared."""
    distances = [0.0] * len(ways)
    for number, way in enumerate(ways):
        found = _compare(sample, way, training, most=ENOUGH)
        if found is not None and training is not None:
            distances[number] = float(np.abs(np.subtract(found.quantiles.values, training.values)).mean())
    return [int(number) for number in np.argsort(distances, kind="stable")]


def _plain(said: str, way: Rendering, sample: Sample, spec: InputSpec, sentence: str) -> RescaleDecision:
    """What was asked for exactly."""
    return RescaleDecision(said, way, _compare(sample, way, _training(spec)), sentence)


def _unchanged(said: str, sample: Sample, spec: InputSpec) -> RescaleDecision:
    """The scene as it is, and a warning where it is far from the training patches."""
    way = Rendering("off", None)
    found = _compare(sample, way, _training(spec))
    if found is None:
        return RescaleDecision(said, way, None, _NOT_COMPARED[spec.channel_quantiles is None])
    finding = _found(found, spec.bands, sample.what)
    if found.pixels < ENOUGH:
        finding = f"too few pixels to compare ({found.pixels:,})"
    warning = f"{finding}: try --rescale auto" if found.far and found.pixels >= ENOUGH else None
    return RescaleDecision(said, way, found, f"left unchanged: {finding}", warning)


def _matched(
    said: str, sample: Sample, spec: InputSpec, base: Rescaling | None, *, always: bool, by: str
) -> RescaleDecision:
    """Match colors by quantiles, where they lie far outside or in any case."""
    start = Rendering("off", base)
    training = _training(spec)
    found = _compare(sample, start, training)
    if found is None or training is None:
        if always:
            raise DataError(
                f"{sample.what} has no pixel that is clear and holds data, so colors cannot be matched",
                fix="leave out --rescale match",
            )
        return RescaleDecision(said, start, None, _NOT_COMPARED[training is None])
    finding = _found(found, spec.bands, sample.what)
    line = match(found.quantiles, training, data_type=spec.data_type)
    way = Rendering("match", line if base is None else base.then(line.gain, line.offset))
    if found.pixels < ENOUGH and not always:
        few = f"left unchanged: too few pixels to compare ({found.pixels:,})"
        hint = f"{finding}, and {_is(sample.what)} too small to be matched by itself: try --rescale match"
        return RescaleDecision(said, start, found, few, hint if found.far else None)
    if not always and not found.far:
        return RescaleDecision(said, start, found, f"left unchanged: {finding}", alternative=way)
    done = "; ".join(
        f"{band}: gain {gain:.2f}, offset {offset:+.0f}"
        for band, gain, offset in zip(spec.bands, line.gain, line.offset, strict=True)
    )
    matched = f"colors were matched to the training images ({done})"
    warning = f"{finding}, so {matched}" if found.far else None
    return RescaleDecision(said, way, found, f"{matched}{by}: {finding}", warning, alternative=start)


def _found(found: Comparison, bands: tuple[str, ...], what: str) -> str:
    """The band that lies furthest outside, in words."""
    worst = int(np.argmax(found.outside))
    share, below = found.outside[worst], found.below[worst]
    side = "below" if below > 0.9 * share else "above" if below < 0.1 * share else "outside"
    whose = f"{what}'" if what.endswith("s") else f"{what}'s"
    return f"{100 * share:.0f} % of {whose} {bands[worst]} values lie {side} those of the training images"


def _is(what: str) -> str:
    """What there is, and its verb."""
    return f"{what} are" if what.endswith("images") else f"{what} is"
