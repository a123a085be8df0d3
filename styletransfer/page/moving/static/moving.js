// 360-degree pictures to look round in, and the live camera. `moving.show(mode)` is called by the tabs, the rest by events.
window.moving = (() => {
  const TEXTS = "{TEXTS}" // replaced by the texts of texts.py, by language
  const MODES = ["several", "around", "live"]
  const find = selector => document.querySelector(selector)
  const language = () => find("#page-texts")?.textContent.trim() || "en"
  const words = () => TEXTS[language()] || TEXTS.en

  const show = mode => {
    const {classList} = find("#board")
    classList.remove(...MODES)
    if (mode) classList.add(mode)
    if (mode !== "live") stop()
  }

  // ---------------------------------------------------------------- 360 degrees

  let viewer = null
  const look = async files => {
    if (!files?.length) return
    const {around_look, ...others} = words()
    viewer ??= import(new URL("moving/viewer.js", document.baseURI).href)
      .then(({mount}) => mount(find("#look"), {look: around_look, ...others}))
    await (await viewer).show(files[0].url, files[1]?.url)
  }

  // ---------------------------------------------------------------- the camera

  const stop = () => {}

  return {show, look, stop}
})()
