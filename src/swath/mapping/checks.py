"""Signs that a scene is not what the model was trained on."""

from __future__ import annotations

import numpy as np

from swath.mapping.area import PixelArea
from swath.mapping.grid import Grid
from swath.mapping.strips import Strip
from swath.model.record import InputSpec

# Every fourth pixel each way says enough about a mean.
_EVERY = 4
_FAR = 1.0  # spreads of the training patches' pixels
_OTHER_SIZE = 1.5
_UNLIKE = 0.05  # well above the false alarms, 2 % by the choice of the threshold


class Watch:
    """Looks at the pixels that go by: channel means, and black pixels taken for data.

    Parameters
    ----------
    spec : InputSpec
        What the model expects.
    grid : Grid
        The windows, which overlap.
    """

    def __init__(self, spec: InputSpec, grid: Grid) -> None:
        self._spec, self._grid = spec, grid
        self._sums = np.zeros(len(spec.bands))
        self._count = self._black = 0

    def add(self, strip: Strip) -> None:
        """Look at the part of a strip that the next one does not hold."""
        rows, cols = self._grid.rows, self._grid.cols
        following = strip.windows * rows.stride
        top, bottom = max(0, -strip.start), min(following, rows.length - strip.start)
        if top >= bottom:
            return
        part = np.s_[top:bottom:_EVERY, -cols.first : -cols.first + cols.length : _EVERY]
        valid = strip.valid[part]
        seen = np.ascontiguousarray(strip.pixels[:, *part]).reshape(len(self._sums), -1)
        if not valid.all():
            seen = seen[:, valid.ravel()]
        self._sums += seen.sum(axis=1, dtype=np.uint64)
        self._count += seen.shape[1]
        self._black += seen.shape[1] - int(np.count_nonzero(seen.any(axis=0)))

    @property
    def means(self) -> tuple[float, ...] | None:
        """Mean of each of the model's bands over pixels with data; None if there are none."""
        return tuple((self._sums / self._count).tolist()) if self._count else None

    def warnings(self, *, rendered: bool, compared: bool = False) -> list[str]:
        """What the pixels give reason to doubt, in whole sentences without a full stop.

        Parameters
        ----------
        rendered : bool
            Whether they were rendered from reflectance.
        compared : bool
            Whether their quantiles were held against the training patches', which says more than means.
        """
        means, spec, found = self.means, self._spec, []
        if means is None:
            return ["the scene holds no data at all: nothing was mapped"]
        black = self._black / self._count
        if black > 0.01:
            found.append(
                f"{100 * black:.0f} % of the pixels are 0 in all bands and were classified as if they were "
                "data; use --nodata 0 if they are not"
            )
        far = [
            f"{band} {mean:.0f} (training {usual:.0f} ± {spread:.0f})"
            for band, mean, usual, spread in zip(
                spec.bands, means, spec.channel_mean, spec.channel_sd, strict=True
            )
            if abs(mean - usual) > _FAR * spread
        ]
        if far and not compared:
            found.append(
                f"the scene's channel means are far from the training patches': {', '.join(far)}; "
                + ("check the range given to --render" if rendered else "it may be rendered differently")
                + ", and hold the map against the scene before you believe it"
            )
        return found


def unlike_warning(share: float | None) -> list[str]:
    """Say so where a part of the map is not like the training data, beyond a few false alarms."""
    if share is None or share < _UNLIKE:
        return []
    return [
        f"{100 * share:.0f} % of the map is not like the training data (clouds, another sensor or land the model does "
        "not know): see the raster .unlike.tif before you believe it"
    ]


def size_warning(area: PixelArea | None, gsd: float | None) -> str | None:
    """Say so if the scene's pixels are much larger or smaller on the ground than the model's."""
    if area is None or gsd is None or 1 / _OTHER_SIZE < area.side / gsd < _OTHER_SIZE:
        return None
    return (
        f"the scene's pixels are {area.side:.3g} m wide and the model was trained at {gsd:g} m: "
        "resample the scene to that size first"
    )
