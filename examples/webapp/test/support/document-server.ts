/**
 * A document service in memory that speaks the real protocol, with a disk that a test writes.
 *
 * It is honest as the real one: a barrier comes back when what was sent before it is on disk, or was
 * dropped. A crash forgets what is not on disk.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as sync from 'y-protocols/sync'
import * as Y from 'yjs'

export type Admission = 'write' | 'read' | 'sealed' | { code: number; reason: string }

type Write = (encoder: encoding.Encoder) => void

export class DocumentServer {
  memory = new Y.Doc()
  disk = new Y.Doc()
  /** false: {@link commit} does it. */
  commits = true
  /** Frames that the service is sent come to nothing, and it sends none: a cable that is cut. */
  isCut = false
  /** Nobody can connect. */
  isDown = false
  /** false: it asks for what clients have when {@link ask} is called. */
  asks = true
  admit: (token: string) => Admission = () => 'write'
  readonly tokens: string[] = []
  readonly renewed: string[] = []
  readonly received: number[] = []
  readonly sockets = new Set<ServerSocket>()
  readonly WebSocket: typeof WebSocket

  constructor() {
    const server = this
    this.WebSocket = class extends ServerSocket {
      constructor(url: string) {
        super(server, url)
      }
    } as unknown as typeof WebSocket
  }

  /** Write to disk all that was accepted. */
  commit(): void {
    Y.applyUpdate(this.disk, Y.encodeStateAsUpdate(this.memory))
    for (const each of this.sockets) each.committed()
  }

  ask(): void {
    for (const each of this.sockets) each.sendStep1()
  }

  /** Stop at once; what is not on disk is gone. */
  crash(): void {
    this.memory = new Y.Doc()
    Y.applyUpdate(this.memory, Y.encodeStateAsUpdate(this.disk))
    this.closeAll(1006, '')
  }

  closeAll(code: number, reason: string): void {
    for (const each of [...this.sockets]) each.closeFromServer(code, reason)
  }

  /** Whether the service's disk has everything of a document. */
  has(doc: Y.Doc): boolean {
    return !brings(this.disk, Y.encodeStateAsUpdate(doc))
  }
}

class ServerSocket extends EventTarget {
  static readonly OPEN = 1
  readonly OPEN = 1
  binaryType = 'arraybuffer'
  readyState = 0
  onopen: (() => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null
  onerror: (() => void) | null = null
  readonly #server: DocumentServer
  #admission: Admission = 'write'
  #barriers: Uint8Array[] = []
  #isDirty = false
  #presence: Uint8Array = new Uint8Array([0]) // no states

  constructor(server: DocumentServer, url: string) {
    super()
    this.#server = server
    const token = new URL(url).searchParams.get('token') ?? ''
    setTimeout(() => this.#open(token), 1)
  }

  send(data: Uint8Array): void {
    const frame = data.slice()
    setTimeout(() => this.#receive(frame), 1)
  }

  close(): void {
    this.readyState = 3
    this.#server.sockets.delete(this)
  }

  closeFromServer(code: number, reason: string): void {
    if (this.readyState === 3) return
    this.close()
    this.onclose?.({ code, reason })
  }

  sendStep1(): void {
    this.#send(0, (encoder) => sync.writeSyncStep1(encoder, this.#server.memory))
  }

  committed(): void {
    this.#isDirty = false
    for (const each of this.#barriers.splice(0)) this.#echo(each)
  }

  #open(token: string): void {
    if (this.readyState === 3 || this.#server.isCut) return
    if (this.#server.isDown) {
      this.closeFromServer(1006, '')
      return
    }
    this.#server.tokens.push(token)
    this.#admission = this.#server.admit(token)
    this.#server.sockets.add(this)
    this.readyState = 1
    this.onopen?.()
    if (typeof this.#admission === 'object') this.#judge(this.#admission)
    else if (this.#server.asks) this.sendStep1()
  }

  #judge({ code, reason }: { code: number; reason: string }): void {
    this.#deny(reason)
    setTimeout(() => this.closeFromServer(code, reason), 2)
  }

  #receive(frame: Uint8Array): void {
    if (this.readyState !== 1 || this.#server.isCut) return
    const decoder = decoding.createDecoder(frame)
    const type = decoding.readVarUint(decoder)
    this.#server.received.push(type)
    if (type === 0) this.#receiveSync(decoder)
    else if (type === 1) {
      this.#presence = decoding.readVarUint8Array(decoder)
      for (const each of this.#server.sockets) each.#show(this.#presence)
    } else if (type === 2) this.#renew(decoder)
    else if (type === 3) {
      for (const each of this.#server.sockets) this.#show(each.#presence)
    } else if (type === 102) this.#receiveBarrier(decoding.readVarUint8Array(decoder))
  }

  #receiveSync(decoder: decoding.Decoder): void {
    const step = decoding.readVarUint(decoder)
    const payload = decoding.readVarUint8Array(decoder)
    if (step === 0) {
      this.#send(0, (encoder) => sync.writeSyncStep2(encoder, this.#server.memory, payload))
      return
    }
    if (!brings(this.#server.memory, payload)) return
    if (this.#admission === 'sealed') this.#judge({ code: 4409, reason: 'the session is stopped' })
    else if (this.#admission === 'read') this.#deny('read-only: this token may not edit')
    else this.#accept(payload)
  }

  #accept(update: Uint8Array): void {
    Y.applyUpdate(this.#server.memory, update)
    this.#isDirty = true
    for (const each of this.#server.sockets) {
      if (each !== this) each.#send(0, (encoder) => sync.writeUpdate(encoder, update))
    }
    if (this.#server.commits) setTimeout(() => this.#server.commit(), 1)
  }

  #renew(decoder: decoding.Decoder): void {
    decoding.readVarUint(decoder)
    this.#server.renewed.push(decoding.readVarString(decoder))
    this.#send(2, (encoder) => {
      encoding.writeVarUint(encoder, 1)
      encoding.writeVarString(encoder, '2026-11-23T00:00:00Z')
    })
  }

  #receiveBarrier(payload: Uint8Array): void {
    if (this.#isDirty) this.#barriers.push(payload)
    else this.#echo(payload)
  }

  #echo(payload: Uint8Array): void {
    this.#send(102, (encoder) => encoding.writeVarUint8Array(encoder, payload))
  }

  #show(states: Uint8Array): void {
    this.#send(1, (encoder) => encoding.writeVarUint8Array(encoder, states))
  }

  #deny(reason: string): void {
    this.#send(2, (encoder) => {
      encoding.writeVarUint(encoder, 0)
      encoding.writeVarString(encoder, reason)
    })
  }

  #send(type: number, write: Write): void {
    const frame = encoding.encode((encoder) => {
      encoding.writeVarUint(encoder, type)
      write(encoder)
    })
    setTimeout(() => {
      if (this.readyState !== 1 || this.#server.isCut) return
      this.onmessage?.({ data: frame.slice().buffer })
    }, 1)
  }
}

/** Whether an update changes a document: deletions too, which state vectors do not show. */
function brings(doc: Y.Doc, update: Uint8Array): boolean {
  const copy = new Y.Doc()
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc))
  let changed = false
  copy.on('update', () => {
    changed = true
  })
  Y.applyUpdate(copy, update)
  return changed
}
