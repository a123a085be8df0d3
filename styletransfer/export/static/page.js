// The page: which photo, which style, how strong; what is painted when; and the file that is taken home.

import {shapesReach, withShapesOf} from "./shapes.js";

const SCREEN_SIDE = 768; // pixels: the picture on which strokes are as wide as the style learned them
const WHOLE_PIXELS = 1024 * 1024; // up to here a picture is painted in one pass, with its own statistics
const TILE_SIZE = 512; // side of what a tile adds to a larger picture; margins come on top
const LEAST_SIDE = 16;
const WAITING = 120; // milliseconds before words say that something goes on

const $ = (id) => document.getElementById(id);
const site = await isolatedAnd(fetch("site.json").then((answer) => answer.json()));
const language = navigator.language.startsWith("zh") ? "zh" : "en";
const words = site.words[language];
const say = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);

let photo = null; // {name, full: bitmap, small: ImageData of at most SCREEN_SIDE, isExample}
let style = site.styles[0];
let painting = null; // ImageData as large as photo.small, of photo and style
let job = 0; // of what is painted now; an older one stops where it is

// ------------------------------------------------------------------------------------------------ threads and offline

// Once the service worker answers, the page is loaded anew if that lets it share memory between threads.
async function isolatedAnd(made) {
  const patience = new Promise((done) => setTimeout(done, 4000)); // for a browser that starts it slowly, or never
  try {
    const workers = navigator.serviceWorker; // not there where the address is neither https nor this machine
    await workers.register("service.js");
    const isReady = await Promise.race([workers.ready, patience]);
    if (isReady && !crossOriginIsolated && window === window.top && !sessionStorage.getItem("reloaded")) {
      sessionStorage.setItem("reloaded", "1");
      location.reload();
      await new Promise(() => {});
    }
    const taken = new Promise((done) => workers.addEventListener("controllerchange", done, {once: true}));
    if (!workers.controller) await Promise.race([taken, patience]); // what is loaded from here on is kept
  } catch {
    // the page paints without it as well, with one thread and not offline
  }
  return made;
}

// ------------------------------------------------------------------------------------------------ the painter

let worker, ready;
const asked = new Map(); // id -> [resolve, reject]
let lastId = 0;

function start(engine) {
  worker = new Worker(`painter.js?engine=${engine}`, {type: "module"});
  worker.onmessage = ({data}) => {
    if (data.kind === "loading") return loading(data);
    const [resolve, reject] = asked.get(data.id);
    asked.delete(data.id);
    if (data.error === undefined) return resolve(data);
    reject(Object.assign(new Error(data.error), {isLoading: data.isLoading}));
  };
  worker.onerror = (event) => {
    for (const [, reject] of asked.values()) reject(new Error(event.message));
    asked.clear();
  };
  ready = ask({kind: "start", runtime: site.runtimes[engine], sizes: site.sizes}).then((found) => {
    document.documentElement.dataset.engine = found.engine;
    document.documentElement.dataset.threads = found.threads;
  });
  ready.catch(() => {});
  ready.engine = engine;
}

function ask(message, transfer = []) {
  return new Promise((resolve, reject) => {
    asked.set(++lastId, [resolve, reject]);
    worker.postMessage({id: lastId, ...message}, transfer);
  });
}

async function chosenEngine() {
  const wanted = new URL(location.href).searchParams.get("engine");
  if (wanted in site.runtimes) return wanted;
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    const isSoftware = adapter?.isFallbackAdapter || adapter?.info?.isFallbackAdapter || adapter?.info?.architecture === "swiftshader";
    return adapter && !isSoftware ? "webgpu" : "wasm";
  } catch {
    return "wasm";
  }
}

// One pass. Where the graphics card fails, the processor takes over for good.
async function pass(pixels, given = {}) {
  const {width, height} = pixels;
  const asking = () =>
    ask({
      kind: "paint",
      address: style.file,
      weights: style.weights,
      pixels: pixels.data.slice().buffer,
      width,
      height,
      statistics: new Float32Array(2 * site.networks[style.file].channels), // zeros: those of the photo itself
      corner: [0, 0],
      ...given,
    });
  try {
    await ready.catch((error) => {
      if (error.isLoading) start(ready.engine); // tried again with the next painting
      throw error;
    });
    const made = await asking();
    document.documentElement.dataset.milliseconds = Math.round(made.milliseconds);
    return {pixels: new ImageData(new Uint8ClampedArray(made.pixels), width, height), statistics: made.statistics};
  } catch (error) {
    if (error.isLoading || ready.engine !== "webgpu") throw error;
    console.warn("WebGPU:", error.message);
    worker.terminate();
    start("wasm");
    return pass(pixels, given);
  }
}

// ------------------------------------------------------------------------------------------------ pictures

