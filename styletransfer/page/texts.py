"""Every word of the page, in English and Chinese. The browser chooses by its own language."""

import gradio as gr

ENGLISH = {
    "title": "Photo in, painting out",
    "subtitle": "Choose a style, add a photo, take home a painting of the same size.",
    "style": "Style",
    "search": "Find a style",
    "search_hint": "by name, painter or year",
    "one_photo": "One photo",
    "many_photos": "Several photos",
    "photo": "Photo",
    "photo_hint": "# Add a photo\nDrop, paste or click",
    "examples": "Or try one of these",
    "suits": "Show my photo in every style",
    "paint": "Paint",
    "cancel": "Cancel",
    "strength": "Strength (0: the photo, 1: the painting)",
    "more": "More: brush, colors, mixing, a part only",
    "brush": "Brush size (relative to the picture)",
    "colors": "Keep the photo's colors",
    "second": "Mix in a second style",
    "third": "And a third",
    "share": "How much of it",
    "none": "none",
    "part": "Paint only a part of the photo",
    "draw": "Draw over what shall be painted",
    "painting": "Photo and painting",
    "format": "File",
    "png": "PNG, lossless",
    "jpeg": "JPEG, smaller",
    "download": "Download at full size",
    "explain": "Explain the painting",
    "departs": "Red: where it departs most from the photo",
    "doubted": "Red: where the discriminator still sees a photo",
    "photos": "Photos",
    "paint_all": "Paint all",
    "zip": "Paintings",
    "program": "Do this from a program",
    "limits": "Photos up to {mb} MB and {megapixels} megapixels, {photos} at once. Nothing is kept for longer than two "
    "hours; nothing leaves this server.",
}
CHINESE = {
    "title": "照片变画作",
    "subtitle": "选一种风格，放一张照片，带走一幅同样大小的画。",
    "style": "风格",
    "search": "查找风格",
    "search_hint": "名称、画家或年份",
    "one_photo": "一张照片",
    "many_photos": "多张照片",
    "photo": "照片",
    "photo_hint": "# 添加照片\n拖放、粘贴或点击",
    "examples": "或者试试这些",
    "suits": "用每种风格预览我的照片",
    "paint": "作画",
    "cancel": "取消",
    "strength": "强度（0：照片，1：画作）",
    "more": "更多：笔触、颜色、混合、局部",
    "brush": "笔触大小（相对于画面）",
    "colors": "保留照片的颜色",
    "second": "混入第二种风格",
    "third": "再加第三种",
    "share": "所占比重",
    "none": "无",
    "part": "只画照片的一部分",
    "draw": "涂出要作画的部分",
    "painting": "照片与画作",
    "format": "文件格式",
    "png": "PNG，无损",
    "jpeg": "JPEG，较小",
    "download": "下载原尺寸画作",
    "explain": "说明这幅画",
    "departs": "红色：与照片差别最大的地方",
    "doubted": "红色：判别器仍看作照片的地方",
    "photos": "照片",
    "paint_all": "全部作画",
    "zip": "画作",
    "program": "用程序完成",
    "limits": "每张照片最大 {mb} MB、{megapixels} 百万像素，一次最多 {photos} 张。"
    "文件最多保留两小时，不会离开本服务器。",
}


def translations(**values: object) -> gr.I18n:
    """All texts, numbers filled in; call it with a key for a text that follows the browser's language."""
    english, chinese = ({key: _fill(text, values) for key, text in texts.items()} for texts in (ENGLISH, CHINESE))
    return gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese})


def _fill(text: str, values: dict[str, object]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
