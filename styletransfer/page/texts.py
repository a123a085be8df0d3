"""Every word of the page, in English and Chinese. The browser chooses by its own language."""

import gradio as gr
from gradio.i18n import I18nData

ENGLISH = {
    "language": "en",
    "title": "Photo in, painting out",
    "subtitle": "Add a photo, choose a style, keep the painting.",
    "style": "Style",
    "search": "Find a style",
    "search_hint": "by name, painter or year",
    "no_style": "No style has that in its name, painter or year.",
    "one_photo": "One photo",
    "many_photos": "Several photos",
    "moving": "Video",
    "clip": "Video or animated picture",
    "paint_video": "Paint the video",
    "photo": "Photo",
    "photo_hint": "# Add your photo\nDrop, paste or click",
    "example": "An example. Add a photo of yours.",
    "examples": "Or try one of these",
    "paint": "Paint",
    "cancel": "Cancel",
    "strength": "Strength, in percent",
    "more": "More: brush, colors, mixing, a part only",
    "brush": "Brush size",
    "colors": "Keep the photo's colors",
    "second": "Mix in a second style",
    "third": "And a third",
    "share": "Amount, in percent",
    "part": "Paint only a part of the photo",
    "draw": "Brush over the area to paint",
    "own": "Your own painting as a style",
    "own_painting": "Your own painting",
    "own_hint": "# Add a painting\nIt becomes a style while you watch, for this visit only",
    "own_stop": "Stop, and keep it as it is",
    "own_pack": "Your style, to keep",
    "painting": "Photo and painting",
    "compare": "Compare: how much of the photo is shown, in percent",
    "format": "Format",
    "png": "PNG",
    "jpeg": "JPEG",
    "download": "Download",
    "send": "Share",
    "copy": "Copy",
    "copied": "Copied",
    "not_copied": "Not copied",
    "not_shared": "Not shared",
    "undo": "Undo",
    "redo": "Redo",
    "strip": "Your last paintings",
    "explain": "Explain this painting",
    "departs": "Red: changed most",
    "doubted": "Red: still looks like a photo",
    "photos": "Photos",
    "paint_all": "Paint all",
    "zip": "All paintings in one file",
    "album": "Your paintings will appear here, each with its own download.",
    "around": "360°",
    "around_photo": "360-degree picture",
    "around_hint": "Add a picture of all that is around you, twice as wide as high, and look round in its painting.",
    "around_paint": "Paint all around",
    "around_look": "The painting all around: drag it, or use the arrow keys, + and −",
    "gyroscope": "Turn with the device",
    "headset": "Put on the headset",
    "no_3d": "This browser draws nothing in 3D: the painting is shown flat.",
    "camera": "Camera",
    "camera_hint": "What your camera sees, painted as you move. Nothing of it is kept.",
    "camera_start": "Start the camera",
    "camera_stop": "Stop the camera",
    "camera_keep": "Keep this picture",
    "camera_none": "There is no camera, or this page may not use it.",
    "camera_lost": "The connection was lost: start the camera again.",
    "camera_rate": "{rate} pictures a second, each {delay} ms after it was seen",
    "camera_sees": "What the camera sees, painted",
    "program": "Use the API",
    "limits": "Photos up to {mb} MB and {megapixels} megapixels, {photos} at once. Nothing is kept for longer than two "
    "hours; nothing leaves this server.",
}
CHINESE = {
    "language": "zh",
    "title": "照片变画作",
    "subtitle": "上传照片，选择风格，下载画作。",
    "style": "风格",
    "search": "查找风格",
    "search_hint": "名称、画家或年份",
    "no_style": "没有找到符合的风格，请换个名称、画家或年份试试。",
    "one_photo": "单张照片",
    "many_photos": "多张照片",
    "moving": "视频",
    "clip": "视频或动图",
    "paint_video": "为视频作画",
    "photo": "照片",
    "photo_hint": "# 添加照片\n拖放、粘贴或点击",
    "example": "这是示例，请添加您自己的照片。",
    "examples": "或者试试这些示例",
    "paint": "开始作画",
    "cancel": "取消",
    "strength": "强度（百分比）",
    "more": "更多：笔触、颜色、混合、局部",
    "brush": "笔触大小",
    "colors": "保留照片原色",
    "second": "混入第二种风格",
    "third": "混入第三种风格",
    "share": "比例（百分比）",
    "part": "只画照片的一部分",
    "draw": "涂抹要作画的区域",
    "painting": "照片与画作",
    "compare": "对比：显示多少照片（百分比）",
    "own": "用您自己的画作为风格",
    "own_painting": "您自己的画",
    "own_hint": "# 添加一幅画\n它会在您眼前变成一种风格，仅限本次访问",
    "own_stop": "停止并保留现状",
    "own_pack": "您的风格，可下载保存",
    "format": "格式",
    "png": "PNG",
    "jpeg": "JPEG",
    "download": "下载",
    "send": "分享",
    "copy": "复制",
    "copied": "已复制",
    "not_copied": "复制失败",
    "not_shared": "分享失败",
    "undo": "撤销",
    "redo": "重做",
    "strip": "最近的画作",
    "explain": "解读这幅画",
    "departs": "红色：变化最大的地方",
    "doubted": "红色：看上去仍像照片的地方",
    "photos": "照片",
    "paint_all": "全部作画",
    "zip": "打包下载全部画作",
    "album": "画好的作品会显示在这里，可以逐张下载。",
    "around": "360°",
    "around_photo": "全景图片",
    "around_hint": "添加一张 360 度全景图片，宽是高的两倍。画好后可以在画中环顾四周。",
    "around_paint": "画出四周",
    "around_look": "四周的画作：拖动，或用方向键、+ 和 −",
    "gyroscope": "随设备转动",
    "headset": "戴上头显",
    "no_3d": "此浏览器无法显示三维：画作平铺显示。",
    "camera": "摄像头",
    "camera_hint": "摄像头看到的一切，随动作画。不保存任何内容。",
    "camera_start": "打开摄像头",
    "camera_stop": "关闭摄像头",
    "camera_keep": "保存这张画",
    "camera_none": "没有摄像头，或此页面无权使用它。",
    "camera_lost": "连接已中断：请重新打开摄像头。",
    "camera_rate": "每秒 {rate} 张，各在看到后 {delay} 毫秒画出",
    "camera_sees": "摄像头看到的，画成画",
    "program": "使用 API",
    "limits": "每张照片不超过 {mb} MB、{megapixels} 百万像素，一次最多 {photos} 张。"
    "文件最多保留两小时，不会离开本服务器。",
}
# Of the styles that ship; styles of others keep the titles their authors gave them.
CHINESE_TITLES = {
    "The Starry Night": "星月夜",
    "The Large Blue Horses": "大蓝马",
    "Dancer in Charcoal": "炭笔舞者",
    "Claude Monet": "莫奈",
    "Hiroshige's Prints": "广重版画",
    "Composition VII": "构成第七号",
    "Composition VIII": "构成第八号",
    "Gold": "金色",
    "The Great Wave": "神奈川冲浪里",
    "Fuchun Mountains": "富春山居图",
    "Portrait of Metzinger": "梅青格尔肖像",
    "La Grande Jatte": "大碗岛的星期天下午",
    "Jakuchu's Rooster": "若冲的公鸡",
    "The Shipwreck": "海难",
    "The Scream": "呐喊",
    "Wheat Field with Cypresses": "有柏树的麦田",
}
CHINESE_PAINTERS = {
    "Vincent van Gogh": "文森特·梵高",
    "Franz Marc": "弗朗茨·马尔克",
    "Edgar Degas": "埃德加·德加",
    "Claude Monet": "克劳德·莫奈",
    "Utagawa Hiroshige": "歌川广重",
    "Wassily Kandinsky": "瓦西里·康定斯基",
    "Gustav Klimt": "古斯塔夫·克里姆特",
    "Katsushika Hokusai": "葛饰北斋",
    "Huang Gongwang": "黄公望",
    "Robert Delaunay": "罗贝尔·德劳内",
    "Georges Seurat": "乔治·修拉",
    "Ito Jakuchu": "伊藤若冲",
    "J. M. W. Turner": "透纳",
    "Edvard Munch": "爱德华·蒙克",
}
SCRIPTED = ("compare", "copied", "not_copied", "not_shared")  # what the page's script says by itself


