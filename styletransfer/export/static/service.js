// Keeps what was loaded, so that the page opens and paints without a network, and lets the painter use several threads.

const CACHE = "painter-{version}";
const SHELL = {shell};

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((n) => n.startsWith("painter-") && n !== CACHE).map((n) => caches.delete(n))))
      .then(() => clients.claim()),
  );
});

addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || address.origin !== location.origin) return;
  event.respondWith(answer(event.request, address));
});

async function answer(request, address) {
  const cache = await caches.open(CACHE);
  const name = request.mode === "navigate" ? "./" : address.origin + address.pathname;
  const kept = await cache.match(name);
  if (kept) return isolated(kept);
  const fresh = await fetch(request);
  if (fresh.ok && fresh.status === 200) {
    // All of it or nothing: what breaks off is not kept.
    const copy = fresh.clone();
    copy.blob().then((body) => cache.put(name, new Response(body, {headers: copy.headers})), () => {});
  }
  return isolated(fresh);
}

// The headers without which a browser shares no memory between threads. Answers without a body stay as they are.
function isolated(response) {
  if (response.type === "opaque" || [101, 204, 205, 304].includes(response.status)) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, {status: response.status, statusText: response.statusText, headers});
}
