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

  const LONGEST = 480 // pixels, of what is sent
  const ON_THEIR_WAY = 2 // one frame is painted, one waits: the delay is that of two paintings
  const PAUSE = 25 // milliseconds: a camera's next frame is to be another one
  let live = null

  const says = text => { find("#camera-says p").textContent = text }
  const settings = (style, percent, colors) => {
    if (live) live.settings = {style, strength: percent / 100, keep_colors: !!colors}
  }
  const address = (mine, more) => {
    const url = new URL("moving/live", document.baseURI)
    url.search = new URLSearchParams({camera: mine.name, ...more})
    return url
  }
  const stop = said => {
    const mine = live
    if (!mine) return
    live = null
    mine.stream.getTracks().forEach(track => track.stop())
    mine.wake?.()
    fetch(address(mine), {method: "DELETE", keepalive: true}).catch(() => {})
    find("#camera-start").textContent = words().camera_start
    if (said) says(said)
  }
  const camera = async (...values) => {
    if (live) return stop()
    let stream
    try {
      stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480, frameRate: 30}})
    } catch {
      return says(words().camera_none)
    }
    const video = Object.assign(document.createElement("video"), {srcObject: stream, muted: true, playsInline: true})
    await video.play()
    const name = [...crypto.getRandomValues(new Uint32Array(4))].join("-")
    live = {stream, video, name, number: 0, shown: 0, onTheirWay: 0, times: [], painted: 0}
    find("#camera-start").textContent = words().camera_stop
    settings(...values)
    film(live)
  }
  // Send a frame whenever fewer than two are on their way.
  const film = async mine => {
    const picture = document.createElement("canvas"), {video} = mine
    const scale = LONGEST / Math.max(video.videoWidth, video.videoHeight)
    picture.width = Math.round(video.videoWidth * scale)
    picture.height = Math.round(video.videoHeight * scale)
    while (live === mine) {
      if (mine.onTheirWay < ON_THEIR_WAY) {
        picture.getContext("2d").drawImage(video, 0, 0, picture.width, picture.height)
        const seen = performance.now()
        const frame = await new Promise(resolve => picture.toBlob(resolve, "image/jpeg", .85))
        mine.onTheirWay++
        send(mine, frame, seen, ++mine.number).catch(() => { if (live === mine) stop(words().camera_lost) })
        await new Promise(resolve => setTimeout(resolve, PAUSE))
      } else await new Promise(resolve => { mine.wake = resolve })
    }
  }
  const send = async (mine, frame, seen, number) => {
    const answer = await fetch(address(mine, mine.settings), {method: "POST", body: frame})
    const painting = answer.status === 200 && await createImageBitmap(await answer.blob())
    mine.onTheirWay--
    mine.wake?.()
    if (live !== mine) return
    if (answer.status === 409) return stop((await answer.json()).error)
    if (!answer.ok) return stop(words().camera_lost)
    if (painting && number > mine.shown) {
      mine.shown = number
      draw(mine, painting, seen)
    }
  }
  const draw = (mine, painting, seen) => {
    const canvas = find("#seen canvas"), now = performance.now()
    Object.assign(canvas, {width: painting.width, height: painting.height})
    canvas.getContext("2d").drawImage(painting, 0, 0)
    find("#camera-keep").disabled = false
    mine.times = [...mine.times, {now, delay: now - seen}].filter(each => now - each.now < 3000)
    const rate = mine.times.length < 2 ? 0 : 1000 * (mine.times.length - 1) / (now - mine.times[0].now)
    const delay = mine.times.reduce((sum, each) => sum + each.delay, 0) / mine.times.length
    Object.assign(find("#seen").dataset, {frames: ++mine.painted, rate: rate.toFixed(1), delay: delay.toFixed(0)})
    if (now - (mine.said || 0) < 500) return
    mine.said = now
    says(words().camera_rate.replace("{rate}", Math.round(rate)).replace("{delay}", Math.round(delay)))
  }
  const keep = () => find("#seen canvas").toBlob(blob => {
    const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: "camera.png"})
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  })

  return {show, look, camera, settings, keep, stop}
})()
