/**
 * What is published in one session: kept on this device first, and sent until the service has it.
 *
 * Every page has a queue of its own in the store, and holds a Web Lock for it while it lives. What
 * is left in the queue of a page that has gone is taken over by another one, whose request for that
 * lock is granted then. Where a browser has no Web Locks, a page takes over every queue it finds:
 * two may send the same events then, each in their order, and the service stores an id once.
 */
import { OutboxQueue } from './outbox-queue'
import { Cell, type Readable } from './readable'
import type { Leftover, SessionStore } from './session-store'
import type { Outgoing } from './types'
import { uuid } from './uuid'

/** Bytes of an event's data as JSON; the service takes no more. */
export const MOST_DATA = 64 * 1024

export type Locks = Pick<LockManager, 'request'>

export interface OutboxOptions {
  readonly session: string
  readonly store: SessionStore
  /** Sends a message; false where there is no connection. */
  readonly send: (message: Readonly<Record<string, unknown>>) => boolean
  readonly locks?: Locks | undefined
  readonly random?: () => number
}

/** An event was not taken: for good, by the service or already here. */
export class Refused extends Error {
  override readonly name = 'Refused'
  /** Of the service's errors: `forbidden`, `illegal-step`, `invalid-event`, `too-large`; or `discarded`. */
  readonly code: string

  constructor(code: string, reason: string) {
    super(reason)
    this.code = code
  }
}

/** The session is not followed here any more; the event is kept, and sent when it is again. */
export class Unpublished extends Error {
  override readonly name = 'Unpublished'
}

