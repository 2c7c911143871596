/**
 * The order in which events are published: what to send next, and what an answer means.
 *
 * Laws:
 * 1. An event is sent when all before it were answered for good: it is in the log, or it never will
 *    be. So what one page publishes comes into the log in the order in which it was published.
 * 2. What has no answer is sent again, under the same id: the service stores an id once.
 * 3. What is refused for good stays here to be read, and holds up nobody.
 *
 * It has no clock and no socket: who owns it asks {@link OutboxQueue.next}, sends, and tells it what
 * came of it.
 */
import type { Outgoing } from './types'

/** Events that may wait, failed ones included. */
export const MOST_WAITING = 1_000

/** Before what could not be taken now is sent again; milliseconds. */
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 30_000

/** Codes of errors that another time may not bring. */
const AGAIN = ['unavailable', 'internal']
const UNHEARD = 'not-subscribed'

/** What became of an event. */
export type Fate =
  | { readonly kind: 'published'; readonly offset: number }
  | { readonly kind: 'failed'; readonly code: string; readonly reason: string }
  /** To be asked again for {@link OutboxQueue.next} when `until` has come. */
  | { readonly kind: 'waits'; readonly until: number }

export class OutboxFull extends Error {
  override readonly name = 'OutboxFull'
  constructor() {
    super(`${MOST_WAITING} events wait on this device to be published: connect, or discard some`)
  }
}

export class OutboxQueue {
  #entries: readonly Outgoing[] = []
  #inFlight: string | null = null
  #connected = false
  #waitsUntil = 0
  #pauses = 0 // in a row
  #reserved = 0 // places of events that are being kept
  readonly #random: () => number

  constructor(random: () => number = Math.random) {
    this.#random = random
  }

  get entries(): readonly Outgoing[] {
    return this.#entries
  }

  /** Have a place for an event, which {@link add} takes. Throws {@link OutboxFull}. */
  reserve(): void {
    if (this.#entries.length + this.#reserved >= MOST_WAITING) throw new OutboxFull()
    this.#reserved += 1
  }

  /** Put an event at the end. */
  add(entry: Outgoing): void {
    this.#reserved -= 1
    this.#entries = [...this.#entries, entry]
  }

  /**
   * Put what another page left behind before what was not sent yet, in its order: it is older. The
   * bound is not for these, since they are on the device already.
   */
  adopt(entries: readonly Outgoing[]): void {
    const fresh = entries.filter((each) => !this.#has(each.id))
    const here = this.#entries
    const sent = here.findIndex((each) => each.id === this.#inFlight) + 1
    this.#entries = [...here.slice(0, sent), ...fresh, ...here.slice(sent)]
  }

  /** The service listens; nothing that was sent before will be answered. */
  connect(): void {
    this.#connected = true
    this.#inFlight = null
    this.#waitsUntil = 0
    this.#pauses = 0
  }

  disconnect(): void {
    this.#connected = false
    this.#inFlight = null
  }

  /** The event that is to be sent now, once; null: none. */
  next(now: number): Outgoing | null {
    if (!this.#connected || this.#inFlight !== null || now < this.#waitsUntil) return null
    const due = this.#entries.find((each) => each.failed === null)
    if (due === undefined) return null
    this.#inFlight = due.id
    return this.#change(due.id, { attempts: due.attempts + 1 })
  }

  /** It is in the log. null: nobody here published it. */
  published(id: string, offset: number): Fate | null {
    if (!this.#has(id)) return null
    this.#land(id)
    this.#pauses = 0
    this.#entries = this.#entries.filter((each) => each.id !== id)
    return { kind: 'published', offset }
  }

  /** The service did not take it. null: nobody here published it. */
  refused(id: string, code: string, reason: string, now: number): Fate | null {
    if (!this.#has(id)) return null
    const current = this.#inFlight === id
    this.#land(id)
    if (AGAIN.includes(code)) return this.#wait(now)
    if (code === UNHEARD) {
      if (current) this.#connected = false // until somebody says connect
      return { kind: 'waits', until: Number.POSITIVE_INFINITY }
    }
    this.#change(id, { failed: reason })
    return { kind: 'failed', code, reason }
  }

  #wait(now: number): Fate {
    const most = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this.#pauses, 16))
    this.#pauses += 1
    this.#waitsUntil = now + most * (0.5 + this.#random() / 2)
    return { kind: 'waits', until: this.#waitsUntil }
  }

  /** Forget an event; false where there is none of that id. */
  discard(id: string): boolean {
    if (!this.#has(id)) return false
    this.#land(id)
    this.#entries = this.#entries.filter((each) => each.id !== id)
    return true
  }

  #has(id: string): boolean {
    return this.#entries.some((each) => each.id === id)
  }

  #land(id: string): void {
    if (this.#inFlight === id) this.#inFlight = null
  }

  #change(id: string, change: Partial<Outgoing>): Outgoing | null {
    let changed: Outgoing | null = null
    this.#entries = this.#entries.map((each) => {
      if (each.id !== id) return each
      changed = { ...each, ...change }
      return changed
    })
    return changed
  }
}
