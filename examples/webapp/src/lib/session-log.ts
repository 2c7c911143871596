/**
 * What is known of a session's log, without the network: the last events, and the session itself.
 *
 * Laws:
 * 1. Events are taken in the order of their offsets, each once, and there is no gap between two of
 *    them: one that is not the next is not taken.
 * 2. An epoch names a log. In another one nothing of this one counts.
 * 3. The session is never older than the events: a snapshot that contains an event is not changed
 *    by it again.
 */
import { after } from './session-state'
import type { Session, SessionEvent } from './types'

/** Events that are kept when more come; those that somebody has loaded stay as well. */
export const KEPT_EVENTS = 500

/** What a device keeps of a session. */
export interface KeptSession {
  readonly session: Session
  readonly epoch: string
  /** Of the last event that was received. */
  readonly offset: number
  readonly events: readonly SessionEvent[]
}

/** The answer to `subscribe`. */
export interface Subscribed {
  readonly epoch: string
  readonly top: number
  readonly recovered: boolean
  readonly session: Session
}

export class SessionLog {
  #session: Session | null = null
  #stale = false
  #epoch: string | null = null
  #offset: number | null = null
  #events: readonly SessionEvent[] = []
  #measuredAt = 0 // when the session's active_seconds were true; milliseconds
  #room = KEPT_EVENTS
  #floor: number | null = null // first offset that the service still has, as far as we found out
  #restarts = 0

  get session(): Session | null {
    return this.#session
  }

  /** The session comes from this device, and nobody has confirmed it yet. */
  get stale(): boolean {
    return this.#stale
  }

  get epoch(): string | null {
    return this.#epoch
  }

  /** Of the last event; null before it is known where the log stands. */
  get offset(): number | null {
    return this.#offset
  }

  get events(): readonly SessionEvent[] {
    return this.#events
  }

  /** How often the events that were here were dropped. */
  get restarts(): number {
    return this.#restarts
  }

  /** The first event that is here, or would be. */
  get first(): number {
    return this.#events[0]?.offset ?? (this.#offset ?? 0) + 1
  }

  /** There are events before those that are here. */
  get older(): boolean {
    if (this.#offset === null) return false
    return this.first > Math.max(1, this.#floor ?? 1, this.#session?.truncated_before ?? 1)
  }

  /** Events of the snapshot are still to come. */
  get behind(): boolean {
    return this.#offset !== null && this.#session !== null && this.#offset < this.#session.top
  }

  /** What this device keeps; null before there is anything. */
  get kept(): KeptSession | null {
    if (this.#session === null || this.#epoch === null || this.#offset === null) return null
    const events = this.#events.slice(-KEPT_EVENTS)
    return { session: this.#session, epoch: this.#epoch, offset: this.#offset, events }
  }

  /** Begin with what this device kept. */
  restore(kept: KeptSession, now: number): void {
    this.#session = kept.session
    this.#stale = true
    this.#epoch = kept.epoch
    this.#offset = kept.offset
    this.#events = kept.events
    this.#measuredAt = now
  }

  /** Go on from the answer to a subscription. */
  subscribed({ epoch, top, recovered, session }: Subscribed, now: number): void {
    const joins = recovered && epoch === this.#epoch && this.#offset !== null
    if (!joins) this.#restart(epoch, top)
    this.adopt(session, now)
  }

  /** Know nothing of the events any more: the next subscription is for what comes next. */
  forget(): void {
    this.#restarts += 1
    this.#epoch = null
    this.#offset = null
    this.#events = []
  }

  #restart(epoch: string, top: number): void {
    if (this.#offset !== null) this.#restarts += 1
    this.#epoch = epoch
    this.#offset = top
    this.#events = []
    this.#room = KEPT_EVENTS
    this.#floor = null
    this.#session = null
  }

  /** Take a session that the service told otherwise; false for one that is older than ours. */
  adopt(session: Session, now: number): boolean {
    const ours = this.#session
    if (this.#epoch !== null && session.epoch !== this.#epoch) return false
    if (ours !== null && !this.#stale && session.top < ours.top) return false
    this.#know(session, now)
    return true
  }

  #know(session: Session, now: number): void {
    this.#session = session
    this.#stale = false
    this.#measuredAt = now
  }

  /** Take an event. `gap`: some before it are missing. */
  take(event: SessionEvent, now: number): 'taken' | 'repeat' | 'gap' {
    if (this.#offset === null || event.offset > this.#offset + 1) return 'gap'
    if (event.offset <= this.#offset) return 'repeat'
    this.#offset = event.offset
    this.#events = [...this.#events, event].slice(-this.#room)
    this.#apply(event, now)
    return 'taken'
  }

  #apply(event: SessionEvent, now: number): void {
    const before = this.#session
    if (before === null) return
    this.#session = after(before, event, (now - this.#measuredAt) / 1_000)
    if (this.#session.state !== before.state) this.#measuredAt = now
  }

  /** Put older events before those that are here; those that do not join are left out. */
  prepend(events: readonly SessionEvent[]): void {
    const joining: SessionEvent[] = []
    for (const each of [...events].sort((a, b) => b.offset - a.offset)) {
      if (each.offset === this.first - 1 - joining.length) joining.unshift(each)
    }
    if (events.length === 0) this.#floor = this.first
    this.#room = Math.max(this.#room, this.#events.length + joining.length)
    this.#events = [...joining, ...this.#events]
  }
}