interface Waiting {
  resolve(offset: number): void
  reject(error: Error): void
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #locks: Locks | undefined
  readonly #name = uuid() // of our queue
  readonly #queue: OutboxQueue
  readonly #entries: Cell<readonly Outgoing[]>
  readonly #places = new Map<string, Leftover>()
  readonly #waiting = new Map<string, Waiting>()
  readonly #taken = new Set<string>([this.#name]) // queues that are, or will be, ours
  readonly #closing = new AbortController()
  readonly #end: Promise<void>
  readonly #ready: Promise<boolean>
  #next = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: OutboxOptions) {
    this.#options = options
    this.#locks = 'locks' in options ? options.locks : globalThis.navigator?.locks
    this.#queue = new OutboxQueue(options.random)
    this.#entries = new Cell(this.#queue.entries)
    this.#end = new Promise((resolve) => {
      this.#closing.signal.addEventListener('abort', () => resolve())
    })
    this.#ready = this.#hold(this.#name)
  }

  /** What waits, and what was refused, in order. */
  get entries(): Readable<readonly Outgoing[]> {
    return this.#entries
  }

  /** Resolves with the event's offset in the log. Rejects with Refused, OutboxFull, Unpublished. */
  publish(kind: string, data: Readonly<Record<string, unknown>>): Promise<number> {
    const published = this.#publish(kind, data)
    published.catch(() => {}) // entries tell what was refused, to those who do not wait for it
    return published
  }

  async #publish(kind: string, data: Readonly<Record<string, unknown>>): Promise<number> {
    const entry = {
      id: uuid(),
      kind,
      data: asJson(data),
      at: Date.now(),
      attempts: 0,
      failed: null,
    }
    this.#queue.reserve()
    const place = this.#next
    this.#next += 1
    const leftover = { session: this.#options.session, queue: this.#name, place, entry }
    await this.#ready // so that no other page takes it for left behind
    await this.#options.store.keep(leftover)
    const published = new Promise<number>((resolve, reject) => {
      this.#waiting.set(entry.id, { resolve, reject })
    })
    this.#places.set(entry.id, leftover)
    this.#queue.add(entry)
    if (this.#closing.signal.aborted) this.#leave()
    this.#pump()
    return await published
  }

  /** The service listens: what waits is sent, and that of pages that have gone. */
  connect(): void {
    this.#queue.connect()
    this.#pump()
    void this.adopt()
  }

  disconnect(): void {
    this.#queue.disconnect()
  }

  /** An event is in the log. It may be anybody's. */
  published(id: string, offset: number): void {
    if (this.#queue.published(id, offset) === null) return
    this.#forget(id)?.resolve(offset)
    this.#pump()
  }

  /** The service did not take an event. */
  refused(id: string, code: string, reason: string): void {
    const fate = this.#queue.refused(id, code, reason, Date.now())
    if (fate?.kind === 'failed') this.#fail(id, new Refused(code, reason))
    if (fate?.kind === 'waits') this.#pumpAt(fate.until)
    this.#pump()
  }

  #fail(id: string, error: Refused): void {
    const leftover = this.#places.get(id)
    const entry = this.#queue.entries.find((each) => each.id === id)
    if (leftover !== undefined && entry !== undefined) {
      void this.#options.store.keep({ ...leftover, entry })
    }
    this.#waiting.get(id)?.reject(error)
    this.#waiting.delete(id)
  }

  /** Forget an event. One that was sent may be in the log all the same. */
  discard(id: string): void {
    if (!this.#queue.discard(id)) return
    this.#forget(id)?.reject(new Refused('discarded', 'it was discarded before it was sent'))
    this.#pump()
  }

  #forget(id: string): Waiting | undefined {
    const leftover = this.#places.get(id)
    if (leftover !== undefined) void this.#options.store.remove(leftover)
    this.#places.delete(id)
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  /** Look for what other pages left behind, and take it over as they go. */
  async adopt(): Promise<void> {
    await this.#ready
    const found = await this.#options.store.leftovers(this.#options.session)
    const queues = new Set(found.map((each) => each.queue))
    for (const queue of [...queues].filter((each) => !this.#taken.has(each))) {
      this.#taken.add(queue)
      void this.#takeOver(queue)
    }
  }

  async #takeOver(queue: string): Promise<void> {
    if (!(await this.#hold(queue))) return
    const found = await this.#options.store.leftovers(this.#options.session)
    const left = found.filter((each) => each.queue === queue).sort((a, b) => a.place - b.place)
    for (const each of left) this.#places.set(each.entry.id, each)
    this.#queue.adopt(left.map((each) => each.entry))
    this.#pump()
  }

  /** Wait until a queue is ours, and keep it until we close; false when we closed before. */
  #hold(queue: string): Promise<boolean> {
    const locks = this.#locks
    if (locks === undefined) return Promise.resolve(true)
    const name = `${this.#options.store.name}/${this.#options.session}/${queue}`
    const { signal } = this.#closing
    return new Promise((resolve) => {
      const held = locks.request(name, { signal }, () => {
        resolve(true)
        return this.#end
      })
      held.catch(() => resolve(!signal.aborted)) // a page that may have no locks goes without
    })
  }

  #pump(): void {
    const due = this.#queue.next(Date.now())
    if (due !== null) {
      const { id, kind, data } = due
      if (!this.#options.send({ type: 'publish', id, kind, data })) this.#queue.disconnect()
    }
    this.#entries.set(this.#queue.entries)
  }

  #pumpAt(time: number): void {
    clearTimeout(this.#timer)
    if (Number.isFinite(time)) this.#timer = setTimeout(() => this.#pump(), time - Date.now())
  }

  /** Leave what waits to the next page. */
  close(): void {
    clearTimeout(this.#timer)
    this.#queue.disconnect()
    this.#closing.abort()
    this.#leave()
  }

  #leave(): void {
    const reason =
      'this session is left; the event is kept on this device, and sent from the next page'
    for (const each of this.#waiting.values()) each.reject(new Unpublished(reason))
    this.#waiting.clear()
  }
}

/** The data as the service will read it. */
function asJson(data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const text = JSON.stringify(data)
  const size = new TextEncoder().encode(text).length
  if (size > MOST_DATA) {
    const most = `an event has at most ${MOST_DATA} bytes of data as JSON`
    throw new Refused('too-large', `${most}, and this one has ${size}: make it shorter`)
  }
  return JSON.parse(text)
}
