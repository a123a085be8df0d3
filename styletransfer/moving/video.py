"""Anything that moves in, a painted video or animated picture out, by the names and the contents of the files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from styletransfer.errors import InputError, Sentence
from styletransfer.moving.animation import AnimationFile, AnimationJob, is_animation
from styletransfer.moving.asked import USUAL_SIZE, check_output
from styletransfer.moving.filming import VideoJob
from styletransfer.moving.kinds import ANIMATION_FORMATS, VIDEO_FORMATS
from styletransfer.moving.reading import VideoFile
from styletransfer.moving.steady import USUAL_STEADINESS
from styletransfer.painter import Painter
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings, Style

Job = VideoJob | AnimationJob


def job_of(
    painter: Painter,
    source: Path,
    output: Path,
    settings: PaintSettings,
    *,
    size: int = USUAL_SIZE,
    steadiness: float = USUAL_STEADINESS,
    pack: str = "",
    most_seconds: float | None = None,
) -> Job:
    """What paints this source into that result; arguments as for `VideoJob`.

    Args:
        most_seconds: of the source; what is longer is refused.

    Raises:
        InputError: a source that does not move or cannot be read, a result that holds nothing that moves, or settings
            out of bounds.
    """
    check_output(source, output, [*VIDEO_FORMATS, *ANIMATION_FORMATS])
    suffix, turns = output.suffix.lower(), {"size": size, "steadiness": steadiness}
    if suffix in VIDEO_FORMATS:
        clip = AnimationFile(source, size, for_video=True) if is_animation(source) else None
        job = VideoJob(painter, source, output, settings, pack=pack, clip=clip, **turns)
        return short(job, most_seconds)
    clip = AnimationFile(source, size) if is_animation(source) else VideoFile(source, size)
    return short(AnimationJob(painter, clip, source, output, settings, **turns), most_seconds)


def paint_video(
    source: str | Path,
    output: str | Path,
    style: Style | PaintSettings,
    *,
    pipeline: Painter | None = None,
    size: int = USUAL_SIZE,
    steadiness: float = USUAL_STEADINESS,
    progress: Callable[[float], None] = lambda share: None,
    **turns: Any,
) -> list[Sentence]:
    """Paint a video with its sound, or an animated picture, steady in time.

    Of a video a kill costs a few seconds of work: the same call goes on where the last whole segment ended.

    Args:
        source: a video that FFmpeg reads, or an animated GIF, WebP or PNG.
        output: the file to write: H.264 in .mp4, .m4v, .mov or .mkv, or .gif, .webp, .png; replaced whole or not at
            all.
        style: a name, a mix, or settings, as `StyleTransferPipeline.__call__` has them.
        pipeline: has the styles; all that ship when None.
        size: pixels that the longer side has at most, 16 to 4096.
        steadiness: 0 to 1: 0 paints each frame by itself, on a canvas that moves with the camera.
        progress: is told the share that is done, rising to 1.
        turns: strength, brush_size, keep_colors, mask, as `StyleTransferPipeline.__call__` has them.

    Returns:
        What was left out or changed, in sentences.

    Raises:
        InputError: no video that can be read, settings out of bounds, or a result that cannot be written there.
    """
    painter = StyleTransferPipeline.from_pretrained() if pipeline is None else pipeline
    settings = PaintSettings.of(style, **turns)
    job = job_of(painter, Path(source), Path(output), settings, size=size, steadiness=steadiness)
    for share in job.steps():
        progress(share)
    return job.notes


def short(job: Job, most: float | None) -> Job:
    """The job itself; raises InputError where its source lasts longer than so many seconds."""
    seconds = float(job.clip.form.count / job.clip.form.rate)
    if most is not None and seconds > most:
        job.discard()
        raise InputError(
            "The video has {seconds} seconds: {most} is the limit here, cut it.",
            seconds=f"{seconds:.0f}",
            most=f"{most:g}",
        )
    return job
