/** Let the page open without a network. */

/**
 * Register the service worker of this build.
 *
 * `onUpdate` is called when a newer build is ready, with what takes it into use: the page reloads.
 * Rejects never: without a service worker everything works, but for opening the page offline.
 */
export async function registerServiceWorker(onUpdate: (apply: () => void) => void): Promise<void> {
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return
  try {
    const registration = await navigator.serviceWorker.register('/sw.js')
    const offer = (worker: ServiceWorker) => onUpdate(() => takeOver(worker))
    if (registration.waiting !== null && registration.active !== null) offer(registration.waiting)
    registration.addEventListener('updatefound', () => {
      const worker = registration.installing
      worker?.addEventListener('statechange', () => {
        if (worker.state === 'installed' && registration.active !== null) offer(worker)
      })
    })
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') registration.update().catch(offline)
    })
  } catch {
    // Not a secure context, or storage is refused: the page says what else it cannot keep.
  }
}

function takeOver(worker: ServiceWorker): void {
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), {
    once: true,
  })
  worker.postMessage('take-over')
}

/** Whether there is a newer build will be asked again when the page is looked at next. */
function offline(): void {}
