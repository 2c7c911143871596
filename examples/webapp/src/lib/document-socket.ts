/**
 * The connection of one document: y-websocket's provider, and when it connects.
 *
 * The provider speaks the protocol; the decision to connect is ours (`shouldReconnect` says never), so
 * that each attempt has a token which has not expired, and a pause with jitter. Laws:
 *
 * 1. Close codes 4400–4499 are verdicts and final, but for a token that has expired: that is renewed.
 *    After everything else it connects again. What 4409 (stopped) means, the listener decides.
 * 2. `online` means that the socket is open, and that everything the service has is here.
 * 3. The browser's words `online` and `offline` are hints: they start a probe, or an attempt. A socket
 *    is given up when nothing at all comes within some seconds of a probe, and only then.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import type { Awareness } from 'y-protocols/awareness'
import { WebsocketProvider } from 'y-websocket'
import type * as Y from 'yjs'
import { Cell, type Readable } from './readable'
import type { Tokens } from './token'
import { type Connection, Denied, NOT_CONNECTED, type Verdict } from './types'

const SYNC = 0
const AWARENESS = 1
const AUTH = 2
const QUERY_AWARENESS = 3
const BARRIER = 102
const STEP1 = 0
const PERMISSION_DENIED = 0
const TOKEN = 1

/** What a barrier is for, its first byte. */
const FOR_SAVING = 0
const FOR_PROBING = 1

/** The longest pause before the first attempt, and before any. Milliseconds, as all that follows. */
const FIRST_PAUSE = 200
const LONGEST_PAUSE = 5_000
/** From an attempt until the document is here; and until the attempt looks futile. */
const CONNECTING = 12_000
const FUTILE = 3_000
const PROBE_EVERY = 10_000
/** For any frame after a probe; less where there is reason to doubt. */
const ANSWER = 8_000
const DOUBT = 3_000
/** A socket that was heard of a moment ago is not doubted when somebody comes back to the page. */
const FRESH = 2_000
/** Counts are told no more often than this. */
const COUNTING = 250

const EXPIRED = 'token-expired'
/** How the service begins the reason for dropped edits, after which the connection goes on. */
const READ_ONLY = 'read-only'
export const STOPPED = 4409

export interface DocumentSocketListener {
  /** A socket is open; nothing was sent on it. */
  opened(): void
  /** The service's step1 was answered, and the answer is sent. */
  answered(): void
  closed(): void
  /** Edits were dropped. */
  dropped(reason: string): void
  echoed(barrier: number): void
  /** The session is stopped. Tells whether to connect again, as a reader. */
  stopped(reason: string): boolean
  denied(verdict: Verdict): void
  /** Whether edits wait: what is sent after them is not answered at once then. */
  isWaiting(): boolean
}

export interface DocumentSocketOptions {
  /** Of the service: `http://host:port`. */
  readonly url: string
  readonly name: string
  readonly doc: Y.Doc
  readonly awareness: Awareness
  readonly tokens: Pick<Tokens, 'current' | 'onRenewed' | 'refused'>
  readonly listener: DocumentSocketListener
  readonly WebSocket?: typeof WebSocket | undefined
  /** Where `online`, `offline` and `visibilitychange` are heard: the window. */
  readonly page?: EventTarget | undefined
  readonly random?: (() => number) | undefined
}

type Timer = ReturnType<typeof setTimeout>
type Handler = WebsocketProvider['messageHandlers'][number]

export class DocumentSocket {
  readonly #options: DocumentSocketOptions
  readonly #listener: DocumentSocketListener
  readonly #provider: WebsocketProvider
  readonly #connection: Cell<Connection>
  readonly #random: () => number
  readonly #page: EventTarget | undefined
  #attempt = 0 // those before this one are of no interest any more
  #failures = 0 // since it was last online
  #refused = false // a token, since it was last online
  #token = ''
  #said: string | null = null // the service's last reason, which is longer than a close reason
  #heard = 0 // frames on all sockets
  #sent = 0
  #heardAt = 0
  #lookedAt = 0
  #probes = 0
  #probe: { readonly id: number; readonly at: number } | null = null
  #retryTimer: Timer | undefined
  #attemptTimer: Timer | undefined
  #futileTimer: Timer | undefined
  #answerTimer: Timer | undefined
  #countTimer: Timer | undefined
  #pulse: ReturnType<typeof setInterval> | undefined
  #forgetTokens: () => void = () => {}
  #started = false
  #unmeasured = false // edits waited when it was last probed
  #closed = false

