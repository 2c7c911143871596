/**
 * What is opened by name, and stays open for as long as anybody uses it.
 *
 * The last release closes it only a moment later, so that a page that is left for another one that
 * uses the same, or an effect that React runs twice, does not cost a connection.
 */
export class Shared<T> {
  readonly #open: (name: string) => T
  readonly #close: (value: T) => void
  readonly #linger: number
  readonly #held = new Map<string, { value: T; holders: number; timer?: Timer }>()

  constructor(open: (name: string) => T, close: (value: T) => void, linger = 1_000) {
    this.#open = open
    this.#close = close
    this.#linger = linger
  }

  /** The one that is open, or a new one. Each call needs its {@link release}. */
  acquire(name: string): T {
    const held = this.#held.get(name)
    if (held === undefined) {
      const value = this.#open(name)
      this.#held.set(name, { value, holders: 1 })
      return value
    }
    clearTimeout(held.timer)
    held.holders += 1
    return held.value
  }

  release(name: string): void {
    const held = this.#held.get(name)
    if (held === undefined || held.holders === 0) return
    held.holders -= 1
    if (held.holders === 0) held.timer = setTimeout(() => this.#end(name), this.#linger)
  }

  /** Close everything now, whoever holds it. */
  closeAll(): void {
    for (const name of [...this.#held.keys()]) this.#end(name)
  }

  #end(name: string): void {
    const held = this.#held.get(name)
    if (held === undefined) return
    clearTimeout(held.timer)
    this.#held.delete(name)
    this.#close(held.value)
  }
}

type Timer = ReturnType<typeof setTimeout>
