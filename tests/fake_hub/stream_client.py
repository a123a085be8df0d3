"""Streams batches where the Hub of the tests is taken for the real one: in a process of its own."""

from torch.utils.data import DataLoader

from styletransfer.data.sources import load_source
from styletransfer.errors import InputError
from styletransfer.training.batches import StreamedCrops

CROP = {"crop_size": 16, "photo_scale": (1.0, 1.5), "painting_size": 24, "batch_size": 2, "buffer": 3, "patience": 600}


def levels(pictures):
    """The gray level of each flat picture of a batch."""
    return ((pictures[:, 0, 8, 8] + 1) * 127.5).round().int().tolist()


def answer(job):
    """One dictionary per batch of {"photos": ["org/name"], "styles": {"x": "org/name"}, "start": 0, "stop": 4, ...}."""
    job = dict(job)
    workers = job.pop("workers", 0)
    try:
        photos = [load_source(source, streaming=True) for source in job.pop("photos")]
        styles = {name: load_source(source, streaming=True) for name, source in job.pop("styles").items()}
        place = {name: job.pop(name) for name in ("start", "stop", "position") if name in job}
        crops = StreamedCrops(photos, styles, **CROP, **job)
        crops.go_to(**place)
        return [summary(batch) for batch in DataLoader(crops, batch_size=None, num_workers=workers)]
    except InputError as error:
        return {"error": str(error)}


def summary(batch):
    if isinstance(batch, Exception):
        return {"error": str(batch)}
    return {
        "photos": levels(batch.photo),
        "paintings": levels(batch.painting),
        "styles": batch.style_weights.argmax(dim=1).tolist(),
        "augmentation": round(float(batch.augmentation.sum()), 4),
        "skipped": batch.skipped,
        "position": batch.position,
    }
