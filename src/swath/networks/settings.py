"""Which network, and how wide: the part of a recipe that builds one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from swath.config import Settings, changed

OWN = ("patchnet", "stripnet")  # the project's own, whose stem and widths are settings


class Network(Settings):
    """A network by name; ``swath networks`` lists them."""

    name: str = Field(default="patchnet", min_length=1)
    stem: int = Field(default=16, ge=4, le=512, description="channels after the stem; own networks only")
    widths: tuple[Annotated[int, Field(ge=4, le=2048)], ...] = Field(
        default=(32, 64, 128), min_length=1, max_length=6, description="channels a stage; own networks only"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of features dropped before the head")
    channels: int = Field(default=256, ge=8, le=1024, description="width of a feature pyramid; fpn only")
    padding: Literal["even", "same"] = Field(
        default="even", description="same: more at the end, as TensorFlow pads; for weights from there"
    )

    @model_validator(mode="after")
    def _fits(self) -> Network:
        if self.name == "stripnet" and len(self.widths) < 2:
            raise ValueError("a stripnet needs at least two widths")
        if self.name not in OWN and changed(self, "stem", "widths"):
            raise ValueError(
                f"stem and widths belong to {' and '.join(OWN)}; for another network give the whole group, "
                f"as in --set 'network={{name: {self.name}}}'"
            )
        if "fpn" not in self.name and changed(self, "channels"):
            raise ValueError("channels belongs to networks with a feature pyramid (fpn)")
        if self.name in OWN and changed(self, "padding"):
            raise ValueError(f"padding belongs to networks other than {' and '.join(OWN)}")
        return self
