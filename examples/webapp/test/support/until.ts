import type { Doc } from 'yjs'

import type { Readable } from '../../src/lib/readable'

/** Resolves when a value is as it should be; says what it was when it is not in time. */
export function until<T>(
  readable: Readable<T>,
  holds: (value: T) => boolean,
  milliseconds = 10_000,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => {
      stop()
      reject(new Error(`waited in vain; at last it was ${JSON.stringify(readable.get())}`))
    }
    const timer = setTimeout(late, milliseconds)
    const look = (): void => {
      if (!holds(readable.get())) return
      clearTimeout(timer)
      stop()
      resolve(readable.get())
    }
    const stop = readable.subscribe(look)
    look()
  })
}

/** A document, looked at whenever an update comes. */
export function held(doc: Doc): Readable<Doc> {
  return {
    get: () => doc,
    subscribe: (listener) => {
      doc.on('update', listener)
      return () => doc.off('update', listener)
    },
  }
}
