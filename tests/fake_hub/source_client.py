"""Reads sources in a process of its own, since HF_ENDPOINT counts when huggingface_hub is imported.

    python source_client.py '[{"source": "org/name:train", "streaming": true}, ...]'

prints, for each, the gray levels of its pictures or the sentence of its InputError.
"""

import io
import json
import sys
from itertools import islice

from PIL import Image

from styletransfer.data.crops import row_source
from styletransfer.data.sources import load_source
from styletransfer.errors import InputError
from styletransfer.training.batches import rows_of

MANY = 1000


def level(row):
    """The one gray level of a flat picture; text where there is none."""
    if not row["image"]:
        return "empty"
    try:
        source = row_source(row)
        return Image.open(source if isinstance(source, str) else io.BytesIO(source)).convert("L").getpixel((3, 3))
    except OSError:
        return "bad"


def answer(job):
    try:
        source = load_source(**job)
        rows = islice(rows_of("the source", source, patience=60), MANY)
        return {"columns": list(source.features), "levels": [level(row) for row in rows]}
    except InputError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    print(json.dumps([answer(job) for job in json.loads(sys.argv[1])]))
