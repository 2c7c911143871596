/**
 * One open document: its copy on this device, its connection, what is saved, and who is there.
 *
 * This puts the parts together; what each promises is said in its own file.
 */
import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { DocumentSocket, type DocumentSocketListener } from './document-socket'
import { LocalCopy, localName } from './local'
import { Presence } from './presence'
import { Cell, derived, type Readable } from './readable'
import { SavingMachine, sameSaving } from './saving'
import { Tabs } from './tabs'
import type { Tokens } from './token'
import {
  type Connection,
  Denied,
  type Identity,
  type OpenDocument,
  type Peer,
  type Role,
  type Saving,
  type Verdict,
} from './types'

const READ_ONLY = 'read-only'
/** Close code: the token is missing, bad or too old. */
const UNAUTHORIZED = 4401

export interface DocumentOptions {
  readonly name: string
  /** Of the service: `http://host:port`. */
  readonly url: string
  readonly tokens: Pick<Tokens, 'current' | 'identity' | 'onRenewed' | 'refused' | 'hurry'>
  /** Called by those who need it no more: whoever opened it counts them, and closes it. */
  readonly release: () => void
  /** Exchange edits with other tabs while the service is out of reach. */
  readonly broadcast?: boolean | undefined
  readonly WebSocket?: typeof WebSocket | undefined
  /** The window. */
  readonly page?: EventTarget | undefined
  readonly random?: (() => number) | undefined
}

/** A document, to whoever opened it. */
export interface ClosableDocument extends OpenDocument {
  close(): Promise<void>
}

export function openDocument(options: DocumentOptions): ClosableDocument {
  return new SyncedDocument(options)
}

interface Waiter {
  readonly edit: number
  resolve(): void
  reject(error: Error): void
}

class SyncedDocument implements ClosableDocument, DocumentSocketListener {
  readonly name: string
  readonly doc = new Y.Doc()
  readonly awareness = new Awareness(this.doc)
  readonly ready: Promise<void>
  readonly loaded: Readable<boolean>
  readonly saving: Readable<Saving>
  readonly access: Readable<'write' | 'read' | 'none'>

  readonly #options: DocumentOptions
  readonly #machine = new SavingMachine()
  readonly #known = new Cell<Saving>(this.#machine.saving, sameSaving)
  readonly #loaded = new Cell(false)
  readonly #stopped = new Cell(false)
  readonly #socket: DocumentSocket
  readonly #presence: Presence
  readonly #closing = new AbortController()
  #local: LocalCopy | null = null
  #tabs: Tabs | null = null
  #waiters: Waiter[] = []
  #barrierDue = false
  #readerTried = false // as a reader, after the session was stopped
  /** Made before it was known where to keep them. */
  #early: { update: Uint8Array; edit: number }[] | null = []

