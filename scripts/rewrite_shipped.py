"""Write the shipped model file again as this code writes it: same graph, a record with all of today's fields.

    python scripts/rewrite_shipped.py

Names of bands and classes in the graph, the classes' colors, how the patches were drawn and the record's digest are put
in as they are today. A second run changes no byte.
"""

from __future__ import annotations

from swath.inference import check_model
from swath.model import read_model, shipped_models, write_model
from swath.model.record import SCHEMA_VERSION, class_infos
from swath.training.finalize import EUROSAT_MEANING


def main() -> None:
    """Rewrite the shipped file in its place, and check it."""
    for name in shipped_models():
        file = read_model(name)
        spec = file.record.input.model_copy(update={"meaning": EUROSAT_MEANING, "rendering": "eurosat"})
        record = file.record.model_copy(
            update={"schema_version": SCHEMA_VERSION, "classes": class_infos(file.record.class_names), "input": spec}
        )
        write_model(file.path, file.graph, record, overwrite=True)
        print(name, check_model(name))


if __name__ == "__main__":
    main()
