"""What the server says to a visitor, in the visitor's language.

Labels are translated in the browser (`texts.py`). Sentences with names and numbers in them are made here: the rooms
below tell an English template and its values, see `errors.Sentence`, and a table has each template in Chinese. Programs
get English, unless they send Chinese in Accept-Language.
"""

import html
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath

import gradio as gr
from gradio.context import LocalContext

from styletransfer.errors import InputError, Sentence
from styletransfer.evaluation.explain import Reading
from styletransfer.page.texts import chinese_title

ENGLISH, CHINESE = "en", "zh"
PRINTED_DOTS = 300 / 2.54  # to a centimeter: what counts as sharp in the hand
LEAST_PRINT = 1000  # pixels: below, a print is smaller than a postcard
GRID_SEEN = 1.0  # gray levels
GRADIOS_CHINESE = {"zh-cn", "zh-tw"}  # what Gradio's own labels know; all others of China it shows in English
_spoken: ContextVar[str] = ContextVar("spoken", default="")
REASON = "没有成功，原因（英文）：{reason}"  # of what stands in no table: it is of use to those who look after packs

# English template -> Chinese. A value that is itself a word of the page is translated by the second table.
SENTENCES = {
    # The page
    "{title}, {width} × {height} pixels.": "{title}，{width} × {height} 像素。",
    "Painting": "作画中",
    "Not painted": "没有画成",
    "Cancelled: the photo and all settings are as they were.": "已取消：照片和所有设置都保持原样。",
    "Cancelled: {painted} of {photos} photos are painted.": "已取消：{photos} 张照片中有 {painted} 张已画好。",
    "An example: {title}. Add a photo of yours.": "示例：{title}。请添加您自己的照片。",
    "Prints sharply up to {width} × {height} cm.": "可清晰打印至 {width} × {height} 厘米。",
    "Download": "下载",
    "In line: {before} before yours.": "排队中：前面还有 {before} 幅。",
    "Looking at the painting.": "正在看这幅画。",
    "Learning: {seconds} s. Watch your photo; it gets better.": "学习中：{seconds} 秒。请看您的照片，它会越来越好。",
    "Learned: {title} is among the styles.": "学好了：{title} 已在风格之中。",
    "Stopped: your style stays as it is.": "已停止：您的风格保持现状。",
    "Stopped before there was a style.": "已停止：还没有形成风格。",
    "Too many paintings are being learned: try again in some minutes.": "正在学习的画太多了：请过几分钟再试。",
    "The painting could not be learned: try again.": "这幅画没能学成：请再试一次。",
    "A border or frame was left out: {width}x{height} of {whole_width}x{whole_height} pixels are learned.": (
        "去掉了边或画框：学习 {whole_width}x{whole_height} 像素中的 {width}x{height}。"
    ),
    "The painting is very long: its middle is learned.": "这幅画很长：学习它的中间部分。",
    "The painting is small, so its strokes come out soft: a larger copy helps.": (
        "这幅画很小，笔触会显得模糊：用更大的图会更好。"
    ),
    "The painting is {width}x{height} pixels: the least that strokes can be learned from is {least}x{least}.": (
        "这幅画是 {width}x{height} 像素：至少要 {least}x{least} 才能学到笔触。"
    ),
    "{name} is blank, so there are no strokes to learn: give a painting.": "{name}是空白的，没有笔触可学：请换一幅画。",
    "Looking at the video.": "正在看这段视频。",
    "The video has {seconds} seconds: {most} is the limit here, cut it.": (
        "这段视频有 {seconds} 秒：这里最多 {most} 秒，请剪短。"
    ),
    "{name} has no frame that can be read: give a whole video.": "{name} 没有可读的画面：请给一个完整的视频。",
    "{name} has no video in it: give a video file.": "{name} 里没有视频：请给一个视频文件。",
    "The video in {name} has an unknown codec: convert it to H.264 first.": (
        "{name} 里的视频编码未知：请先转换为 H.264。"
    ),
    "{name} is damaged or no video: give a whole video file.": "{name} 已损坏或不是视频：请给一个完整的视频文件。",
    "{name} is damaged or no animated picture: give a whole GIF, WebP or APNG.": (
        "{name} 已损坏或不是动图：请给一个完整的 GIF、WebP 或 APNG。"
    ),
    "The animation is damaged after frame {count}: what comes before is painted.": (
        "动图在第 {count} 帧之后已损坏：之前的已画好。"
    ),
    "{count} pieces of the video are damaged: what can be read is painted.": (
        "视频有 {count} 处损坏：能读出的部分已画好。"
    ),
    "The video ends after {found} of {told} seconds, the rest of the file is missing or damaged.": (
        "视频共 {told} 秒，读到 {found} 秒为止，其余部分缺失或已损坏。"
    ),
    "The video is painted at {width}x{height} pixels instead of {wide}x{high}: --size says how large.": (
        "视频按 {width}x{height} 像素作画，原为 {wide}x{high}。"
    ),
    "A video needs even sides: its last row or column of pixels is there twice.": (
        "视频的边长必须是偶数：最后一行或一列像素重复了一次。"
    ),
    "The file does not say that it is a sphere: tell the player, or name it .mp4.": (
        "文件没有标明这是全景视频：请在播放器中选择全景，或将文件命名为 .mp4。"
    ),
    "The video's high dynamic range was brought into the range of usual screens.": (
        "视频的高动态范围已转换到普通屏幕的范围。"
    ),
    "The video's wide colors (BT.2020) are written as BT.709.": "视频的广色域（BT.2020）已按 BT.709 写出。",
    "A sound track of an unknown codec was left out.": "有一条编码未知的音轨没有写入。",
    "The sound was written as AAC: {suffix} does not hold {codec}.": "声音已写成 AAC：{suffix} 不支持 {codec}。",
    "Subtitles were left out: {suffix} does not hold {codec}.": "字幕没有写入：{suffix} 不支持 {codec}。",
    "The network of this style paints no picture: use another copy of the pack.": (
        "这种风格的网络画不出图片：请换一份风格包。"
    ),
    "Painting: {percent} %, {seconds} s.": "作画中：{percent}%，{seconds} 秒。",
    "Painted.": "画好了。",
    "Stopped: nothing was kept.": "已停止：没有保留任何内容。",
    "Too many videos are being painted: try again later.": "正在作画的视频太多了：请稍后再试。",
    "The video could not be painted: try another one.": "这段视频没能画成：请换一段。",
    "These styles cannot be mixed in a video, their networks were trained apart: choose one.": (
        "这些风格的网络是分别训练的，不能在视频中混合：请只选一种。"
    ),
    "Numbers": "数值",
    "Nearly everything in your photo can still be made out.": "照片里的内容几乎都还能认出来。",
    "The shapes of your photo are still there; fine detail has become brushwork.": ("照片的轮廓还在，细节已化为笔触。"),
    "Only the large shapes of your photo are left; the rest is brushwork.": "照片只留下大的轮廓，其余都化为笔触。",
    "Colors and strokes are nearly those of the style.": "色彩和笔触已十分接近所选风格。",
    "Colors and strokes lie between your photo and the style.": "色彩和笔触介于照片与所选风格之间。",
    "Colors and strokes are still close to your photo.": "色彩和笔触仍接近原照片。",
    "Up close, a fine grid can be seen.": "近看可见细微的网格。",
    "Kept of the photo's shapes: {kept} %.": "保留的照片轮廓：{kept}%。",
    "The way from the photo to the style's sample: {nearer} %.": "从照片到风格样图的接近程度：{nearer}%。",
    "Grid left by the network: {grid} gray levels (seen from 1 on).": (
        "网络留下的网格：{grid} 个灰度级（达到 1 即可察觉）。"
    ),
    "The photo is {width}x{height} pixels: a 360-degree picture is twice as wide as high.": (
        "照片是 {width}x{height} 像素：360 度全景图片的宽是高的两倍。"
    ),
    "The 360-degree picture is {width}x{height} pixels: the least is 256x128.": (
        "全景图片是 {width}x{height} 像素：至少要 256x128。"
    ),
    "The photo is {width} pixels wide: two eyes side by side need an even width.": (
        "照片宽 {width} 像素：左右眼并排的图片，宽度必须是偶数。"
    ),
    "Each eye of the pair has {width}x{height} pixels: the least is 16x16.": (
        "每只眼的图片是 {width}x{height} 像素：至少要 16x16。"
    ),
    "The picture's XMP data is damaged and was ignored.": "图片的 XMP 数据已损坏，被忽略。",
    "The camera is being used by someone else here: try again in a minute.": (
        "这里的摄像头正有人在用：请过一分钟再试。"
    ),
    "The camera has run for {seconds} seconds, the limit here: start it again.": (
        "摄像头已运行 {seconds} 秒，这是这里的上限：请重新打开。"
    ),
    "A picture of the camera may have {pixels} pixels and {kilobytes} KB here.": (
        "摄像头的图片在这里最多 {pixels} 像素、{kilobytes} KB。"
    ),
    "There are no photos yet: add some first.": "还没有照片：请先添加几张。",
    "There is no style yet: choose one first.": "还没有风格：请先选择一种。",
    "There is no {what} yet: add one first.": "还没有{what}：请先添加。",
    "The {what} is no longer here: add it again.": "{what}已不在服务器上：请重新添加。",
    "{titles} come from networks that were trained apart: their paintings are laid over one another.": (
        "{titles}来自分别训练的网络：它们的画作叠加在一起。"
    ),
    # What a visitor may ask
    "A part of the request is not what this endpoint takes: the page shows the call under Use the API.": (
        "请求的某一部分不是此接口所要的：正确的调用方式见页面的“使用 API”。"
    ),
    "There is no format {format}: choose from {formats}.": "没有 {format} 这种格式：请从 {formats} 中选择。",
    "{photos} photos are too many: {limit} at once is the limit.": "{photos} 张照片太多了：一次最多 {limit} 张。",
    "The {what} has {pixels} megapixels: {most} is the limit here, make it smaller.": (
        "{what}有 {pixels} 百万像素：这里最多 {most}，请把它缩小。"
    ),
    "Painting took longer than {seconds} seconds, the limit here: make the photo smaller.": (
        "作画超过了 {seconds} 秒，这是这里的上限：请把照片缩小。"
    ),
    "All photos together took longer than {seconds} seconds, the limit here: bring fewer at once.": (
        "所有照片一共超过了 {seconds} 秒，这是这里的上限：请一次少放几张。"
    ),
    "There is no style {style}: choose from {styles}.": "没有 {style} 这种风格：请从 {styles} 中选择。",
    "A style is a name, or names with shares, not {value}.": "风格要用名称给出，或用名称和比重给出，而不是 {value}。",
    "The share of a style must be {least} to {most}, not {value}.": (
        "风格的比重必须是 {least} 到 {most}，而不是 {value}。"
    ),
    "A mix needs at least one style with a share above 0.": "混合至少需要一种比重大于 0 的风格。",
    "Strength must be {least} to {most}, not {value}.": "强度必须是 {least} 到 {most}，而不是 {value}。",
    "The brush size must be {least} to {most}, not {value}.": "笔触大小必须是 {least} 到 {most}，而不是 {value}。",
    "Keeping the colors is true or false, not {value}.": "是否保留颜色只能是 true 或 false，而不是 {value}。",
    "The photo is {width}x{height} pixels: the least that can be painted is 16x16.": (
        "照片是 {width}x{height} 像素：至少要 16x16 才能作画。"
    ),
    # Packs that cannot be used
    "The network of {styles} paints no picture, its weights are damaged: use another copy of the pack.": (
        "{styles}的网络画不出图片，它的权重已损坏：请换一份风格包。"
    ),
    "There is no style pack in {folder}: put one there.": "{folder} 里没有风格包：请放一个进去。",
    "The pack {pack} has changed: try again.": "风格包 {pack} 已经改变：请再试一次。",
    "The pack {pack} is left out: its card names no styles.": "风格包 {pack} 没有列出：它的说明没有写明风格。",
    "There is no style pack at {pack}: give a pack's folder, or its org/name on the Hub.": "{pack} 没有风格包。",
    "{pack} is not a style pack: its {file} does not describe a {kind}.": (
        "{pack} 不是风格包：{file} 描述的不是 {kind}。"
    ),
    "{pack} is not a style pack: it has no {file}.": "{pack} 不是风格包：它没有 {file}。",
    "The pack {pack} must list 1 to {most} styles as name and title, both texts.": (
        "风格包 {pack} 必须列出 1 到 {most} 种风格的名称和标题。"
    ),
    "The {file} of {pack} is larger than {most} KB, which no pack needs.": "{pack} 的 {file} 超过 {most} KB。",
    "The {file} of {pack} must hold a JSON object.": "{pack} 的 {file} 必须是一个 JSON 对象。",
    "{what} {file} cannot be read as {kind}: {reason}.": "{what}{file} 无法按 {kind} 读取：{reason}。",
    "{what} {file} hold something other than named tensors: give a file of weights.": (
        "{what}{file} 里不是有名称的张量。"
    ),
    "The {file} of {pack} cannot be read: {reason}.": "{pack} 的 {file} 无法读取：{reason}。",
    "The pack {pack} has {name} = {value}: it must be {least} to {most}.": (
        "风格包 {pack} 的 {name} 是 {value}：它必须是 {least} 到 {most}。"
    ),
    "The weights of {pack} are larger than {most} MB, which no pack needs.": "{pack} 的权重超过 {most} MB。",
    "The weights of {pack} do not fit its {file}, first at {place}: the two belong to different packs.": (
        "{pack} 的权重与 {file} 不符（首先是 {place}）：两者属于不同的风格包。"
    ),
    "The weights of {pack} contain NaN or infinity: train the pack again.": "{pack} 的权重含有无效数字。",
    "The weights of {pack} contain numbers above {most}, which paint no picture: train the pack again.": (
        "{pack} 的权重含有大于 {most} 的数字，画不出图片。"
    ),
    "The pack {pack} has no weights: {file} is missing.": "风格包 {pack} 没有权重：缺少 {file}。",
    "The pack {pack} holds {found}, a pickle, which could run code: only {file} is read.": (
        "风格包 {pack} 含有可能运行代码的 {found}：只读取 {file}。"
    ),
    # What will show in the painting
    "The photo is very small, so strokes are wider than its details: a larger copy, or a finer brush, helps.": (
        "照片很小，笔触会比细节还宽：换一张更大的，或用更细的笔触会更好。"
    ),
    "The photo is very dark, and painting keeps it so: brighten it first.": "照片很暗，画出来也会很暗：请先把它调亮。",
    "The photo is blurred, so there are few edges for strokes to follow: a sharper copy helps.": (
        "照片是模糊的，笔触没有多少边缘可循：换一张更清晰的会更好。"
    ),
    "The photo was compressed so much that its blocks may be painted, too: the original file helps.": (
        "照片压缩得太厉害，方块也可能被画出来：用原始文件会更好。"
    ),
    # Pictures as they come
    "The picture has several frames: only frame {frame} is used.": "图片有多帧：只用第 {frame} 帧。",
    "The picture's EXIF data is damaged and was ignored: it may lie on its side.": (
        "图片的 EXIF 数据已损坏，被忽略：它可能是横躺的。"
    ),
    "The picture's 32-bit values are read as 0 (black) to {white} (white).": (
        "图片的 32 位数值按 0（黑）到 {white}（白）读取。"
    ),
    "The picture's color profile is damaged or does not fit it, and was ignored.": (
        "图片的颜色配置文件已损坏或不匹配，被忽略。"
    ),
    "The picture is CMYK without a usable color profile: its colors are approximate.": (
        "图片是 CMYK，没有可用的颜色配置文件：颜色只是近似。"
    ),
    "{name} is a folder: give a picture file.": "{name}是一个文件夹：请给一个图片文件。",
    "{name} is not a regular file: give a picture file.": "{name}不是普通文件：请给一个图片文件。",
    "There is no file {name}: check the name.": "没有 {name} 这个文件：请检查名称。",
    "{name} cannot be read ({reason}): give a file that you may read.": (
        "{name}无法读取（{reason}）：请给一个可以读取的文件。"
    ),
    "{name} is not a picture that can be read: give {kinds}.": (
        "{name}不是可以读取的图片：请给一张 JPEG、PNG、WebP 等格式的图片。"
    ),
    "{name} does not fit into the memory of this machine: make it smaller.": "{name}放不进这台机器的内存：请把它缩小。",
    "{name} is damaged or cut short: give a whole picture file.": "{name}已损坏或不完整：请给一个完整的图片文件。",
    "{name} has more than {limit} million pixels: make it smaller.": "{name}超过 {limit} 百万像素：请把它缩小。",
    "{name} is a HEIC file, which cannot be read here: save it as JPEG, or `pip install pillow-heif`.": (
        "{name}是 HEIC 文件，这里无法读取：请把它存为 JPEG。"
    ),
    "{name} has no pixels: give a picture of at least 1x1.": "{name}没有像素：请给一张至少 1x1 的图片。",
    "{address} is an address, and nothing is fetched from the network here: save the picture, give its file.": (
        "{address} 是一个网址，这里不从网络获取图片：请保存图片后给出文件。"
    ),
    "A picture is a path, bytes, an open file, a PIL image, a NumPy array (H, W, 3) or a tensor (3, H, W), not a "
    "{kind}.": "图片可以是路径、字节、打开的文件、PIL 图片、NumPy 数组 (H, W, 3) 或张量 (3, H, W)，不能是 {kind}。",
    "The shape of {what} must be {form} with 1, 3 or 4 channels, not {shape}.": (
        "{what}的形状必须是 {form}，带 1、3 或 4 个通道，而不是 {shape}。"
    ),
    "The values of a picture must be uint8 or floating point, not {kind}.": (
        "图片的数值必须是 uint8 或浮点数，而不是 {kind}。"
    ),
    "Floating point values of a picture must be 0 to 1, not {least} to {most}: scale them first.": (
        "图片的浮点数值必须在 0 到 1 之间，而不是 {least} 到 {most}：请先缩放。"
    ),
    # Pictures as they are saved
    "{name} does not say which format to save: end the name with one of {kinds}.": (
        "{name}没有说明保存的格式：请用 {kinds} 之一作为后缀。"
    ),
    "There is no folder {folder} for {name}: make it first.": "没有放 {name} 的文件夹 {folder}：请先建立它。",
    "{name} is a folder: give another name for the picture.": "{name}是一个文件夹：请给图片换一个名称。",
    "{name} cannot be saved, {format} does not hold such a picture ({reason}): save it as .png.": (
        "{name}无法保存，{format} 存不下这张图片（{reason}）：请存为 .png。"
    ),
    "{name} cannot be saved, the disk is full: make room or use another folder.": (
        "{name}无法保存，磁盘已满：请过一会儿再试。"
    ),
    "{name} cannot be saved, you may not write there: use another folder.": (
        "{name}无法保存，没有写入的权限：请换一个文件夹。"
    ),
    "{name} cannot be saved ({reason}): use another name or folder.": (
        "{name}无法保存（{reason}）：请换一个名称或文件夹。"
    ),
}
WORDS = {
    "photo": "照片",
    "mask": "蒙版",
    "drawing": "涂画",
    "The picture": "这张图片",
    "The weights of": "权重：",
    "a tensor": "张量",
    "an array": "数组",
}