def translations(**values: object) -> gr.I18n:
    """All texts, numbers filled in; call it with a key for a text that follows the browser's language."""
    english, chinese = ({key: _fill(text, values) for key, text in texts.items()} for texts in (ENGLISH, CHINESE))
    for title, translated in CHINESE_TITLES.items():
        english[_title_key(title)], chinese[_title_key(title)] = title, translated
    return gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese})


def titled(texts: gr.I18n, title: str) -> str | I18nData:
    """A style's title, in the browser's language where it is known in it."""
    return texts(_title_key(title)) if title in CHINESE_TITLES else title


def _title_key(title: str) -> str:
    return "title_" + "".join(character for character in title if character.isalnum())


def _fill(text: str, values: dict[str, object]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def scripted() -> dict[str, dict[str, str]]:
    """Language -> the texts that the page's script says by itself."""
    return {texts["language"]: {key: texts[key] for key in SCRIPTED} for texts in (ENGLISH, CHINESE)}


def chinese_title(title: str) -> str:
    """A style's title in Chinese; the title itself where none is known."""
    return CHINESE_TITLES.get(title, title)


def chinese_note(note: str) -> str:
    """A note like "Edgar Degas, about 1880" or "337 paintings" in Chinese, as far as it is known."""
    parts = []
    for part in note.split(", "):
        about, _, year = part.rpartition("about ")
        if part in CHINESE_PAINTERS:
            parts.append(CHINESE_PAINTERS[part])
        elif not about and year != part:
            parts.append(f"约 {year} 年")
        elif part.replace("-", "").isdigit():
            parts.append(f"{part} 年")
        elif part.endswith(" paintings"):
            parts.append(f"{part.removesuffix(' paintings')} 幅画作")
        else:
            parts.append(part)
    return "，".join(parts)
