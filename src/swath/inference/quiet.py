"""Nothing here reports usage: what the engines would send of themselves is switched off before they load."""

from __future__ import annotations

import os
import sys


def hush() -> None:
    """Switch off the reporting of engines that are not loaded yet, in this process and those it starts.

    OpenVINO reports every import through the package ``openvino_telemetry``, and without it uses a stand-in
    of its own that does nothing. ONNX Runtime has a reporter of its own (seen in 1.31) that the
    environment switches off. Both would also leave an identifier in the home folder.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
