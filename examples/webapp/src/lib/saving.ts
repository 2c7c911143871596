/**
 * What is known about the edits made here: a machine without sockets, timers or disks.
 *
 * Events go in, and a barrier (message 102) comes out that is to be sent. Laws:
 *
 * 1. An edit is whatever changed the document and did not come from the service. It waits until the
 *    echo of a barrier that was sent after it, on the same socket, says that it is on disk.
 * 2. A barrier is sent only when this device's copy is in the document, and where the service's step1
 *    has been answered: before that, edits made offline were not sent, and no echo speaks for them.
 * 3. At most one barrier is under way. Its echo sends the next one when edits came after it.
 * 4. A socket that closes takes its barrier with it; the edits wait.
 * 5. Where the service said that it takes no edits, no echo counts on that socket: it drops them, and
 *    echoes a barrier all the same.
 */
import type { Saving } from './types'

/** What this device had kept of the document. */
export interface Kept {
  /** Edits that were waiting when it was closed. */
  readonly waiting: number
  readonly savedAt: number | null
}

interface Barrier {
  readonly id: number
  /** The last edit before it. */
  readonly covers: number
}

export class SavingMachine {
  #loaded = false
  #keptHere = true
  #savedAt: number | null = null
  #made = 0 // edits, which are numbered from one
  #committed = 0 // the last one that is on the service's disk
  #phase: 'closed' | 'open' | 'ready' = 'closed'
  #barrier: Barrier | null = null
  #barriers = 0
  #greeted = false // a barrier was sent on this socket
  #denied = false // edits are dropped on this socket
  #refused: string | null = null

  /** What this device kept is in the document; null: it keeps nothing. */
  loaded(kept: Kept | null): void {
    this.#loaded = true
    this.#made += kept?.waiting ?? 0
    this.#savedAt = later(this.#savedAt, kept?.savedAt ?? null)
  }

  /** Whether edits can be kept on this device. */
  kept(here: boolean): void {
    this.#keptHere = here
  }

  /** An edit was made, and sent where there is a socket. Gives its number. */
  edited(): number {
    this.#made += 1
    return this.#made
  }

  /** A new socket: nothing was sent on it yet. */
  opened(): void {
    this.closed()
    this.#phase = 'open'
  }

  /** The service's step1 was answered on this socket: it was sent all that it lacked. */
  answered(): void {
    if (this.#phase === 'open') this.#phase = 'ready'
  }

  closed(): void {
    this.#phase = 'closed'
    this.#barrier = null
    this.#greeted = false
    this.#denied = false
  }

  /** The service dropped edits, and goes on dropping those of this socket. */
  dropped(reason: string): void {
    if (this.#phase === 'closed') return
    this.#denied = true
    this.#barrier = null
    this.lacking(reason)
  }

  /** The service takes no edits for now, as its verdict says. */
  refuse(reason: string): void {
    this.#refused = reason
  }

  /** The service lacks something that is here, and does not take it. */
  lacking(reason: string): void {
    this.#refused = reason
    if (this.waiting === 0) this.#made += 1 // not known of until now: it was not saved after all
  }

  /** The barrier that is to be sent now, after everything else; null: none. */
  nextBarrier(): number | null {
    if (!this.#loaded || this.#phase !== 'ready') return null
    if (this.#denied || this.#barrier !== null) return null
    if (this.waiting === 0 && this.#greeted) return null
    this.#greeted = true
    this.#barriers += 1
    this.#barrier = { id: this.#barriers, covers: this.#made }
    return this.#barrier.id
  }

  /** A barrier came back. Gives the number of the last edit that it covers; null: it says nothing. */
  echoed(id: number, now: number): number | null {
    const barrier = this.#barrier
    if (barrier?.id !== id) return null
    this.#barrier = null
    this.#committed = barrier.covers
    if (this.waiting > 0) return barrier.covers
    this.#savedAt = now
    this.#refused = null
    return barrier.covers
  }

  /** The number of the last edit. */
  get made(): number {
    return this.#made
  }

  /** The number of the last edit that is on the service's disk. */
  get committed(): number {
    return this.#committed
  }

  /** How many edits wait. */
  get waiting(): number {
    return this.#made - this.#committed
  }

  /** Edits are dropped on this socket, whatever rights there are by now. */
  get isDropping(): boolean {
    return this.#denied
  }

  get saving(): Saving {
    return {
      state: this.#state,
      waiting: this.waiting,
      savedAt: this.#savedAt,
      keptHere: this.#keptHere,
      refused: this.#refused,
    }
  }

  get #state(): Saving['state'] {
    if (!this.#loaded) return 'loading'
    if (this.waiting === 0) return 'saved'
    return this.#phase === 'ready' && !this.#denied ? 'saving' : 'unsaved'
  }
}

export function sameSaving(a: Saving, b: Saving): boolean {
  return (
    a.state === b.state &&
    a.waiting === b.waiting &&
    a.savedAt === b.savedAt &&
    a.keptHere === b.keptHere &&
    a.refused === b.refused
  )
}

function later(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b)
}
