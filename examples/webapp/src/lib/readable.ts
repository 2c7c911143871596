/**
 * A value that changes, and says when: the shape that React's `useSyncExternalStore` asks for.
 *
 * `get` gives the same object until something changed, so that what depends on it can compare by
 * identity; a listener is called after a change, without arguments, and never while it is made.
 */
export interface Readable<T> {
  get(): T
  subscribe(listener: () => void): () => void
}

/** A readable value of our own, set from one place. */
export class Cell<T> implements Readable<T> {
  #value: T
  readonly #equal: (a: T, b: T) => boolean
  readonly #listeners = new Set<() => void>()

  constructor(value: T, equal: (a: T, b: T) => boolean = Object.is) {
    this.#value = value
    this.#equal = equal
  }

  get = (): T => this.#value

  set(value: T): void {
    if (this.#equal(this.#value, value)) return
    this.#value = value
    for (const listener of [...this.#listeners]) listener()
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** How many listen. */
  get listeners(): number {
    return this.#listeners.size
  }
}

/** What is made of other readable values; made again only when it is asked for and one changed. */
export function derived<T>(
  sources: readonly Readable<unknown>[],
  make: () => T,
  equal: (a: T, b: T) => boolean = Object.is,
): Readable<T> {
  let seen: readonly unknown[] | undefined
  let value: T
  const get = (): T => {
    const now = sources.map((each) => each.get())
    if (seen === undefined || now.some((each, n) => each !== seen?.[n])) {
      const made = make()
      if (seen === undefined || !equal(value, made)) value = made
      seen = now
    }
    return value
  }
  const subscribe = (listener: () => void): (() => void) => {
    const stops = sources.map((each) => each.subscribe(listener))
    return () => {
      for (const stop of stops) stop()
    }
  }
  return { get, subscribe }
}