  constructor(options: DocumentSocketOptions) {
    this.#options = options
    this.#listener = options.listener
    this.#random = options.random ?? Math.random
    this.#page = options.page
    this.#connection = new Cell<Connection>({ ...NOT_CONNECTED, since: Date.now() })
    this.#provider = this.#newProvider()
  }

  get connection(): Readable<Connection> {
    return this.#connection
  }

  get isOnline(): boolean {
    return this.#connection.get().status === 'online'
  }

  /** Whose updates to the document come from the service. */
  get origin(): object {
    return this.#provider
  }

  /** Connect, and stay connected until {@link close}. */
  start(): void {
    if (this.#started || this.#closed) return
    this.#started = true
    this.#page?.addEventListener('online', this.#onOnline)
    this.#page?.addEventListener('offline', this.#onOffline)
    this.#page?.addEventListener('visibilitychange', this.#onVisible)
    this.#page?.addEventListener('pageshow', this.#onVisible)
    this.#forgetTokens = this.#options.tokens.onRenewed(this.#onRenewed)
    this.#connectSoon()
  }

  sendBarrier(id: number): void {
    this.#send(barrierFrame(FOR_SAVING, id))
  }

  /** Connect again now; after a verdict too. */
  reconnect(): void {
    if (this.#closed) return
    this.#drop()
    this.#failures = 0
    this.#refused = false
    this.#tell({ status: 'connecting', verdict: null })
    this.#connectSoon()
  }

  close(): void {
    this.#closed = true
    this.#page?.removeEventListener('online', this.#onOnline)
    this.#page?.removeEventListener('offline', this.#onOffline)
    this.#page?.removeEventListener('visibilitychange', this.#onVisible)
    this.#page?.removeEventListener('pageshow', this.#onVisible)
    this.#forgetTokens()
    this.#drop()
    this.#provider.destroy()
    clearTimeout(this.#countTimer)
  }

  // -- the provider

  #newProvider(): WebsocketProvider {
    const { url, name, doc, awareness } = this.#options
    const base = url.replace(/^http/, 'ws').replace(/\/+$/, '')
    const room = name.split('/').map(encodeURIComponent).join('/')
    const provider = new WebsocketProvider(`${base}/sync`, room, doc, {
      awareness,
      connect: false,
      disableBc: true,
      shouldReconnect: () => false,
      WebSocketPolyfill: this.#countingWebSocket(),
    })
    provider.on('status', ({ status }) => {
      if (status === 'connected') this.#onOpen()
    })
    provider.on('sync', (synced) => {
      if (synced) this.#onSynced()
    })
    provider.on('connection-close', (event) => this.#onClose(event))
    this.#handleMessages(provider)
    return provider
  }

  #countingWebSocket(): typeof WebSocket {
    const Base = this.#options.WebSocket ?? globalThis.WebSocket
    const count = (): void => {
      this.#sent += 1
      this.#count()
    }
    return class extends Base {
      override send(data: Parameters<WebSocket['send']>[0]): void {
        super.send(data)
        count()
      }
    }
  }

  #handleMessages(provider: WebsocketProvider): void {
    const handlers = provider.messageHandlers
    const before = (type: number, meet: Handler): void => {
      handlers[type] = (...args) => {
        this.#hear()
        meet(...args)
      }
    }
    for (const type of [AWARENESS, QUERY_AWARENESS]) {
      before(type, handlers[type] as Handler) // the provider has them
    }
    const sync = handlers[SYNC] as Handler
    before(SYNC, (encoder, decoder, ...rest) => {
      const isStep1 = decoding.peekVarUint(decoder) === STEP1
      sync(encoder, decoder, ...rest)
      if (isStep1) this.#afterAnswer()
    })
    before(AUTH, (_encoder, decoder) => this.#onAuth(decoder))
    before(BARRIER, (_encoder, decoder) => this.#onEcho(decoding.readVarUint8Array(decoder)))
  }

  /** The provider sends what its handler wrote when that has returned: only then it is answered. */
  #afterAnswer(): void {
    const socket = this.#provider.ws
    queueMicrotask(() => {
      if (socket !== null && socket === this.#provider.ws) this.#listener.answered()
    })
  }

  #onAuth(decoder: decoding.Decoder): void {
    if (decoding.readVarUint(decoder) !== PERMISSION_DENIED) return // the new expiry of our token
    this.#said = decoding.readVarString(decoder)
    if (this.#said.startsWith(READ_ONLY)) this.#listener.dropped(READ_ONLY)
  }

  #onEcho(payload: Uint8Array): void {
    const decoder = decoding.createDecoder(payload)
    const purpose = decoding.readVarUint(decoder)
    const id = decoding.readVarUint(decoder)
    if (purpose === FOR_SAVING) {
      this.#listener.echoed(id)
      if (this.#unmeasured && !this.#listener.isWaiting()) this.#ask()
    } else if (this.#probe?.id === id) {
      this.#tell({ latency: Math.max(0, Math.round(performance.now() - this.#probe.at)) })
      this.#probe = null
    }
  }

  #hear(): void {
    this.#heard += 1
    this.#heardAt = Date.now()
    this.#count()
  }

  /** False where there is nobody to send it to. */
  #send(frame: Uint8Array<ArrayBuffer>): boolean {
    const { ws } = this.#provider
    if (ws === null || ws.readyState !== ws.OPEN) return false
    ws.send(frame)
    return true
  }

  // -- connecting

  #connectSoon(): void {
    this.#connect().catch(() => this.#retry())
  }

