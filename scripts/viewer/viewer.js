// The viewer of 360-degree pictures: one looks round by drag, touch, keys, gyroscope or headset.
// `scripts/build_viewer.sh` bundles it with three.js into styletransfer/page/tabs/static/viewer.js.
import {
  Euler, MathUtils, Mesh, MeshBasicMaterial, PerspectiveCamera, Quaternion, Scene, SphereGeometry, SRGBColorSpace,
  TextureLoader, Vector3, WebGLRenderer,
} from "three"

const WIDEST = 100, NARROWEST = 30, STEP = 8 // degrees
const KEYS = {
  ArrowLeft: [-STEP, 0, 1], ArrowRight: [STEP, 0, 1], ArrowUp: [0, STEP, 1], ArrowDown: [0, -STEP, 1],
  "+": [0, 0, .85], "=": [0, 0, .85], "-": [0, 0, 1 / .85],
}

// Fill the element with a viewer. words: look, gyroscope, headset, photo, no_3d, by the page's language.
// Returns {show(painting, photo)}, which resolves once the painting is seen.
export const mount = (element, words) => {
  const camera = new PerspectiveCamera(75, 1, .1, 10)
  const scene = new Scene()
  // Inside out and from behind, so that what was right in the picture is right of one who stands in it.
  const sphere = new Mesh(new SphereGeometry(5, 96, 64).scale(-1, 1, 1), new MeshBasicMaterial())
  sphere.rotation.y = -Math.PI / 2 // the middle of the picture ahead
  scene.add(sphere)
  let renderer
  try {
    renderer = new WebGLRenderer({antialias: true, preserveDrawingBuffer: true})
  } catch {
    return withoutDepth(element, words)
  }
  const canvas = renderer.domElement
  canvas.tabIndex = 0
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", words.look)
  const tools = document.createElement("div")
  tools.className = "tools"
  element.replaceChildren(canvas, tools)

  let yaw = 0, pitch = 0, textures = {}
  const draw = () => {
    if (renderer.xr.isPresenting) return
    const {clientWidth: width, clientHeight: height} = element
    if (!width || !height) return
    renderer.setPixelRatio(Math.min(2, devicePixelRatio))
    renderer.setSize(width, height, false)
    camera.aspect = width / height
    camera.updateProjectionMatrix()
    renderer.render(scene, camera)
    const ahead = camera.getWorldDirection(new Vector3())
    element.dataset.yaw = MathUtils.radToDeg(Math.atan2(ahead.x, -ahead.z)).toFixed(1)
    element.dataset.pitch = MathUtils.radToDeg(Math.asin(MathUtils.clamp(ahead.y, -1, 1))).toFixed(1)
    element.dataset.angle = camera.fov.toFixed(1)
  }
  const turn = (across, up, zoom = 1) => {
    yaw += across
    pitch = MathUtils.clamp(pitch + up, -90, 90)
    camera.fov = MathUtils.clamp(camera.fov * zoom, NARROWEST, WIDEST)
    camera.quaternion.setFromEuler(new Euler(MathUtils.degToRad(pitch), MathUtils.degToRad(-yaw), 0, "YXZ"))
    draw()
  }
  listen(canvas, camera, turn, () => gyroscope?.stop())

  const button = (name, action) => {
    const made = document.createElement("button")
    made.type = "button"
    made.className = name
    made.textContent = words[name]
    made.addEventListener("click", () => action(made))
    tools.append(made)
    return made
  }
  const look = name => {
    sphere.material.map = textures[name] ?? null
    sphere.material.needsUpdate = true
    element.dataset.shows = name
    draw()
  }
  const seesPhoto = button("photo", made => {
    const photo = element.dataset.shows === "painting"
    made.setAttribute("aria-pressed", photo)
    look(photo ? "photo" : "painting")
  })
  let gyroscope = null
  if (matchMedia("(pointer: coarse)").matches && "DeviceOrientationEvent" in window)
    button("gyroscope", async made => {
      gyroscope = gyroscope?.running ? gyroscope.stop() : await turnedByDevice(camera, draw, made)
    })
  navigator.xr?.isSessionSupported("immersive-vr").then(can => {
    if (can) button("headset", () => enter(renderer, scene, camera, draw))
  }).catch(() => {})

  new ResizeObserver(draw).observe(element)
  const loader = new TextureLoader()
  const show = async (painting, photo) => {
    const load = async address => {
      const texture = await loader.loadAsync(address)
      texture.colorSpace = SRGBColorSpace
      texture.anisotropy = renderer.capabilities.getMaxAnisotropy()
      return texture
    }
    const fresh = {painting: await load(painting), photo: photo && await load(photo)}
    for (const old of Object.values(textures)) old?.dispose()
    textures = fresh
    seesPhoto.hidden = !photo
    seesPhoto.setAttribute("aria-pressed", false)
    look("painting")
    turn(0, 0)
  }
  return {show}
}