function canvasOf(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.imageSmoothingQuality = "high";
  if (source instanceof ImageData) context.putImageData(source, 0, 0);
  else context.drawImage(source, 0, 0, width, height);
  return context;
}

const fitted = (width, height, scale) =>
  [width, height].map((side) => Math.max(LEAST_SIDE, Math.round(side * scale)));

const read = (context) => context.getImageData(0, 0, context.canvas.width, context.canvas.height);

// The photo's pixels at strength 0, the painting's at 1; the photo's transparency stays.
function laid(below, above, strength) {
  const result = new ImageData(below.width, below.height);
  for (let i = 0; i < result.data.length; i++)
    result.data[i] = i % 4 === 3 ? below.data[i] : Math.round(below.data[i] + strength * (above.data[i] - below.data[i]));
  return result;
}

const strength = () => $("strength").valueAsNumber / 100;

// ------------------------------------------------------------------------------------------------ painting

async function paint() {
  const mine = ++job;
  painting = null;
  $("download").disabled = true;
  showPhoto();
  busy(true);
  const saying = setTimeout(() => mine === job && message("painting_now", {style: titleOf(style)}), WAITING);
  try {
    const {pixels} = await pass(photo.small);
    if (mine !== job) return;
    painting = pixels;
    show();
    busy(false);
    clearTimeout(saying);
    tellPainted();
    $("download").disabled = false;
    document.documentElement.dataset.painted = mine;
  } catch (error) {
    clearTimeout(saying);
    if (mine === job) fail(error);
  }
}

// The painting at the photo's own size, as the pipeline makes it: strokes as wide, relative to the picture, as on screen.
async function fullSize(mine) {
  const {width, height} = photo.full;
  const scale = Math.max(width, height) / SCREEN_SIDE;
  if (scale <= 1) return painting;
  const below = canvasOf(photo.full, width, height);
  const enlarged = canvasOf(canvasOf(painting, painting.width, painting.height).canvas, width, height);
  const again = canvasOf(enlarged.canvas, width, height);
  again.globalAlpha = 1 / scale ** 2;
  again.drawImage(below.canvas, 0, 0);
  if (width * height <= WHOLE_PIXELS) return withShapesOf(read(enlarged), (await pass(read(again))).pixels, scale);
  const small = fitted(width, height, Math.sqrt(WHOLE_PIXELS / (width * height)));
  const {statistics} = await pass(read(canvasOf(again.canvas, ...small)));
  const result = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  const grow = site.networks[style.file].margin + shapesReach(scale);
  let done = 0;
  for (let top = 0; top < height; top += TILE_SIZE)
    for (let left = 0; left < width; left += TILE_SIZE) {
      const [bottom, right] = [Math.min(height, top + TILE_SIZE), Math.min(width, left + TILE_SIZE)];
      const [above, before] = [Math.max(0, top - grow), Math.max(0, left - grow)];
      const around = [Math.min(width, right + grow) - before, Math.min(height, bottom + grow) - above];
      const {pixels} = await pass(again.getImageData(before, above, ...around), {statistics, corner: [above, before]});
      if (mine !== job) return null;
      const tile = withShapesOf(enlarged.getImageData(before, above, ...around), pixels, scale);
      result.putImageData(tile, before, above, left - before, top - above, right - left, bottom - top);
      done += (right - left) * (bottom - top);
      progress(done / (width * height));
      message("painting_large", {style: titleOf(style), percent: Math.floor((100 * done) / (width * height))});
    }
  return read(result);
}

async function download() {
  const mine = ++job;
  const isLarge = Math.max(photo.full.width, photo.full.height) > SCREEN_SIDE;
  $("download").disabled = true;
  if (isLarge) {
    busy(true);
    $("cancel").hidden = false;
    progress(0);
    message("painting_large", {style: titleOf(style), percent: 0});
  }
  try {
    const above = await fullSize(mine);
    if (mine !== job) return;
    const {width, height} = photo.full;
    const below = read(canvasOf(photo.full, width, height));
    const kind = document.querySelector("#format :checked").value;
    const canvas = canvasOf(laid(below, above, strength()), width, height).canvas;
    const name = `${photo.name}-${style.name}.${kind === "png" ? "png" : "jpg"}`;
    hand(await canvas.convertToBlob({type: `image/${kind}`, quality: 0.95}), name);
    message("saved", {name});
  } catch (error) {
    if (mine === job) fail(error);
  } finally {
    if (mine === job) rest();
  }
}

