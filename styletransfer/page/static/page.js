// What the browser does by itself. `painter.start()` runs once the page is there; the rest is called by events of the
// page (see visit.py), with the values of the controls, and answers with values for them.
window.painter = (() => {
  const TEXTS = "{TEXTS}" // replaced by the texts of texts.py, by language
  const KEPT = "painting" // in the storage of this tab, which no other visitor of the machine sees
  const MOST = 12 // paintings in the strip
  const TWO_HOURS = 2 * 3600 * 1000 // then the server forgets the photo
  const SETTLED = 600 // milliseconds without a new painting: a slider has come to rest

  const find = selector => document.querySelector(selector)
  // What the page is in bears its states as classes: Gradio puts our rules below `.contain`, where no body is.
  const board = () => find("#board")
  const all = selector => [...document.querySelectorAll(selector)]
  const language = () => find("#page-texts")?.textContent.trim() || "en"
  const say = key => (TEXTS[language()] || TEXTS.en)[key]
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches
  const set = (element, name, value) => {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value)
  }

  // ---------------------------------------------------------------- the slider between photo and painting

  const handle = () => find("#painting [data-testid=slider]")

  // Where the picture lies in the window: it is fitted into its box.
  const pictureBox = () => {
    const image = find("#painting .slider-wrap img"), box = handle().parentElement.getBoundingClientRect()
    const width = Math.min(box.width, (box.height * image.naturalWidth) / image.naturalHeight || box.width)
    return {left: box.left + (box.width - width) / 2, width, wrap: box.left, middle: box.top + box.height / 2}
  }
  const position = () => {
    const {left, width, wrap} = pictureBox()
    const x = new DOMMatrix(getComputedStyle(handle()).transform).m41
    return Math.max(0, Math.min(1, (x + wrap - left) / width))
  }
  // The component listens to the mouse alone, so that is what it is given.
  const mouse = (target, type, share) => {
    const {left, width, middle} = pictureBox()
    const place = {clientX: left + width * share, clientY: middle}
    target.dispatchEvent(new MouseEvent(type, {...place, bubbles: true, cancelable: true, view: window}))
  }
  // Pressed where it shall go, not where it is: after a drag that moved, d3 swallows the visitor's next click.
  const slideTo = share => {
    mouse(handle(), "mousedown", share)
    mouse(window, "mousemove", share)
    mouse(window, "mouseup", share)
    set(handle(), "aria-valuenow", Math.round(100 * share))
  }
  let sliding = 0 // of several movements only the last goes on
  const touched = () => sliding++
  const glide = async (stops, each) => {
    const mine = ++sliding
    const ease = share => share * share * (3 - 2 * share)
    for (const stop of stops) {
      const from = position(), began = performance.now()
      for (let share = 0; share < 1; ) {
        share = Math.min(1, (await new Promise(requestAnimationFrame), performance.now() - began) / each)
        if (mine !== sliding || !handle()?.offsetParent) return // taken over, gone, or hidden by the other tab
        slideTo(from + (stop - from) * ease(share))
      }
    }
  }
  const loaded = async () => {
    for (let tries = 0; tries < 100; tries++) {
      const images = all("#painting .slider-wrap img")
      if (handle() && images.length === 2 && images.every(image => image.complete && image.naturalWidth)) return true
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    return false
  }
  const STEPS = {ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1}
  const nameHandle = () => {
    const slider = handle()
    if (!slider || slider.dataset.named) return
    slider.dataset.named = "yes"
    for (const [name, value] of Object.entries({role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-label": say("compare"), "aria-valuenow": 50, "aria-orientation": "horizontal"}))
      slider.setAttribute(name, value)
    slider.addEventListener("keydown", event => {
      // Not where the handle is drawn: of two quick keys the second comes before the first is drawn.
      const now = Number(slider.getAttribute("aria-valuenow")) / 100
      const next = {Home: 0, End: 1}[event.key] ?? (event.key in STEPS ? now + STEPS[event.key] : null)
      if (next === null) return
      event.preventDefault()
      touched()
      slideTo(Math.max(0, Math.min(1, next)))
    })
    slider.addEventListener("pointerdown", touched)
    addEventListener("pointerup", () => handle() && set(handle(), "aria-valuenow", Math.round(100 * position())))
  }
  // Once, when the page opens: the handle shows that it can be moved.
  const beckon = async () => {
    if (!still() && await loaded() && !sliding) glide([0.3, 0.7, 0.5], 700)
  }
  // After a photo of one's own: nearly all of it is painting.
  const unveil = async () => {
    if (!await loaded()) return
    if (still()) slideTo(0.12)
    else glide([0.12], 450)
  }

  // ---------------------------------------------------------------- the paintings of this visit

  const visit = {entries: [], at: -1, now: null}
  let painted = "", settling = 0, last = null, wanted = null
  const keyOf = values => JSON.stringify([values[0]?.path ?? null, ...values.slice(1)])

  const save = () => {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify({...visit, time: Date.now()}))
    } catch { /* no storage here, or none left: the visit goes on without */ }
  }
  const kept = () => {
    try {
      const found = JSON.parse(sessionStorage.getItem(KEPT))
      return found && Date.now() - found.time < TWO_HOURS ? found : null
    } catch {
      return null
    }
  }
  const settle = () => {
    clearTimeout(settling)
    if (!last) return
    const entry = last
    last = null
    if (visit.entries[visit.at] && keyOf(visit.entries[visit.at].values) === keyOf(entry.values))
      visit.entries[visit.at] = entry
    else {
      // What one went back to stands before what is new, so that the next step back leads there.
      if (visit.at >= 0) visit.entries.push(...visit.entries.splice(visit.at, 1))
      visit.entries.push(entry)
      visit.entries = visit.entries.slice(-MOST)
      visit.at = visit.entries.length - 1
    }
    save()
    drawStrip()
  }
  const drawStrip = () => {
    const list = find("#strip ol")
    if (!list) return
    board().classList.toggle("no-visit", !visit.entries.length)
    list.replaceChildren(...visit.entries.map((entry, place) => {
      const item = document.createElement("li"), button = document.createElement("button")
      const image = document.createElement("img")
      image.src = entry.shown
      image.alt = ""
      image.onerror = () => { // the server has forgotten it
        visit.entries.splice(visit.entries.indexOf(entry), 1)
        visit.at = Math.min(visit.at, visit.entries.length - 1)
        save()
        drawStrip()
      }
      button.setAttribute("aria-label", `${entry.title} (${place + 1})`)
      if (place === visit.at) button.setAttribute("aria-current", "true")
      button.onclick = () => goTo(place)
      button.append(image)
      item.append(button)
      return item
    }))
    list.scrollLeft = (list.children[visit.at]?.offsetLeft ?? 0) - list.clientWidth / 2 // of the strip alone
    for (const [id, place] of [["undo", visit.at - 1], ["redo", visit.at + 1]]) {
      const button = find(`#${id}`)
      if (button) button.disabled = !visit.entries[place]
    }
  }
  const goTo = place => {
    settle()
    if (!visit.entries[place]) return
    visit.at = place
    wanted = visit.entries[place].values
    save()
    drawStrip()
    find("#recall").click()
  }
  const step = by => { settle(); goTo(visit.at + by) }

  // After each painting: (photo, ..., painting), the values that it was made with.
  const record = (...values) => {
    const painting = values.pop()
    painted = keyOf(values)
    board().classList.remove("unpainted")
    const shown = painting?.[1]?.url
    if (!values[0] || !shown) return
    board().classList.remove("no-photo")
    const title = find("#styles label.selected span")?.textContent.trim() || ""
    last = {values, shown, title}
    clearTimeout(settling)
    settling = setTimeout(settle, SETTLED)
  }
  // After each change of a control.
  const keep = (...values) => {
    visit.now = values
    if (!values[0]) board().classList.add("no-photo")
    save()
  }
  // The painting does not show what the controls say, and nothing will change that by itself.
  const fallenBehind = () => {
    if (visit.now?.[0] && keyOf(visit.now) !== painted) board().classList.add("unpainted")
  }
  const recalled = () => { const values = wanted; wanted = null; return values }
  // When the page opens: what it was left with, if this tab had been here before.
  const restore = async (...values) => {
    const found = kept()
    const [photo, style, ...others] = found?.now || []
    if (!photo) beckon()
    if (found?.now?.length !== values.length) return
    if (photo && !(await fetch(photo.url, {method: "HEAD"}).catch(() => null))?.ok) return
    if (visit.now?.[0]) return // a photo has come in the meantime
    Object.assign(visit, {entries: found.entries || [], at: found.at ?? -1})
    drawStrip()
    const offered = all("#styles input").map(input => input.value)
    wanted = [photo, offered.includes(style) ? style : values[1], ...others]
    find("#recall").click()
  }

  // ---------------------------------------------------------------- share, copy, drop, paste

  const pictureFile = async () => {
    const url = all("#painting .slider-wrap img").at(-1).src
    const blob = await (await fetch(url)).blob()
    return new File([blob], decodeURIComponent(url.split("/").pop()), {type: blob.type})
  }
  const asPng = async file => {
    const image = await createImageBitmap(file), canvas = document.createElement("canvas")
    canvas.width = image.width
    canvas.height = image.height
    canvas.getContext("2d").drawImage(image, 0, 0)
    return new Promise(resolve => canvas.toBlob(resolve, "image/png"))
  }
  const flash = (id, text) => {
    const button = find(id), before = button.dataset.label || button.textContent
    button.dataset.label = before
    button.textContent = text
    setTimeout(() => { button.textContent = before }, 2000)
  }
  const share = async () => {
    try {
      await navigator.share({files: [await pictureFile()], title: document.title})
    } catch (error) {
      if (error.name !== "AbortError") flash("#share", say("not_shared")) // closing the sheet is no fault
    }
  }
  const copy = async () => {
    try {
      await navigator.clipboard.write([new ClipboardItem({"image/png": pictureFile().then(asPng)})])
      flash("#copy", say("copied"))
    } catch {
      flash("#copy", say("not_copied"))
    }
  }
  const saveFile = file => {
    if (!file) return
    const link = document.createElement("a")
    link.href = file.url
    link.download = file.orig_name || ""
    link.click()
  }
  const offerWhatIsPossible = () => {
    const probe = {files: [new File(["x"], "x.png", {type: "image/png"})]}
    board().classList.toggle("can-share", !!navigator.canShare?.(probe))
    board().classList.toggle("can-copy", !!(navigator.clipboard?.write && window.ClipboardItem))
  }
  // A photo goes where photos go, wherever on the page it is dropped or pasted, and whatever photo is there.
  const bring = async files => {
    const photo = [...files].find(file => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name))
    if (!photo || ["several", "around", "live"].some(mode => board().classList.contains(mode))) return false
    find("#photo [aria-label='Remove Image']")?.click()
    for (let tries = 0; tries < 60; tries++) {
      const input = find("#photo input[type=file]")
      if (input) {
        const moved = new DataTransfer()
        moved.items.add(photo)
        input.files = moved.files
        input.dispatchEvent(new Event("change", {bubbles: true}))
        return true
      }
      await new Promise(requestAnimationFrame)
    }
    return false
  }
  const acceptAnywhere = () => {
    const elsewhere = event => !event.target.closest?.("#photo button, #photos, #canvas, #own")
    const files = event => [...(event.dataTransfer?.types || [])].includes("Files")
    addEventListener("dragover", event => { if (files(event) && elsewhere(event)) event.preventDefault() })
    addEventListener("drop", event => {
      if (!files(event) || !elsewhere(event)) return
      event.preventDefault()
      bring(event.dataTransfer.files)
    })
    addEventListener("paste", event => {
      if (!event.target.closest?.("input, textarea, #canvas") && event.clipboardData?.files.length)
        bring(event.clipboardData.files)
    })
    addEventListener("keydown", event => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return
      if (event.target.closest?.("input[type=text], textarea, #canvas") || find("#canvas canvas")) return
      event.preventDefault()
      step(event.shiftKey ? 1 : -1)
    })
  }

  // ---------------------------------------------------------------- names, groups, notes

  // Gradio leaves buttons around pictures without a name for those who do not see them: the file's is what there is.
  const namePictures = () => all(".gallery-item, .image-container > button").forEach(button => {
    const file = (button.querySelector("img")?.src || "").split("/").pop()
    let text = file
    try { text = decodeURIComponent(file) } catch { /* a percent sign of the name's own */ }
    set(button, "aria-label", text.replace(/\.\w+$/, "") || "photo")
  })
  // Gradio gives every radio button a group of its own, so that arrow keys go nowhere and Tab stops at each.
  const joinChoices = () => all("#styles, #format").forEach(group => {
    group.querySelectorAll("input[type=radio]").forEach(choice => {
      if (choice.name !== group.id) choice.name = group.id
    })
    const label = group.querySelector("[data-testid=block-info]")?.textContent.trim()
    if (label) {
      set(group, "role", "radiogroup")
      set(group, "aria-label", label)
    }
  })
  const notes = () => JSON.parse(find("#card-notes")?.dataset.notes || "[]")
  const noteChosen = () => {
    const label = find("#styles > [data-testid=block-info]")
    const place = all("#styles label").findIndex(card => card.classList.contains("selected"))
    if (label) set(label, "data-note", notes()[place]?.[language()] || "")
  }
  const search = text => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), known = notes()
    all("#styles label").forEach((label, place) => {
      const said = [label.textContent, ...Object.values(known[place] || {})].join(" ").toLowerCase()
      label.hidden = !words.every(word => said.includes(word))
    })
    const none = find("#no-style p")
    if (none) none.hidden = all("#styles label").some(label => !label.hidden)
  }
  // Regions that scroll are reached by the Tab key, and so scrolled by the arrow keys.
  const reachScrollers = () => all(".cm-scroller").forEach(region => set(region, "tabindex", 0))

  // Numbers that are unfolded stay so when others take their place.
  let unfolded = false
  const keepUnfolded = () => {
    const details = find("#numbers details")
    if (!details || details.dataset.kept) return
    details.dataset.kept = "yes"
    details.open = unfolded
    details.addEventListener("toggle", () => { if (details.isConnected) unfolded = details.open })
  }

  const tidy = () => {
    namePictures()
    keepUnfolded()
    joinChoices()
    noteChosen()
    nameHandle()
    reachScrollers()
  }
  const start = () => {
    document.documentElement.lang = language() === "zh" ? "zh-CN" : "en"
    document.title = find("#masthead h1")?.textContent || document.title
    board().classList.add("no-visit", "no-photo")
    new MutationObserver(tidy).observe(document.body,
      {childList: true, subtree: true, attributeFilter: ["src", "class"]})
    tidy()
    drawStrip()
    offerWhatIsPossible()
    acceptAnywhere()
  }
  return {start, restore, record, keep, recalled, step, fallenBehind, unveil, share, copy, saveFile, search, bring,
    position, slideTo}
})()