# ---------------------------------------------------------------- sentences


def in_language(sentence: str, language: str | None = None) -> str:
    """A sentence as a visitor may read it: in their language, and with the names of files in place of their paths.

    Args:
        sentence: English; a `Sentence` is found by its template.
        language: of the one who reads it; the visitor's when None.
    """
    template, values = sentence, {}
    if isinstance(sentence, Sentence):
        template = sentence.template
        values = {name: v.name if isinstance(v, PurePath) else v for name, v in sentence.values.items()}
    if (language or visitors_language()) != CHINESE:
        return Sentence(template, **values)
    if template not in SENTENCES:
        return REASON.format(reason=Sentence(template, **values))
    words = {name: WORDS.get(value, value) if isinstance(value, str) else value for name, value in values.items()}
    return Sentence(SENTENCES[template], **words)


def say(template: str, **values: object) -> str:
    """One of the page's own sentences, by its English template, in the language of the visitor who asked."""
    return in_language(Sentence(template, **values))


def sentence(error: InputError) -> str:
    """What the error says, in the visitor's language."""
    return in_language(error.sentence)


def told(error: InputError) -> gr.Error:
    """The error as Gradio shows it."""
    return gr.Error(html.escape(sentence(error), quote=False), title=say("Not painted"), print_exception=False)


