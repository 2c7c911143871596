/**
 * What this device keeps of sessions, for one person and one service: the last word on a session,
 * its last events, and what was published and is not in the log yet.
 *
 * IndexedDB; where there is none, and while it fails, the page's own memory. Nothing here rejects:
 * a page that cannot keep something works on.
 */
import { KEPT_EVENTS, type KeptSession } from './session-log'
import type { Outgoing, Session, SessionEvent } from './types'

/** An event that waits on this device. */
export interface Leftover {
  readonly session: string
  /** Which page published it: its order counts within that. */
  readonly queue: string
  readonly place: number
  readonly entry: Outgoing
}

type Place = Pick<Leftover, 'session' | 'queue' | 'place'>

export interface SessionStore {
  /** Names what it keeps, for locks: the same for all pages of one person and service. */
  readonly name: string
  /** It outlives the page. */
  readonly durable: boolean
  load(id: string): Promise<KeptSession | null>
  /** Resolves when it is kept. */
  save(id: string, kept: KeptSession): Promise<void>
  /** What waits to be published in a session, each page's in its order. */
  leftovers(id: string): Promise<readonly Leftover[]>
  keep(leftover: Leftover): Promise<void>
  remove(place: Place): Promise<void>
  close(): void
}

const VERSION = 1
/** Some browsers never answer (private windows, a profile that is locked). */
const OPENING_MS = 3_000
/** After that a session that nobody opened is forgotten. */
const KEPT_MS = 60 * 24 * 3_600_000

/** Open what this device keeps. */
export async function openSessionStore(
  url: string,
  subject: string,
  factory: IDBFactory | undefined = globalThis.indexedDB,
): Promise<SessionStore> {
  const name = `draftsync/sessions/${url}/${subject}`
  const memory = new MemoryStore(name)
  try {
    if (factory === undefined) return memory
    return new DegradingStore(new DatabaseStore(name, await opened(factory, name)), memory)
  } catch {
    return memory // no database: what is asked for was never kept
  }
}

// -- memory

class MemoryStore implements SessionStore {
  readonly name: string
  readonly durable = false
  readonly #kept = new Map<string, KeptSession>()
  #leftovers: readonly Leftover[] = []

  constructor(name: string) {
    this.name = name
  }

  async load(id: string): Promise<KeptSession | null> {
    return this.#kept.get(id) ?? null
  }

  async save(id: string, kept: KeptSession): Promise<void> {
    this.#kept.set(id, kept)
  }

  async leftovers(id: string): Promise<readonly Leftover[]> {
    return this.#leftovers.filter((each) => each.session === id)
  }

  async keep(leftover: Leftover): Promise<void> {
    this.#leftovers = [...this.#leftovers.filter((each) => !same(each, leftover)), leftover]
  }

  async remove(place: Place): Promise<void> {
    this.#leftovers = this.#leftovers.filter((each) => !same(each, place))
  }

  async forgetOld(): Promise<void> {}

  close(): void {}
}

const same = (a: Place, b: Place): boolean =>
  a.session === b.session && a.queue === b.queue && a.place === b.place

// -- IndexedDB

interface SessionRecord {
  readonly id: string
  readonly session: Session
  readonly epoch: string
  readonly offset: number
  readonly at: number
}

interface EventRecord extends SessionEvent {
  readonly session: string
  readonly epoch: string
}

/** What was written of a session's events. */
interface Written {
  readonly epoch: string
  readonly first: number
  readonly last: number
}

/** Keeps in IndexedDB; rejects as that does. */
class DatabaseStore {
  readonly name: string
  readonly #database: IDBDatabase
  readonly #written = new Map<string, Written>()

  constructor(name: string, database: IDBDatabase) {
    this.name = name
    this.#database = database
    database.onversionchange = () => database.close() // a newer page needs it
  }

  async load(id: string): Promise<KeptSession | null> {
    const transaction = this.#database.transaction(['sessions', 'events'])
    const record = await answer<SessionRecord | undefined>(
      transaction.objectStore('sessions').get(id),
    )
    if (record === undefined) return null
    const { session, epoch, offset } = record
    const upTo = IDBKeyRange.bound([id, epoch, 0], [id, epoch, offset])
    const found = await answer<EventRecord[]>(transaction.objectStore('events').getAll(upTo))
    const events = joined(found, offset)
    const first = events[0]?.offset ?? offset + 1
    this.#written.set(id, { epoch, first, last: offset })
    return { session, epoch, offset, events }
  }

  /** Only what is new is written; another page of the same person may be ahead, and stays so. */
  async save(id: string, kept: KeptSession): Promise<void> {
    const { session, epoch, offset } = kept
    const transaction = this.#database.transaction(['sessions', 'events'], 'readwrite')
    const sessions = transaction.objectStore('sessions')
    const events = transaction.objectStore('events')
    const there = await answer<SessionRecord | undefined>(sessions.get(id))
    if (there === undefined || there.epoch !== epoch || there.offset <= offset) {
      sessions.put({ id, session, epoch, offset, at: Date.now() } satisfies SessionRecord)
    }
    for (const each of this.#unwritten(id, kept)) {
      events.put({ ...each, session: id, epoch } satisfies EventRecord)
    }
    for (const range of others(id, epoch, offset - KEPT_EVENTS)) events.delete(range)
    await done(transaction)
    const first = kept.events[0]?.offset ?? offset + 1
    this.#written.set(id, { epoch, first, last: offset })
  }