  async #connect(): Promise<void> {
    this.#endAttempt()
    const attempt = this.#attempt
    this.#tell({ retryAt: null, retries: this.#failures })
    this.#futileTimer = setTimeout(() => this.#looksFutile(attempt), FUTILE)
    let token: string
    try {
      token = await this.#options.tokens.current()
    } catch (error) {
      if (attempt !== this.#attempt || this.#closed) return
      if (error instanceof Denied) this.#deny({ code: 4401, reason: error.message })
      else this.#retry()
      return
    }
    if (attempt !== this.#attempt || this.#closed) return
    this.#said = null
    this.#useToken(token)
    this.#attemptTimer = setTimeout(() => this.#giveUp(), CONNECTING)
    this.#provider.connect()
  }

  #useToken(token: string): void {
    this.#token = token
    this.#provider.params = { token }
  }

  #looksFutile(attempt: number): void {
    if (attempt === this.#attempt && !this.isOnline) this.#tell({ status: 'offline' })
  }

  #onOpen(): void {
    this.#hear()
    this.#listener.opened()
  }

  #onSynced(): void {
    clearTimeout(this.#attemptTimer)
    clearTimeout(this.#futileTimer)
    this.#failures = 0
    this.#refused = false
    this.#tell({ status: 'online', verdict: null, retries: 0, retryAt: null })
    this.#lookedAt = Date.now()
    this.#pulse = setInterval(this.#beat, PROBE_EVERY)
    this.#ask()
    // One that came while the socket was being opened could not be said there.
    this.#options.tokens.current().then(this.#onRenewed, () => {})
  }

  /** The provider's socket has closed; `event` is null where it was closed here. */
  #onClose(event: CloseEvent | null): void {
    this.#provider.shouldConnect = false // also where the provider's own watchdog closed it
    this.#endAttempt()
    this.#listener.closed()
    if (this.#closed) return
    const code = event?.code ?? 0
    const reason = event?.reason ?? ''
    if (code < 4400 || code > 4499) this.#retry()
    else if (code === 4401 && reason.startsWith(EXPIRED)) this.#renew()
    else this.#judge({ code, reason: this.#said ?? reason })
  }

  #renew(): void {
    this.#options.tokens.refused(this.#token)
    const again = this.#refused
    this.#refused = true
    if (again) {
      this.#retry() // a new one as well: the clocks differ
      return
    }
    this.#tell({ status: 'connecting' })
    this.#later(() => this.#connectSoon())
  }

  #judge(verdict: Verdict): void {
    if (verdict.code === STOPPED && this.#listener.stopped(verdict.reason)) {
      this.#tell({ status: 'connecting' })
      this.#later(() => this.#connectSoon())
    } else this.#deny(verdict)
  }

  /** Not now: the provider is still closing the last socket. */
  #later(act: () => void): void {
    clearTimeout(this.#retryTimer)
    this.#retryTimer = setTimeout(act, 0)
  }

  #deny(verdict: Verdict): void {
    this.#endAttempt()
    this.#tell({ status: 'denied', verdict, retryAt: null })
    this.#listener.denied(verdict)
  }

  #endAttempt(): void {
    this.#attempt += 1
    for (const each of [
      this.#retryTimer,
      this.#attemptTimer,
      this.#futileTimer,
      this.#answerTimer,
    ]) {
      clearTimeout(each)
    }
    clearInterval(this.#pulse)
    this.#answerTimer = undefined
    this.#probe = null
  }

  /** Be connected no more, and connect only when told to. */
  #drop(): void {
    const closed = this.#closed
    this.#closed = true // so that the close is not met with an attempt
    this.#provider.disconnect()
    this.#closed = closed
    this.#endAttempt()
  }

  /** Nothing comes of this socket: make another one. */
  #giveUp(): void {
    this.#drop()
    this.#retry()
  }

  /** Connect after a pause. */
  #retry(): void {
    if (this.#closed) return
    this.#endAttempt()
    const wasOnline = this.isOnline
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures)
    const pause = longest * (0.5 + this.#random() / 2)
    this.#failures += 1
    this.#retryTimer = setTimeout(() => this.#connectSoon(), pause)
    this.#tell({
      status: wasOnline ? 'connecting' : 'offline',
      retries: this.#failures,
      retryAt: Date.now() + Math.round(pause),
    })
  }

  // -- tokens

  /** Replace the token on the open socket, and on those to come. */
  #onRenewed = (token: string): void => {
    if (token === this.#token) return
    const { status, verdict } = this.#connection.get()
    if (status === 'denied' && verdict?.code === 4401) this.reconnect()
    else if (this.#send(tokenFrame(token))) this.#useToken(token)
  }

  // -- is anybody there

  #beat = (): void => {
    const slept = Date.now() - this.#lookedAt > 2 * PROBE_EVERY
    this.#lookedAt = Date.now()
    if (globalThis.document?.visibilityState === 'hidden') return
    this.#ask(slept ? DOUBT : ANSWER)
  }

  /** Probe the socket; give it up when nothing comes. */
  #ask(patience = ANSWER): void {
    if (!this.isOnline) return
    const heard = this.#heard
    this.#probes += 1
    this.#send(barrierFrame(FOR_PROBING, this.#probes))
    const waiting = this.#listener.isWaiting() // for a disk, which may take its time
    if (waiting) this.#send(frame(QUERY_AWARENESS))
    this.#unmeasured = waiting
    this.#probe = waiting ? null : { id: this.#probes, at: performance.now() }
    if (this.#answerTimer !== undefined && patience === ANSWER) return
    clearTimeout(this.#answerTimer)
    this.#answerTimer = setTimeout(() => {
      this.#answerTimer = undefined
      if (this.#heard === heard) this.#giveUp()
    }, patience)
  }

  #onOffline = (): void => this.#ask(DOUBT)

  #onOnline = (): void => {
    if (this.isOnline) this.#ask(DOUBT)
    else if (this.#connection.get().status !== 'denied') this.reconnect()
  }

  #onVisible = (): void => {
    if (globalThis.document?.visibilityState === 'hidden') return
    if (Date.now() - this.#heardAt > FRESH) this.#ask(DOUBT)
    if (this.#connection.get().retryAt !== null) this.reconnect()
  }

  // -- telling

  #tell(change: Partial<Connection>): void {
    clearTimeout(this.#countTimer)
    this.#countTimer = undefined
    const before = this.#connection.get()
    const status = change.status ?? before.status
    const since = status === before.status ? before.since : Date.now()
    const counts = { sent: this.#sent, received: this.#heard }
    this.#connection.set({ ...before, ...counts, ...change, since })
  }

  #count(): void {
    this.#countTimer ??= setTimeout(() => this.#tell({}), COUNTING)
  }
}

function frame(type: number, write?: (encoder: encoding.Encoder) => void): Uint8Array<ArrayBuffer> {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, type)
  write?.(encoder)
  return encoding.toUint8Array(encoder)
}

function barrierFrame(purpose: number, id: number): Uint8Array<ArrayBuffer> {
  const payload = encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, purpose)
    encoding.writeVarUint(encoder, id)
  })
  return frame(BARRIER, (encoder) => encoding.writeVarUint8Array(encoder, payload))
}

function tokenFrame(token: string): Uint8Array<ArrayBuffer> {
  return frame(AUTH, (encoder) => {
    encoding.writeVarUint(encoder, TOKEN)
    encoding.writeVarString(encoder, token)
  })
}
