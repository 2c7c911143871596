/**
 * What this device keeps of a document: y-indexeddb's copy, and which of it still waits.
 *
 * A deletion does not change a state vector, so what the service lacks cannot be told from the copy.
 * Therefore every page keeps a *mark* beside it: the number of its last edit that waits. Laws:
 *
 * 1. A mark is written in one transaction with its edit: no crash leaves an edit unmarked, and whoever
 *    reads a mark, and the updates after that, has the edits that it stands for.
 * 2. A page clears its own mark when a barrier covered the edit that the mark names, and not when it
 *    names a later one by then.
 * 3. A page clears a mark that it found at its start, whosever it is, when a barrier covered what it
 *    had loaded, and the mark is still the same: the barrier spoke for those edits too.
 *
 * (y-indexeddb writes each edit once more, in a transaction of its own that comes later; it removes
 * both when it compacts.) The databases are y-indexeddb's, with its stores.
 */
import * as idb from 'lib0/indexeddb'
import { IndexeddbPersistence } from 'y-indexeddb'
import * as Y from 'yjs'
import type { Kept } from './saving'
import { uuid } from './uuid'

const UPDATES = 'updates'
const CUSTOM = 'custom'
const MARKS = 'draftsync/waiting/'
const SAVED_AT = 'draftsync/saved-at'
/** A database that does not open by then is gone without. Milliseconds. */
const OPENING = 5_000

interface Mark {
  /** Of the last edit, by its page's count. */
  readonly edit: number
  /** How many waited. */
  readonly waiting: number
}

export interface LocalOptions {
  /** Of the database. */
  readonly name: string
  readonly doc: Y.Doc
  /** Called when edits can be kept no more, or can be again. */
  readonly onKept: (here: boolean) => void
}

/** Where a document is kept: per service, subject and document, so that people never mix. */
export function localName(url: string, subject: string, document: string): string {
  return `draftsync ${JSON.stringify([url, subject, document])}`
}

export class LocalCopy {
  readonly #options: LocalOptions
  readonly #page = uuid()
  readonly #found = new Map<string, Mark>()
  #db: IDBDatabase | null = null
  #copy: IndexeddbPersistence | null = null
  #held: { update: Uint8Array; mark: Mark }[] | null = [] // until the database is open
  #incomplete = false // an edit was not kept
  #closed = false

  constructor(options: LocalOptions) {
    this.#options = options
  }

  /** Whose updates to the document are loads, and not edits. */
  get origin(): object | null {
    return this.#copy
  }

  /** Bring what is kept into the document. null: nothing can be kept. */
  async load(): Promise<Kept | null> {
    try {
      this.#db = await within(OPENING, this.#openDatabase())
      if (this.#closed) return null
      const kept = await this.#readMarks(this.#db)
      if (this.#closed) return null
      this.#copy = new IndexeddbPersistence(this.#options.name, this.#options.doc)
      await within(OPENING, this.#copy.whenSynced)
      this.#flush()
      return kept
    } catch {
      this.#held = null
      this.#found.clear() // their edits may be missing here: no barrier of ours speaks for them
      this.#fail()
      return null
    }
  }

  /** Keep an edit, and that it waits. */
  edited(update: Uint8Array, edit: number, waiting: number): void {
    const mark: Mark = { edit, waiting }
    if (this.#db !== null && this.#held === null) this.#write(this.#db, [update], mark)
    else this.#held?.push({ update, mark })
  }

  /**
   * A barrier covered everything up to this edit; `savedAt`: and nothing came after it.
   *
   * It covered what was loaded too: none is sent before that (see `saving.ts`).
   */
  committed(edit: number, savedAt: number | null): void {
    if (this.#db === null || this.#closed) return
    try {
      const custom = this.#db.transaction(CUSTOM, 'readwrite').objectStore(CUSTOM)
      if (savedAt !== null) custom.put(savedAt, SAVED_AT)
      clear(custom, MARKS + this.#page, (mark) => mark.edit <= edit)
      for (const [key, found] of this.#found) clear(custom, key, (mark) => same(mark, found))
      this.#found.clear()
    } catch {
      // The marks stay: what they stand for is sent once more, which changes nothing.
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#copy?.destroy()
    this.#db?.close() // once its transactions are done
  }

  async #openDatabase(): Promise<IDBDatabase> {
    const db: IDBDatabase = await idb.openDB(this.#options.name, (made) =>
      idb.createStores(made, [[UPDATES, { autoIncrement: true }], [CUSTOM]]),
    )
    db.onversionchange = () => db.close() // somebody deletes it
    if (this.#closed) db.close()
    return db
  }

  async #readMarks(db: IDBDatabase): Promise<Kept> {
    const custom = db.transaction(CUSTOM, 'readonly').objectStore(CUSTOM)
    const range = IDBKeyRange.bound(MARKS, `${MARKS}\uffff`)
    const keys = idb.rtop(custom.getAllKeys(range))
    const marks = idb.rtop(custom.getAll(range))
    const savedAt = await idb.rtop(custom.get(SAVED_AT))
    const values: Mark[] = await marks
    for (const [n, key] of (await keys).entries()) this.#found.set(`${key}`, values[n] as Mark)
    const waiting = values.reduce((sum, mark) => sum + mark.waiting, 0)
    return { waiting, savedAt: savedAt ?? null }
  }

  #flush(): void {
    const held = this.#held ?? []
    this.#held = null
    const last = held.at(-1)
    if (this.#db === null || last === undefined) return
    this.#write(
      this.#db,
      held.map(({ update }) => update),
      last.mark,
    )
  }

  #write(db: IDBDatabase, updates: readonly Uint8Array[], mark: Mark): void {
    const all = this.#incomplete ? [Y.encodeStateAsUpdate(this.#options.doc)] : updates
    try {
      const transaction = db.transaction([UPDATES, CUSTOM], 'readwrite')
      transaction.onabort = () => this.#fail()
      transaction.oncomplete = () => this.#succeed()
      for (const update of all) transaction.objectStore(UPDATES).add(update)
      transaction.objectStore(CUSTOM).put(mark, MARKS + this.#page)
    } catch {
      this.#fail()
    }
  }

  #fail(): void {
    this.#incomplete = true
    this.#options.onKept(false)
  }

  /** What was not kept before is kept now: after a failure all of the document is written. */
  #succeed(): void {
    if (!this.#incomplete) return
    this.#incomplete = false
    this.#options.onKept(true)
  }
}

function clear(store: IDBObjectStore, key: string, which: (mark: Mark) => boolean): void {
  const request: IDBRequest<Mark | undefined> = store.get(key)
  request.onsuccess = () => {
    if (request.result !== undefined && which(request.result)) store.delete(key)
  }
}

function same(a: Mark, b: Mark): boolean {
  return a.edit === b.edit && a.waiting === b.waiting
}

/** Rejects when a promise takes longer. */
function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new Error('The database did not answer in time.'))
    const timer = setTimeout(late, milliseconds)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