def about(title: str, size: tuple[int, int]) -> str:
    """The line about a painting: its style, and its size in pixels."""
    return say("{title}, {width} × {height} pixels.", title=title, width=size[0], height=size[1])


def report(lines: list[str]) -> str:
    """Lines of HTML."""
    return "<br>".join(html.escape(line) for line in lines)


def print_hint(size: tuple[int, int]) -> list[str]:
    """The size up to which a painting prints sharply, as one sentence; none for what only suits a screen."""
    if min(size) < LEAST_PRINT:
        return []
    width, height = (round(side / PRINTED_DOTS) for side in size)
    return [say("Prints sharply up to {width} × {height} cm.", width=width, height=height)]


def reading_words(reading: Reading) -> str:
    """What the numbers mean, in one to three short sentences, as HTML."""
    sentences = [_kept_in_words(reading.kept)]
    if reading.nearer is not None:
        sentences.append(_nearer_in_words(reading.nearer))
    if reading.grid >= GRID_SEEN:
        sentences.append(say("Up close, a fine grid can be seen."))
    return f"<p>{html.escape(' '.join(sentences))}</p>"


def reading_numbers(reading: Reading) -> str:
    """The numbers, none outside the scale that its line states, folded until they are asked for, as HTML."""
    lines = [say("Kept of the photo's shapes: {kept} %.", kept=_percent(reading.kept))]
    if reading.nearer is not None:
        lines.append(say("The way from the photo to the style's sample: {nearer} %.", nearer=_percent(reading.nearer)))
    grid = f"{max(0.0, reading.grid):.1f}"
    lines.append(say("Grid left by the network: {grid} gray levels (seen from 1 on).", grid=grid))
    return f"<details><summary>{say('Numbers')}</summary><p>{report(lines)}</p></details>"


