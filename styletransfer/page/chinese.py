"""Every sentence that a visitor may get from the server, in Chinese, by its English template.

Names in braces stand for what is told: numbers, names, and the words of the second table.
"""

SENTENCES = {
    # The page
    "{title}, {width} × {height} pixels.": "{title}，{width} × {height} 像素。",
    "About this photo: {note}.": "关于这张照片：{note}。",
    "Painting": "作画中",
    "Not painted": "没有画成",
    "Cancelled: the photo and all settings are as they were.": "已取消：照片和所有设置都保持原样。",
    "Cancelled: {painted} of {photos} photos are painted.": "已取消：{photos} 张照片中有 {painted} 张已画好。",
    "An example: {title}. Add a photo of yours.": "示例：{title}。请添加您自己的照片。",
    "Prints sharply up to {width} × {height} cm.": "可清晰打印至 {width} × {height} 厘米。",
    "Download": "下载",
    "Download {name}": "下载 {name}",
    "In numbers": "查看数值",
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
    "There are no photos yet: add some first.": "还没有照片：请先添加几张。",
    "There is no style yet: choose one first.": "还没有风格：请先选择一种。",
    "There is no {what} yet: add one first.": "还没有{what}：请先添加。",
    "The {what} is no longer here: add it again.": "{what}已不在服务器上：请重新添加。",
    "A style is given by its name.": "风格要用名称给出。",
    "The {name} is {value}: give a number.": "{name}是 {value}：请给一个数字。",
    # The studio, the catalog and the pipeline
    "There is no format {format}: choose from {formats}.": "没有 {format} 这种格式：请从 {formats} 中选择。",
    "{photos} photos are too many: {limit} at once is the limit.": "{photos} 张照片太多了：一次最多 {limit} 张。",
    "The {what} has {pixels} megapixels: {most} is the limit here, make it smaller.": (
        "{what}有 {pixels} 百万像素：这里最多 {most}，请把它缩小。"
    ),
    "The share is {share}: give a number of at least 0.": "比重是 {share}：请给不小于 0 的数字。",
    "There is no style {style}: choose from {styles}.": "没有 {style} 这种风格：请从 {styles} 中选择。",
    "{titles} do not mix: choose styles that were trained on from one network.": (
        "{titles}不能混合：请选择从同一个网络训练出来的风格。"
    ),
    "Style weights are {weights}: give numbers of at least 0, one of them larger.": (
        "风格的比重是 {weights}：请给不小于 0 的数字，其中一个要大于 0。"
    ),
    "Strength is {strength}: it must be between 0 (the photo) and 1 (the painting).": (
        "强度是 {strength}：它必须在 0（照片）和 1（画作）之间。"
    ),
    "The photo is {width}x{height} pixels: the least that can be painted is 16x16.": (
        "照片是 {width}x{height} 像素：至少要 16x16 才能作画。"
    ),
    "The brush size is {size}: it must be between {least} (fine) and {most} (broad).": (
        "笔触大小是 {size}：它必须在 {least}（细）和 {most}（粗）之间。"
    ),
    "The photo is too large for a brush of {size}: take a larger brush.": (
        "照片太大，不能用 {size} 的笔触：请用更大的笔触。"
    ),
    # What will show in the painting
    "it is very small, so strokes are wider than its details: a larger copy, or a finer brush, helps": (
        "它很小，笔触会比细节还宽：换一张更大的，或用更细的笔触会更好"
    ),
    "it is very dark, and painting keeps it so: brighten it first": "它很暗，画出来也会很暗：请先把它调亮",
    "it is blurred, so there are few edges for strokes to follow: a sharper copy helps": (
        "它是模糊的，笔触没有多少边缘可循：换一张更清晰的会更好"
    ),
    "it was compressed so much that its blocks may be painted, too: the original file helps": (
        "它压缩得太厉害，方块也可能被画出来：用原始文件会更好"
    ),
    # Pictures as they come
    "it has several frames: only frame {frame} is used": "它有多帧：只用第 {frame} 帧",
    "its EXIF data is damaged and was ignored: it may lie on its side": "它的 EXIF 数据已损坏，被忽略：它可能是横躺的",
    "its 32-bit values are read as 0 (black) to {white} (white)": "它的 32 位数值按 0（黑）到 {white}（白）读取",
    "its color profile is damaged or does not fit it and was ignored": "它的颜色配置文件已损坏或不匹配，被忽略",
    "it is CMYK without a usable color profile: its colors are approximate": (
        "它是 CMYK，没有可用的颜色配置文件：颜色只是近似"
    ),
    "{name} is a folder; give a picture file": "{name}是一个文件夹；请给一个图片文件",
    "{name} is not a regular file; give a picture file": "{name}不是普通文件；请给一个图片文件",
    "there is no file {name}; check the name": "没有 {name} 这个文件；请检查名称",
    "{name} cannot be read: {reason}; give a file that you may read": (
        "{name}无法读取：{reason}；请给一个可以读取的文件"
    ),
    "{name} is not a picture that can be read; give {kinds}": (
        "{name}不是可以读取的图片；请给一张 JPEG、PNG、WebP 等格式的图片"
    ),
    "{name} does not fit into the memory of this machine; make it smaller": "{name}放不进这台机器的内存；请把它缩小",
    "{name} is damaged or cut short; give a whole picture file": "{name}已损坏或不完整；请给一个完整的图片文件",
    "{name} has more than {limit} million pixels; make it smaller": "{name}超过 {limit} 百万像素；请把它缩小",
    "{name} is a HEIC file, which cannot be read here; save it as JPEG, or `pip install pillow-heif`": (
        "{name}是 HEIC 文件，这里无法读取；请把它存为 JPEG"
    ),
    "{name} has no pixels; give a picture of at least 1x1": "{name}没有像素；请给一张至少 1x1 的图片",
    # Pictures as they are saved
    "{name} does not say which format to save; end the name with one of {kinds}": (
        "{name}没有说明保存的格式；请用 {kinds} 之一作为后缀"
    ),
    "there is no folder {folder} for {name}; make it first": "没有放 {name} 的文件夹 {folder}；请先建立它",
    "{name} is a folder; give another name for the picture": "{name}是一个文件夹；请给图片换一个名称",
    "{name}: {format} cannot hold this picture ({reason}); save it as .png": (
        "{name}：{format} 存不下这张图片（{reason}）；请存为 .png"
    ),
    "{name} cannot be saved, the disk is full; make room or use another folder": (
        "{name}无法保存，磁盘已满；请过一会儿再试"
    ),
    "{name} cannot be saved, you may not write there; use another folder": (
        "{name}无法保存，没有写入的权限；请换一个文件夹"
    ),
    "{name} cannot be saved: {reason}; use another name or folder": "{name}无法保存：{reason}；请换一个名称或文件夹",
}

WORDS = {
    "photo": "照片",
    "mask": "蒙版",
    "drawing": "涂画",
    "the picture": "这张图片",
    "strength": "强度",
    "share": "比重",
    "brush size": "笔触大小",
}