const listen = (canvas, camera, turn, takeOver) => {
  const fingers = new Map()
  canvas.addEventListener("pointerdown", event => {
    takeOver()
    canvas.setPointerCapture(event.pointerId)
    fingers.set(event.pointerId, event)
    canvas.focus({preventScroll: true})
  })
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId)
    if (!before) return
    const apart = () => {
      const [one, two] = [...fingers.values()]
      return two ? Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY) : 0
    }
    const was = apart()
    fingers.set(event.pointerId, event)
    const perPixel = camera.fov / canvas.clientHeight / fingers.size
    const zoom = was && apart() ? was / apart() : 1
    turn((before.clientX - event.clientX) * perPixel, (event.clientY - before.clientY) * perPixel, zoom)
  })
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, event => fingers.delete(event.pointerId))
  canvas.addEventListener("wheel", event => {
    event.preventDefault()
    turn(0, 0, Math.exp(event.deltaY / 800))
  }, {passive: false})
  canvas.addEventListener("keydown", event => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    takeOver()
    turn(...KEYS[event.key])
  })
}

// The device's own direction, after W3C "DeviceOrientation Event", section A.1; ahead stays where one looked before.
const turnedByDevice = async (camera, draw, made) => {
  const asks = DeviceOrientationEvent.requestPermission // iOS
  if (asks && await asks.call(DeviceOrientationEvent).catch(() => "denied") !== "granted") return null
  const upright = new Quaternion(-Math.SQRT1_2, 0, 0, Math.SQRT1_2), upwards = new Vector3(0, 1, 0)
  const screenTurn = new Quaternion(), offset = new Quaternion(), away = new Vector3(0, 0, 1)
  const start = camera.getWorldDirection(new Vector3())
  let first = true
  const heading = direction => Math.atan2(-direction.x, -direction.z)
  const follow = ({alpha, beta, gamma}) => {
    if (alpha === null) return
    const [a, b, c] = [alpha, beta, gamma].map(MathUtils.degToRad)
    camera.quaternion.setFromEuler(new Euler(b, a, -c, "YXZ")).multiply(upright)
    camera.quaternion.multiply(screenTurn.setFromAxisAngle(away, -MathUtils.degToRad(screen.orientation?.angle ?? 0)))
    if (first) offset.setFromAxisAngle(upwards, heading(start) - heading(camera.getWorldDirection(new Vector3())))
    first = false
    camera.quaternion.premultiply(offset)
    draw()
  }
  window.addEventListener("deviceorientation", follow)
  made.setAttribute("aria-pressed", true)
  const control = {
    running: true,
    stop: () => {
      window.removeEventListener("deviceorientation", follow)
      made.setAttribute("aria-pressed", false)
      control.running = false
      return null
    },
  }
  return control
}

const enter = async (renderer, scene, camera, draw) => {
  renderer.xr.enabled = true
  renderer.xr.setReferenceSpaceType("local")
  const session = await navigator.xr.requestSession("immersive-vr")
  await renderer.xr.setSession(session)
  renderer.setAnimationLoop(() => renderer.render(scene, camera))
  session.addEventListener("end", () => {
    renderer.setAnimationLoop(null)
    renderer.xr.enabled = false
    draw()
  })
}

// Where a browser draws nothing in depth, the picture is shown as it lies.
const withoutDepth = (element, words) => {
  const image = new Image(), said = document.createElement("p")
  image.alt = words.look
  said.textContent = words.no_3d
  element.replaceChildren(image, said)
  return {
    show: painting => new Promise(resolve => {
      image.onload = resolve
      image.src = painting
      element.dataset.shows = "flat"
    }),
  }
}
