"""Write the shipped model file again as this code writes it: same graph, a record with all of today's fields.

    python scripts/rewrite_shipped.py

Names of bands and classes in the graph, the classes' colors and the record's digest are put in as they are today. A
second run changes no byte.
"""

from __future__ import annotations

from swath.inference import check_model
from swath.model import read_model, shipped_models, write_model
from swath.model.record import class_infos


def main() -> None:
    """Rewrite the shipped file in its place, and check it."""
    for name in shipped_models():
        file = read_model(name)
        record = file.record.model_copy(update={"classes": class_infos(file.record.class_names)})
        write_model(file.path, file.graph, record, overwrite=True)
        print(name, check_model(name))


if __name__ == "__main__":
    main()
