"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace outputs that exist; of a folder, all it holds.")
]
Engine = Annotated[
    str,
    typer.Option(
        help="What runs the model: onnxruntime, openvino (both fp32), openvino-bf16, or auto: "
        "openvino, in bf16 where processor and model allow it."
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads to use; by default, the cores there are.")]
TestTimeAugmentation = Annotated[
    int,
    typer.Option(
        help="Ways to look at each patch, whose mean answer counts: 1, 4 (turned) or 8 (and mirrored). A little "
        "better, as many times as slow."
    ),
]
MatchColors = Annotated[
    str,
    typer.Option(
        help="Match channels to the training patches', one gain and offset a band for the whole scene: "
        "on, off, or auto: where they lie outside."
    ),
]
Model = Annotated[str, typer.Argument(help="A .onnx file, or the name of a shipped model such as eurosat.")]
Index = Annotated[Path, typer.Argument(help="A patch index (.parquet) made by: swath data index")]
