/**
 * Asking again and again: only while the tab is seen, and ever more rarely while the service is
 * away, which the page says.
 */

import { Away } from './api.js'

const LONGEST_SECONDS = 15

/** Whether the service answers: `away` is null, or since when, why, and when it is asked again. */
export const health = new EventTarget()
health.away = null

const away = new Map() // by what is done again and again: why it cannot, and when it is tried again

function report(what, trouble) {
  const before = health.away
  if (trouble) away.set(what, trouble)
  else away.delete(what)
  const [next] = [...away.values()].sort((one, other) => one.next - other.next)
  health.away = next ? { since: before?.since ?? Date.now(), ...next } : null
  if (before || next) health.dispatchEvent(new Event('change'))
}

const impatient = new EventTarget()
/** Whatever waits for the service asks at once. */
export const tryNow = () => impatient.dispatchEvent(new Event('now'))

/**
 * Do `work` now, and `seconds` after each time that it was done, until the signal ends it. `work` is
 * given the signal; errors of its own are its affair, but for Away.
 */
export async function every(seconds, work, signal) {
  let failed = 0
  signal.addEventListener('abort', () => report(work, null), { once: true })
  while (!signal.aborted) {
    let wait = seconds
    await seen(signal)
    if (signal.aborted) return
    try {
      await work(signal)
      if (failed) report(work, null)
      failed = 0
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof Away)) throw error
      failed += 1
      wait = Math.min(LONGEST_SECONDS, Math.max(1, seconds) * 2 ** Math.min(failed - 1, 4))
      report(work, { why: error.message, next: Date.now() + wait * 1_000 })
    }
    await pause(wait * 1_000, signal)
  }
}

/** Do `work` now, and while the service is away again and again until it is done. */
export function once(work, signal) {
  const done = new AbortController()
  const either = AbortSignal.any([signal, done.signal])
  return every(1, async () => {
    await work()
    done.abort()
  }, either)
}

/**
 * A function that does `work` as `once` does; called while that goes on, it is done once more after
 * it. Never twice at the same time, nor within so many seconds.
 */
export function again(seconds, work, signal) {
  let wanted = false
  let working = false
  return async () => {
    wanted = true
    if (working) return
    working = true
    while (wanted && !signal.aborted) {
      wanted = false
      await once(work, signal)
      await pause(seconds * 1_000, signal)
    }
    working = false
  }
}

/** Wait until somebody looks at the tab. */
function seen(signal) {
  if (!document.hidden) return Promise.resolve()
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return
      document.removeEventListener('visibilitychange', look)
      signal.removeEventListener('abort', look)
      resolve()
    }
    document.addEventListener('visibilitychange', look)
    signal.addEventListener('abort', look)
  })
}

/** Wait so many milliseconds, or until somebody is impatient. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      impatient.removeEventListener('now', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    impatient.addEventListener('now', done)
    signal.addEventListener('abort', done)
  })
}