function hand(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function cancel() {
  job++;
  rest();
  message("canceled");
}

function rest() {
  busy(false);
  $("cancel").hidden = $("progress").hidden = true;
  $("download").disabled = painting === null;
}

// ------------------------------------------------------------------------------------------------ what is seen

const titleOf = (one) => one.title[language];
const message = (name, values) => ($("message").textContent = say(name, values));

function tellPainted() {
  if (photo.isExample) message("example_painted");
  else message("painted", {style: titleOf(style), width: photo.full.width, height: photo.full.height});
}

function fail(error) {
  console.error(error);
  rest();
  $("message").textContent = error.isLoading ? say("unloadable") : say("unpainted", {reason: error.message.slice(0, 120)});
}

function busy(isBusy) {
  $("painting").setAttribute("aria-busy", isBusy);
  if (!isBusy) $("progress").hidden = true;
}

function progress(share) {
  $("progress").hidden = false;
  $("progress").value = share;
}

function loading({done, total}) {
  if (painting !== null || !total) return;
  if (done >= total) {
    $("progress").hidden = true;
    return message("painting_now", {style: titleOf(style)});
  }
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  progress(done / total);
  message("loading", {done: megabytes(done), total: megabytes(total)});
}

function put(canvas, pixels) {
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function showPhoto() {
  document.body.classList.add("has-photo");
  for (const canvas of [$("before"), $("after"), $("chosen")]) put(canvas, photo.small);
  $("pictures").style.setProperty("--ratio", photo.small.width / photo.small.height);
  $("pictures").classList.remove("painted");
}

function show() {
  put($("after"), laid(photo.small, painting, strength()));
  $("pictures").classList.add("painted");
}

// ------------------------------------------------------------------------------------------------ photos

async function take(source, name, isExample = false) {
  let full;
  try {
    full = await createImageBitmap(source);
  } catch {
    return message("unreadable", {name});
  }
  const {width, height} = full;
  if (Math.min(width, height) < LEAST_SIDE) return message("too_small", {width, height});
  const scale = Math.min(1, SCREEN_SIDE / Math.max(width, height));
  const size = scale < 1 ? fitted(width, height, scale) : [width, height];
  photo = {name: name.replace(/\.[^.]*$/, "").slice(0, 100) || "photo", full, isExample};
  photo.small = read(canvasOf(full, ...size));
  paint();
}

async function takeExample(file) {
  try {
    await take(await (await fetch(`examples/${file}`)).blob(), file, true);
  } catch {
    message("unloadable");
  }
}

let stream = null;
async function camera() {
  const video = $("camera-picture");
  if (stream) {
    const frame = canvasOf(video, video.videoWidth, video.videoHeight).canvas;
    stopCamera();
    return take(await frame.convertToBlob(), "camera");
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {width: 1280, height: 960}});
    video.srcObject = stream;
    await video.play();
    $("drop").hidden = true;
    video.hidden = false;
    $("camera").textContent = say("shoot");
  } catch {
    stopCamera();
    message("no_camera");
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("drop").hidden = false;
  $("camera-picture").hidden = true;
  $("camera").textContent = say("camera");
}

// ------------------------------------------------------------------------------------------------ the page itself

function build() {
  document.documentElement.lang = language;
  document.title = words.title;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  const [head, hint] = words.photo_hint.replace("# ", "").split("\n");
  [$("hint").firstElementChild.textContent, $("hint").lastElementChild.textContent] = [head, hint];
  $("file").setAttribute("aria-label", head);
  $("compare").setAttribute("aria-label", words.compare);
  for (const {file, small, title} of site.examples) {
    const button = Object.assign(document.createElement("button"), {type: "button"});
    button.append(Object.assign(new Image(), {src: small, alt: title}));
    button.onclick = () => takeExample(file);
    document.querySelector("#examples .gallery").append(button);
  }
  for (const one of site.styles) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), {type: "radio", name: "style", value: one.name});
    const swatch = document.createElement("i");
    if (one.swatch) swatch.style.backgroundImage = `url("${one.swatch}")`;
    input.checked = one === style;
    input.onchange = () => choose(one);
    label.append(input, swatch, Object.assign(document.createElement("span"), {textContent: titleOf(one)}));
    document.querySelector("#styles .cards").append(label);
  }
  $("note").textContent = style.note[language];
  if (!navigator.mediaDevices?.getUserMedia) $("sources").hidden = true;
}

function choose(one) {
  style = one;
  $("note").textContent = one.note[language];
  if (photo) paint();
}

function listen() {
  $("file").onchange = () => {
    const [file] = $("file").files;
    if (file) take(file, file.name);
    $("file").value = "";
  };
  $("camera").onclick = camera;
  $("download").onclick = download;
  $("cancel").onclick = cancel;
  $("compare").oninput = () => $("pictures").style.setProperty("--shown", `${$("compare").value}%`);
  $("strength").oninput = () => {
    document.querySelector("#turns output").textContent = $("strength").value;
    if (painting) show();
  };
  addEventListener("paste", ({clipboardData}) => {
    const [file] = clipboardData.files;
    if (file) take(file, file.name);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", ({relatedTarget}) => relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) take(file, file.name);
  });
}

build();
listen();
start(await chosenEngine());
if (!photo && site.examples.length) takeExample(site.examples[site.opening].file);