  #unwritten(id: string, { epoch, events }: KeptSession): readonly SessionEvent[] {
    const written = this.#written.get(id)
    if (written === undefined || written.epoch !== epoch) return events
    return events.filter((each) => each.offset < written.first || each.offset > written.last)
  }

  async leftovers(id: string): Promise<readonly Leftover[]> {
    const store = this.#database.transaction('outbox').objectStore('outbox')
    return await answer<Leftover[]>(store.getAll(IDBKeyRange.bound([id], [id, []])))
  }

  async keep(leftover: Leftover): Promise<void> {
    const transaction = this.#database.transaction('outbox', 'readwrite')
    transaction.objectStore('outbox').put(leftover)
    await done(transaction)
  }

  async remove({ session, queue, place }: Place): Promise<void> {
    const transaction = this.#database.transaction('outbox', 'readwrite')
    transaction.objectStore('outbox').delete([session, queue, place])
    await done(transaction)
  }

  /** Forget sessions that nobody has opened for long. */
  async forgetOld(): Promise<void> {
    const transaction = this.#database.transaction(['sessions', 'events'], 'readwrite')
    const records = await answer<SessionRecord[]>(transaction.objectStore('sessions').getAll())
    for (const { id, at } of records) {
      if (at > Date.now() - KEPT_MS) continue
      transaction.objectStore('sessions').delete(id)
      transaction.objectStore('events').delete(IDBKeyRange.bound([id], [id, []]))
    }
    await done(transaction)
  }

  close(): void {
    this.#database.close()
  }
}

/** The events that lead up to an offset without a gap. */
function joined(records: readonly EventRecord[], offset: number): readonly SessionEvent[] {
  const events: SessionEvent[] = []
  for (const { session: _, epoch: __, ...event } of [...records].reverse()) {
    if (event.offset === offset - events.length) events.push(event)
  }
  return events.reverse()
}

/** Everything of a session but one epoch's events behind an offset. */
function others(id: string, epoch: string, offset: number): readonly IDBKeyRange[] {
  return [
    IDBKeyRange.bound([id], [id, epoch, Math.max(0, offset)]),
    IDBKeyRange.bound([id, epoch, []], [id, []]),
  ]
}

function opened(factory: IDBFactory, name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, VERSION)
    const late = setTimeout(() => reject(new Error(`${name} did not open`)), OPENING_MS)
    request.onupgradeneeded = () => {
      request.result.createObjectStore('sessions', { keyPath: 'id' })
      request.result.createObjectStore('events', { keyPath: ['session', 'epoch', 'offset'] })
      request.result.createObjectStore('outbox', { keyPath: ['session', 'queue', 'place'] })
    }
    request.onsuccess = () => {
      clearTimeout(late)
      resolve(request.result)
    }
    request.onerror = () => {
      clearTimeout(late)
      reject(request.error)
    }
  })
}

function answer<T>(request: IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result as T)
    request.onerror = () => reject(request.error)
  })
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error)
  })
}

// -- both

/** The database; for what that cannot do now, the page's memory. */
class DegradingStore implements SessionStore {
  readonly name: string
  #durable = true
  readonly #database: DatabaseStore
  readonly #memory: MemoryStore

  constructor(database: DatabaseStore, memory: MemoryStore) {
    this.name = database.name
    this.#database = database
    this.#memory = memory
    void this.#either((store) => store.forgetOld())
  }

  get durable(): boolean {
    return this.#durable
  }

  load(id: string): Promise<KeptSession | null> {
    return this.#either((store) => store.load(id))
  }

  save(id: string, kept: KeptSession): Promise<void> {
    return this.#either((store) => store.save(id, kept))
  }

  async leftovers(id: string): Promise<readonly Leftover[]> {
    const here = await this.#memory.leftovers(id)
    const kept = await this.#either((store) => store.leftovers(id))
    return [...kept.filter((each) => !here.some((other) => same(each, other))), ...here]
  }

  keep(leftover: Leftover): Promise<void> {
    return this.#either((store) => store.keep(leftover))
  }

  async remove(place: Place): Promise<void> {
    await this.#memory.remove(place)
    await this.#either((store) => store.remove(place))
  }

  close(): void {
    this.#database.close()
  }

  async #either<T>(use: (store: DatabaseStore | MemoryStore) => Promise<T>): Promise<T> {
    try {
      const result = await use(this.#database)
      this.#durable = true
      return result
    } catch {
      this.#durable = false
      return await use(this.#memory)
    }
  }
}
