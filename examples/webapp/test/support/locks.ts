/** Web Locks of one browser, in memory: exclusive, granted in the order in which they were asked. */
export class FakeLocks {
  readonly #last = new Map<string, Promise<unknown>>()

  request = async (
    name: string,
    { signal }: { signal?: AbortSignal },
    callback: (lock: Lock | null) => unknown,
  ): Promise<unknown> => {
    const before = this.#last.get(name) ?? Promise.resolve()
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
    })
    const granted = Promise.race([before, aborted])
    const held = granted.then(() => callback({ name, mode: 'exclusive' }))
    this.#last.set(
      name,
      before.then(() => held.catch(() => {})),
    )
    return held
  }
}