def _percent(share: float) -> int:
    return round(100 * min(1.0, max(0.0, share)))


def _kept_in_words(share: float) -> str:
    if share >= 0.75:
        return say("Nearly everything in your photo can still be made out.")
    if share >= 0.45:
        return say("The shapes of your photo are still there; fine detail has become brushwork.")
    return say("Only the large shapes of your photo are left; the rest is brushwork.")


def _nearer_in_words(share: float) -> str:
    if share >= 0.66:
        return say("Colors and strokes are nearly those of the style.")
    if share >= 0.33:
        return say("Colors and strokes lie between your photo and the style.")
    return say("Colors and strokes are still close to your photo.")


# ---------------------------------------------------------------- languages


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """For where the visitor's request is not at hand, as in another process."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def visitors_title(title: str) -> str:
    """A style's title in the visitor's language, where it is known in it."""
    return chinese_title(title) if visitors_language() == CHINESE else title


def visitors_language() -> str:
    """Of the request that is being answered; English where there is none."""
    if spoken := _spoken.get():
        return spoken
    request = LocalContext.request.get(None)
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    return chosen_language(headers.get("accept-language", ""))


def chosen_language(accept_language: str) -> str:
    """The page's language for an Accept-Language header.

    It is that of the labels, which Gradio chooses by the browser's first language alone, so that no page speaks two.
    """
    ranked = []
    for position, part in enumerate(accept_language.split(",")):
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((_number(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        if tag and quality > 0:
            ranked.append((-quality, position, tag))
    return CHINESE if ranked and min(ranked)[2] in GRADIOS_CHINESE else ENGLISH


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
