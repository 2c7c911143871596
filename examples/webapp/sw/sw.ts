/**
 * The service worker: the page opens without a network, too. It keeps the files of one build, and
 * nothing else: drafts, events and tokens are the page's own business (IndexedDB).
 *
 * A new build waits until the page asks for it: nobody's work is interrupted by a new version.
 */

/** Addresses of all files of this build, and a name for it; put in by `precache` in vite.config.ts. */
declare const __PRECACHE__: { readonly version: string; readonly files: readonly string[] }

declare const self: ServiceWorkerGlobalScope

const PREFIX = 'draftsync-shell-'
const { version, files } = __PRECACHE__
const CACHE = PREFIX + version
const SHELL = '/'

async function keep(): Promise<void> {
  const cache = await caches.open(CACHE)
  await cache.addAll([SHELL, ...files].map((each) => new Request(each, { cache: 'reload' })))
}

async function forgetOthers(): Promise<void> {
  const names = await caches.keys()
  const old = names.filter((each) => each.startsWith(PREFIX) && each !== CACHE)
  await Promise.all(old.map((each) => caches.delete(each)))
  await self.clients.claim()
}

async function kept(request: Request | string): Promise<Response> {
  const cache = await caches.open(CACHE)
  return (await cache.match(request)) ?? fetch(request)
}

self.addEventListener('install', (event) => event.waitUntil(keep()))
self.addEventListener('activate', (event) => event.waitUntil(forgetOthers()))
self.addEventListener('message', (event) => {
  if (event.data === 'take-over') void self.skipWaiting()
})
self.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (request.method !== 'GET' || origin !== self.location.origin) return
  if (request.mode === 'navigate' && (pathname === SHELL || pathname === '/index.html')) {
    event.respondWith(kept(SHELL))
  } else if (files.includes(pathname)) {
    event.respondWith(kept(request))
  }
})
