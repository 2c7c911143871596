// One stock client: an unmodified WebsocketProvider on its Y.Doc, with or without y-indexeddb.
import 'fake-indexeddb/auto'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { WebSocket } from 'ws'
import { IndexeddbPersistence } from 'y-indexeddb'
import { WebsocketProvider as Provider30 } from 'y-websocket-3.0'
import { WebsocketProvider as Provider31 } from 'y-websocket-3.1'
import * as Y from 'yjs'
import { apply, chance, editByChance } from './edits.mjs'
import { Failure } from './failure.mjs'
import { changed, untilTrue } from './until.mjs'
import { ROOTS, base64, root, stateOf } from './view.mjs'

const PROVIDERS = { '3.0': Provider30, '3.1': Provider31 }
const SAVED = 102
const AUTH = 2

/** Seconds on this process's clock. */
export const now = () => performance.now() / 1000

export class Client {
  /**
   * @param {{client: string, url: string, room: string, version: '3.0'|'3.1', params: object,
   *   database?: string, connect: boolean, clientID?: number, roots?: Record<string, string>}} options
   * @param {(event: object) => void} emit gets everything that happens, as it happens
   */
  constructor (options, emit) {
    this.options = options
    this.roots = options.roots ?? ROOTS
    this.emit = (event, data) => emit({ event, client: options.client, at: now(), ...data })
    this.counts = { connections: 0, received: {}, bytes: 0 }
    this.barriers = new Map()
    this.undoManager = null
  }

  /** Load the page: a new document, filled from the database if there is one, and a new provider. */
  async open (connect = this.options.connect) {
    const { clientID, database } = this.options
    this.doc = new Y.Doc()
    if (clientID !== undefined) this.doc.clientID = clientID
    for (const [name, kind] of Object.entries(this.roots)) root(this.doc, name, kind)
    this.doc.on('update', changed)
    this.doc.on('subdocs', ({ loaded }) => this.emit('subdocs', { loaded: [...loaded].map((doc) => doc.guid) }))
    this.persistence = database === undefined ? null : new IndexeddbPersistence(database, this.doc)
    await this.persistence?.whenSynced
    this.provider = this.#provider(connect)
    return { clientID: this.doc.clientID }
  }

  #provider (connect) {
    const { url, room, version, params, maxBackoffTime } = this.options
    const provider = new PROVIDERS[version](url, room, this.doc, {
      connect: false, params, maxBackoffTime, disableBc: true, WebSocketPolyfill: this.#socketClass()
    })
    provider.messageHandlers[SAVED] = (_, decoder) => this.#saved(base64(decoding.readVarUint8Array(decoder)))
    provider.messageHandlers[AUTH] = (_, decoder) => this.#auth(decoder)
    provider.on('status', ({ status }) => this.#tell('status', { status }))
    provider.on('sync', (synced) => this.#tell('sync', { synced }))
    provider.on('closed', ({ code, reason }) => this.#tell('closed', { code, reason }))
    provider.on('connection-close', (event) =>
      this.#tell('connection-close', { code: event?.code ?? null, reason: event?.reason ?? null }))
    provider.awareness.on('change', (change, origin) =>
      this.#tell('presence', { ...change, origin: typeof origin === 'string' ? origin : 'server' }))
    if (connect) provider.connect()
    return provider
  }

  // The socket of the `ws` package that also counts what passes through it.
  #socketClass () {
    const { counts } = this
    return class extends WebSocket {
      constructor (...args) {
        super(...args)
        counts.connections += 1
        this.on('message', (data) => {
          const [type] = new Uint8Array(data)
          counts.received[type] = (counts.received[type] ?? 0) + 1
          counts.bytes += data.byteLength
        })
      }
    }
  }

  #tell (event, data) {
    this.emit(event, data)
    changed()
  }

  #saved (payload) {
    this.emit('saved', { payload })
    this.barriers.get(payload)?.()
    this.barriers.delete(payload)
  }

  #auth (decoder) {
    const kind = decoding.readVarUint(decoder)
    this.#tell(kind === 0 ? 'denied' : 'auth', { kind, reason: decoding.readVarString(decoder) })
  }

  /** Reload the page: what y-indexeddb kept is all that survives. */
  async reload (connect) {
    await this.close()
    return await this.open(connect)
  }

  /** Close the page. */
  async close () {
    this.undoManager = null
    const persistence = this.persistence
    this.provider.destroy()
    this.doc.destroy()
    await persistence?.destroy()
  }

  connect () {
    this.provider.connect()
  }

  /** Say goodbye as a closing page does: a null awareness state and a close frame. */
  disconnect () {
    this.provider.disconnect()
  }

  /**
   * Lose the network: the TCP connection goes, no close frame. The provider comes back on its own
   * schedule, or, with `stay`, when told to connect.
   */
  drop (stay) {
    if (stay) this.provider.shouldConnect = false
    this.socket.terminate()
  }

  /** Stop reading the socket, as a frozen tab does, or go on. */
  pause (paused) {
    if (paused) this.socket.pause()
    else this.socket.resume()
  }

  get socket () {
    const { ws } = this.provider
    if (ws === null) throw new Failure(`${this.options.client} has no socket`)
    return ws
  }

  /** Apply edits, each in its transaction or all `together` in one. */
  edit (edits, together) {
    const all = () => edits.forEach((edit) => this.#one(edit))
    if (together) this.doc.transact(all)
    else all()
  }

  #one (edit) {
    switch (edit.do) {
      case 'track': return this.#track()
      case 'undo': return this.undoManager.undo()
      case 'redo': return this.undoManager.redo()
      default: return apply(this.doc, this.roots, edit)
    }
  }

  #track () {
    const types = Object.entries(this.roots).map(([name, kind]) => root(this.doc, name, kind))
    this.undoManager = new Y.UndoManager(types, { captureTimeout: 0 })
  }

  /** Edits by chance, the same for the same seed on the same document. */
  random (seed, count, formats) {
    const gen = chance(seed)
    for (let index = 0; index < count; index++) {
      this.doc.transact(() => editByChance(gen, this.doc, this.roots, formats))
    }
  }

  state () {
    return { ...stateOf(this.doc, this.roots), clientID: this.doc.clientID, synced: this.provider.synced }
  }

  /** Take updates into the document as if the server had sent them. */
  adopt (updates) {
    updates.forEach((update) => Y.applyUpdate(this.doc, update, this.provider))
  }

  /** Send bytes as they are, as one frame. */
  send (data) {
    this.socket.send(data)
  }

  /** Everything edited so far is on the server's disk when this resolves. */
  async saved (within) {
    const payload = base64(crypto.getRandomValues(new Uint8Array(8)))
    const sent = now()
    let echoed = false
    this.barriers.set(payload, () => { echoed = true; changed() })
    this.send(barrier(payload))
    const socket = this.socket
    await untilTrue(() => echoed || gone(this, socket), within, () => `${this.options.client}: no SAVED echo`)
    return { seconds: now() - sent }
  }
}

const gone = (client, socket) => {
  if (client.provider.ws !== socket) throw new Failure(`${client.options.client}: socket lost before the SAVED echo`)
  return false
}

const barrier = (payload) => {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, SAVED)
  encoding.writeVarUint8Array(encoder, new Uint8Array(Buffer.from(payload, 'base64')))
  return encoding.toUint8Array(encoder)
}
