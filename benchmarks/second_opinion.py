"""Does `swath opinion evaluate` say what is known? A server whose accuracy is known is asked, on shipped patches.

    python benchmarks/second_opinion.py [--n 200] [--accuracy 0.8] [--out FOLDER] [--table] [--json FILE]

Results: docs/opinion.md. The server runs on loopback and speaks the protocol of OpenAI's chat completions as the real
one does (tests/opinion/servers.py). It knows patches by their pictures, and answers with the label of a share of
them, with another class for the others, and with "unsure" or a refusal for a few. Printed are its own counts and what
the evaluation found. No vision-language model takes part: this says that the numbers are right, not what one knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import finish, machine, parser, rows

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.opinion.servers import Answer, Request, chat_server, completion, says

from swath.data import build_index
from swath.inference import load
from swath.opinion import OpinionSettings, VisionModel, evaluate_opinions, prepare_evaluation
from swath.opinion.cost import Price

SEED = 0
OTHERWISE = ("another class", "unsure", "refused")


def main() -> None:
    """Ask, compare, and print."""
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=200)
    options.add_argument("--accuracy", type=float, default=0.8, help="share of patches that the server gets right")
    options.add_argument("--out", type=Path, default=None, help="folder for the page; none by default")
    given = options.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "sk-on-loopback-only")
    classifier, index = load("eurosat", threads=given.threads or 1), build_index("eurosat-mini")
    classes = classifier.record.class_names
    known: dict[bytes, str] = {}  # the answer by the picture
    random = np.random.default_rng(SEED)

    def behave(request: Request) -> Answer:
        said = known[hashlib.sha256(request.png).digest()]
        return says(said) if said else completion(None, refusal="I would rather not say.")

    with TemporaryDirectory() as cache, chat_server(behave) as server:
        model = VisionModel(
            OpinionSettings(base_url=server.url, price=Price(input=2.5, output=10.0)), cache=Path(cache)
        )
        made = prepare_evaluation(classifier, index, model, n=given.n, out=given.out)
        truth = made.found.part.labels
        counts = dict.fromkeys(("right", *OTHERWISE), 0)
        for question, label in zip(made.questions, truth, strict=True):
            other = str(random.choice([name for name in classes if name != label]))
            draw = random.random()
            kind = "right" if draw < given.accuracy else str(random.choice(OTHERWISE, p=(0.7, 0.2, 0.1)))
            counts[kind] += 1
            answer = {"right": label, "unsure": "unsure", "refused": "", "another class": other}[kind]
            known[hashlib.sha256(question.png).digest()] = answer
        result = evaluate_opinions(made, model, out=given.out)
    print("\n".join(result.lines()), file=sys.stderr)
    found: dict[str, Any] = {
        "right": round(result.second.accuracy.value * result.n),
        "another class": result.answered.n - round(result.answered.value * result.answered.n),
        "unsure": result.outcomes.get("unsure", 0),
        "refused": result.outcomes.get("refused", 0),
    }
    table = rows(("answers", "server", "evaluation"), [(name, counts[name], found[name]) for name in counts])
    finish(
        {
            "machine": machine(given.threads),
            "n": result.n,
            "server": counts,
            "evaluation": found,
            "same": counts == found,
            "result": json.loads(result.to_json()),
        },
        given,
        table=table,
    )


if __name__ == "__main__":
    main()