  constructor(options: DocumentOptions) {
    this.#options = options
    this.name = options.name
    const { tokens, page } = options
    this.loaded = this.#loaded
    this.access = derived([tokens.identity, this.#stopped], () =>
      accessOf(tokens.identity.get(), this.name, this.#stopped.get()),
    )
    this.saving = derived(
      [this.#known, this.access],
      () => withAccess(this.#known.get(), this.access.get()),
      sameSaving,
    )
    this.#presence = new Presence(this.awareness, page)
    this.#socket = new DocumentSocket({
      ...options,
      doc: this.doc,
      awareness: this.awareness,
      listener: this,
    })
    this.doc.on('update', this.#onUpdate)
    this.ready = this.#load()
  }

  get connection(): Readable<Connection> {
    return this.#socket.connection
  }

  get peers(): Readable<readonly Peer[]> {
    return this.#presence.peers
  }

  setPresence(field: string | null, selection: Peer['selection'] = null): void {
    this.#presence.at(field, selection)
  }

  saved(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ edit: this.#machine.made, resolve, reject })
      this.#settle()
    })
  }

  reconnect(): void {
    this.#readerTried = false
    this.#options.tokens.hurry()
    this.#socket.reconnect()
  }

  release(): void {
    this.#options.release()
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    this.#presence.close() // while there is a socket to say it on
    this.#socket.close()
    this.#tabs?.close()
    this.doc.off('update', this.#onUpdate)
    this.#rejectAll(new Error('The document was closed before all was saved; open it again.'))
    await this.#local?.close()
    this.awareness.destroy()
    this.doc.destroy()
  }

  // -- what this device has

  async #load(): Promise<void> {
    const { tokens, url, page } = this.#options
    this.#socketStatusToTabs()
    this.access.subscribe(this.#onAccess)
    // Without a token there is nothing to load yet, and the connection's status says why.
    if (tokens.identity.get() === null) tokens.current().catch(() => this.#socket.start())
    const identity = await known(tokens.identity, this.#closing.signal)
    if (identity === null) return
    this.#presence.introduce(identity, roleIn(identity, this.name))
    const name = localName(url, identity.subject, this.name)
    this.#local = new LocalCopy({ name, doc: this.doc, onKept: this.#onKept })
    for (const { update, edit } of this.#early ?? []) this.#local.edited(update, edit, edit)
    this.#early = null
    const kept = await this.#local.load()
    if (this.#closing.signal.aborted) return
    this.#machine.loaded(kept)
    if (this.#options.broadcast ?? true) {
      this.#tabs = new Tabs({ name, doc: this.doc, isNeeded: () => !this.#socket.isOnline })
    }
    this.#loaded.set(true)
    this.#refresh()
    this.#settle()
    page?.addEventListener('pageshow', this.#meetTabs, { signal: this.#closing.signal })
    this.#socket.start()
    this.#sendBarrierSoon() // where it was faster
  }

  #socketStatusToTabs(): void {
    let wasOnline = false
    this.connection.subscribe(() => {
      if (wasOnline && !this.#socket.isOnline) this.#meetTabs()
      wasOnline = this.#socket.isOnline
    })
  }

  /** A new token lets us write: what was dropped is sent on a new socket. */
  #onAccess = (): void => {
    if (this.access.get() === 'write' && this.#machine.isDropping) this.#socket.reconnect()
  }

  #meetTabs = (): void => this.#tabs?.meet()

  #onKept = (here: boolean): void => {
    this.#machine.kept(here)
    this.#refresh()
  }

  // -- edits

  /** Everything that does not come from the service, and was not loaded as the page began. */
  #onUpdate = (update: Uint8Array, origin: unknown): void => {
    if (origin === this.#socket.origin) return
    if (origin !== null && origin === this.#local?.origin && !this.#loaded.get()) return
    const edit = this.#machine.edited()
    if (this.#local === null) this.#early?.push({ update, edit })
    else this.#local.edited(update, edit, this.#machine.waiting)
    this.#sendBarrierSoon()
    this.#refresh()
  }

  /** After the provider has sent the edit, whose observer may come after ours; once for a turn. */
  #sendBarrierSoon(): void {
    if (this.#barrierDue) return
    this.#barrierDue = true
    queueMicrotask(() => {
      this.#barrierDue = false
      this.#sendBarrier()
    })
  }

  #sendBarrier(): void {
    const barrier = this.#machine.nextBarrier()
    if (barrier !== null) this.#socket.sendBarrier(barrier)
  }

  // -- the socket

  opened(): void {
    this.#machine.opened()
    this.#refresh()
  }

  answered(): void {
    this.#machine.answered()
    this.#sendBarrier()
    this.#refresh()
  }

  closed(): void {
    this.#machine.closed()
    this.#refresh()
  }

  dropped(reason: string): void {
    this.#machine.dropped(reason)
    this.#rejectAll(new Denied(`The service takes no edits of this document: ${reason}.`))
    this.#refresh()
  }

  echoed(barrier: number): void {
    const now = Date.now()
    const edit = this.#machine.echoed(barrier, now)
    if (edit === null) return
    this.#local?.committed(edit, this.#machine.waiting === 0 ? now : null)
    this.#sendBarrier()
    this.#refresh()
    this.#settle()
  }

  /** The service admits its writers as readers now, and closes again at an edit that brings news. */
  stopped(reason: string): boolean {
    this.#stopped.set(true)
    if (this.#readerTried) this.#machine.lacking(reason)
    if (this.#machine.waiting > 0) return false
    this.#readerTried = true
    return true
  }

  denied(verdict: Verdict): void {
    // Whoever has to sign in again has edits that wait for that; nobody refused them.
    if (verdict.code !== UNAUTHORIZED) this.#machine.refuse(verdict.reason)
    this.#rejectAll(new Denied(verdict.reason))
    this.#refresh()
  }

  isWaiting(): boolean {
    return this.#machine.waiting > 0
  }

  // -- telling

  #refresh(): void {
    if (!this.#closing.signal.aborted) this.#known.set(this.#machine.saving)
  }

  #settle(): void {
    if (!this.#loaded.get()) return
    const due = this.#waiters.filter(({ edit }) => edit <= this.#machine.committed)
    this.#waiters = this.#waiters.filter((each) => !due.includes(each))
    for (const each of due) each.resolve()
    const { status, verdict } = this.connection.get()
    if (status === 'denied') this.#rejectAll(new Denied(verdict?.reason ?? 'denied'))
  }

  #rejectAll(error: Error): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const each of waiters) each.reject(error)
  }
}

function accessOf(
  identity: Identity | null,
  name: string,
  stopped: boolean,
): 'write' | 'read' | 'none' {
  const granted = identity?.documentAccess(name) ?? 'read' // until it is known
  return stopped && granted === 'write' ? 'read' : granted
}

/** Where nobody may write, edits are refused before there are any. */
function withAccess(saving: Saving, access: 'write' | 'read' | 'none'): Saving {
  if (access === 'write' || saving.refused !== null) return saving
  return { ...saving, refused: READ_ONLY }
}

/** The role in the session that a draft belongs to: drafts are `drafts/{session}/…`. */
function roleIn(identity: Identity, document: string): Role | null {
  const [root, session] = document.split('/')
  return root === 'drafts' && session !== undefined ? identity.sessionRole(session) : null
}

/** Who one is, when it is known; null when that is of no interest any more. */
function known(identity: Readable<Identity | null>, signal: AbortSignal): Promise<Identity | null> {
  return new Promise((resolve) => {
    const look = (): void => {
      const found = identity.get()
      if (found === null && !signal.aborted) return
      stop()
      resolve(signal.aborted ? null : found)
    }
    const stop = identity.subscribe(look)
    signal.addEventListener('abort', look)
    look()
  })
}
