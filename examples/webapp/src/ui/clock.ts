/** The time, as something that components follow: one timer for all, and none when nobody looks. */

import { useSyncExternalStore } from 'react'
import type { Readable } from '../lib/readable'

export interface Clock extends Readable<number> {}

/** A clock that tells the time anew every so many milliseconds, while somebody listens. */
export function ticking(period: number): Clock {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setInterval> | undefined
  let now = Date.now()
  const tick = () => {
    now = Date.now()
    for (const listener of [...listeners]) listener()
  }
  return {
    get: () => {
      // Nobody listened meanwhile, or the machine slept: what a timer said last is no longer true.
      if (Math.abs(Date.now() - now) >= period) now = Date.now()
      return now
    },
    subscribe: (listener) => {
      listeners.add(listener)
      timer ??= setInterval(tick, period)
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        clearInterval(timer)
        timer = undefined
      }
    },
  }
}

export const seconds = ticking(1_000)

/** The time, each second. */
export function useSeconds(): number {
  return useSyncExternalStore(seconds.subscribe, seconds.get, seconds.get)
}
