/**
 * The WebSocket of a session's events, which comes back by itself.
 *
 * What is said on it is the business of its listener: this is about being connected, and about
 * knowing it. Laws:
 *
 * 1. A verdict (close codes 4400–4499) is final, but for a token that has expired: that is renewed.
 *    After everything else it connects again, after a pause with full jitter.
 * 2. Pauses grow until the listener has said {@link SessionSocket.settled}: a service that accepts
 *    and closes is not asked ten times a second.
 * 3. Who is silent for a minute has gone; and so has who does not answer a question at once after
 *    the computer slept, or the network changed.
 */
import { Cell, type Readable } from './readable'
import type { Tokens } from './token'
import { type Connection, Denied, NOT_CONNECTED, type Verdict } from './types'

/** The longest pause before the first attempt, and before any. Milliseconds, as all that follows. */
const FIRST_PAUSE = 200
const LONGEST_PAUSE = 10_000
/** From the attempt until the listener has settled. */
const SETTLING = 15_000
/** Between two questions of ours; the round trip is measured by them. */
const PING_EVERY = 15_000
const SILENCE = 60_000
/** For an answer when there is reason to doubt. */
const DOUBT = 5_000
/** Counts are told no more often than this. */
const COUNTING = 250

const EXPIRED = 'token-expired'

export interface SocketListener {
  /** It is open: say what it is for. */
  opened(): void
  message(message: Readonly<Record<string, unknown>>): void
  /** Nothing can be sent; {@link opened} will be called again, unless it is denied. */
  closed(): void
}

export interface SocketOptions {
  /** With its path, without a query: `ws://host:port/path`. */
  readonly address: string
  readonly tokens: Pick<Tokens, 'current' | 'onRenewed' | 'refused'>
  readonly listener: SocketListener
  readonly WebSocket?: typeof WebSocket
  /** Where `online`, `offline` and `visibilitychange` are heard: the window. */
  readonly page?: EventTarget | undefined
  readonly random?: () => number
}

type Timer = ReturnType<typeof setTimeout>

export class SessionSocket {
  readonly #options: SocketOptions
  readonly #WebSocket: typeof WebSocket
  readonly #page: EventTarget | undefined
  readonly #random: () => number
  readonly #connection: Cell<Connection>
  #socket: WebSocket | null = null
  #attempt = 0 // those before this one are of no interest any more
  #failures = 0 // since it was last settled
  #settled = false
  #token = '' // that the service knows us by
  #refused = false // a token, since it was last settled
  #said: string | null = null // the service's last error, which is longer than a close reason
  #sent = 0
  #received = 0
  #heardAt = 0
  #askedAt: number | null = null
  #retryTimer: Timer | undefined
  #settlingTimer: Timer | undefined
  #doubtTimer: Timer | undefined
  #countTimer: Timer | undefined
  #pulse: ReturnType<typeof setInterval> | undefined
  #closed = false
  #forgetTokens: () => void = () => {}

  constructor(options: SocketOptions) {
    this.#options = options
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket
    this.#page = 'page' in options ? options.page : globalThis.window
    this.#random = options.random ?? Math.random
    this.#connection = new Cell<Connection>({ ...NOT_CONNECTED, since: Date.now() })
  }

  get connection(): Readable<Connection> {
    return this.#connection
  }

  /** Connect, and stay connected until {@link close}. */
  start(): void {
    this.#page?.addEventListener('online', this.#onOnline)
    this.#page?.addEventListener('offline', this.#doubt)
    this.#page?.addEventListener('visibilitychange', this.#doubt)
    this.#forgetTokens = this.#options.tokens.onRenewed(this.#onRenewed)
    void this.#connect()
  }

  /** Send a message; false where there is nobody to send it to. */
  send(message: Readonly<Record<string, unknown>>): boolean {
    const socket = this.#socket
    if (socket === null || socket.readyState !== this.#WebSocket.OPEN) return false
    socket.send(JSON.stringify(message))
    this.#sent += 1
    this.#count()
    return true
  }

  /** The service has answered what the connection is for. */
  settled(): void {
    if (this.#settled || this.#socket === null) return
    clearTimeout(this.#settlingTimer)
    this.#settled = true
    this.#failures = 0
    this.#refused = false
    this.#tell({ status: 'online', verdict: null, retries: 0, retryAt: null })
    this.#pulse = setInterval(this.#beat, PING_EVERY)
    this.#ask()
  }

  /** Give this connection up, and make another one: what came on it is not to be believed. */
  fail(): void {
    this.#retry(this.#drop())
  }

  /** Connect again now; after a verdict too. */
  reconnect(): void {
    if (this.#closed) return
    this.#drop()
    this.#failures = 0
    this.#tell({ status: 'connecting', verdict: null })
    void this.#connect()
  }

  close(): void {
    this.#closed = true
    this.#page?.removeEventListener('online', this.#onOnline)
    this.#page?.removeEventListener('offline', this.#doubt)
    this.#page?.removeEventListener('visibilitychange', this.#doubt)
    this.#forgetTokens()
    this.#drop()
    clearTimeout(this.#countTimer)
  }

  // -- connecting

  async #connect(): Promise<void> {
    clearTimeout(this.#retryTimer)
    this.#attempt += 1
    const attempt = this.#attempt
    this.#tell({ retryAt: null, retries: this.#failures })
    const token = await this.#currentToken(attempt)
    if (token === null || attempt !== this.#attempt) return
    this.#token = token
    this.#said = null
    try {
      this.#listen(
        new this.#WebSocket(`${this.#options.address}?token=${encodeURIComponent(token)}`),
      )
    } catch {
      this.#retry(false) // browsers refuse some addresses: ws: from a page that came by https:
    }
  }

  #listen(socket: WebSocket): void {
    this.#socket = socket
    this.#settlingTimer = setTimeout(() => this.fail(), SETTLING)
    socket.onopen = () => this.#options.listener.opened()
    socket.onmessage = (event) => this.#hear(event.data)
    socket.onclose = (event) => this.#end(event.code, event.reason)
    socket.onerror = () => {} // says nothing that the close after it does not
  }

  async #currentToken(attempt: number): Promise<string | null> {
    try {
      return await this.#options.tokens.current()
    } catch (error) {
      if (attempt !== this.#attempt) return null
      if (error instanceof Denied) this.#deny({ code: 4401, reason: error.message })
      else this.#retry(false)
      return null
    }
  }

  /** The socket has closed. */
  #end(code: number, reason: string): void {
    const said = this.#said
    const lost = this.#drop()
    if (code < 4400 || code > 4499) this.#retry(lost)
    else if (code === 4401 && reason.startsWith(EXPIRED)) this.#renew(lost)
    else this.#deny({ code, reason: said ?? reason })
  }

  #renew(lost: boolean): void {
    this.#options.tokens.refused(this.#token)
    if (this.#refused) {
      this.#retry(lost) // a new one as well: the clocks differ, it may be
      return
    }
    this.#refused = true
    this.#tell({ status: 'connecting' })
    void this.#connect()
  }

  /** Be connected no more, and heed nothing that still comes of it. Tells whether it was settled. */
  #drop(): boolean {
    const settled = this.#settled
    this.#settled = false
    this.#attempt += 1
    for (const each of [this.#retryTimer, this.#settlingTimer, this.#doubtTimer]) clearTimeout(each)
    clearInterval(this.#pulse)
    this.#askedAt = null
    const socket = this.#socket
    if (socket === null) return settled
    this.#socket = null
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
    this.#options.listener.closed()
    return settled
  }

  /** Connect after a pause; `lost`: a connection that was good a moment ago. */
  #retry(lost: boolean): void {
    if (this.#closed) return
    this.#failures += 1
    const most = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this.#failures - 1, 16))
    const pause = this.#random() * most
    this.#retryTimer = setTimeout(() => void this.#connect(), pause)
    this.#tell({
      status: lost && globalThis.navigator?.onLine !== false ? 'connecting' : 'offline',
      latency: null,
      retries: this.#failures,
      retryAt: Date.now() + pause,
    })
  }

  #deny(verdict: Verdict): void {
    this.#tell({ status: 'denied', verdict, latency: null, retryAt: null })
  }

  // -- connected

  #hear(data: unknown): void {
    this.#received += 1
    this.#heardAt = Date.now()
    this.#count()
    const message = parsed(data)
    if (message === null) this.fail()
    else if (message.type === 'ping') this.send({ type: 'pong' })
    else if (message.type === 'pong') this.#measure()
    else {
      if (message.type === 'error' && message.id === undefined) this.#said = `${message.message}`
      this.#options.listener.message(message)
    }
  }

  #ask(): void {
    this.#askedAt ??= performance.now()
    this.send({ type: 'ping' })
  }

  #measure(): void {
    if (this.#askedAt === null) return
    const took = performance.now() - this.#askedAt
    this.#askedAt = null
    this.#tell({ latency: Math.round(took * 10) / 10 })
  }

  #beat = (): void => {
    const silent = Date.now() - this.#heardAt
    if (silent >= 2 * PING_EVERY) this.#doubt()
    else this.#ask()
  }

  /** Something has happened after which a connection may be dead without knowing it. */
  #doubt = (): void => {
    if (!this.#settled) return
    const now = Date.now()
    if (now - this.#heardAt >= SILENCE) {
      this.fail()
      return
    }
    this.#ask()
    clearTimeout(this.#doubtTimer)
    this.#doubtTimer = setTimeout(() => {
      if (this.#heardAt < now) this.fail()
    }, DOUBT)
  }

  #onOnline = (): void => {
    if (this.#settled) this.#doubt()
    else if (this.#connection.get().status !== 'denied') this.reconnect()
  }

  #onRenewed = (token: string): void => {
    if (this.#connection.get().verdict?.code === 4401) this.reconnect()
    else if (this.#settled && token !== this.#token && this.send({ type: 'token', token })) {
      this.#token = token
    }
  }

  // -- telling

  #tell(change: Partial<Connection>): void {
    const before = this.#connection.get()
    const status = change.status ?? before.status
    const since = status === before.status ? before.since : Date.now()
    const counts = { sent: this.#sent, received: this.#received }
    this.#connection.set({ ...before, ...change, ...counts, since })
  }

  #count(): void {
    if (this.#countTimer !== undefined) return
    this.#countTimer = setTimeout(() => {
      this.#countTimer = undefined
      this.#tell({})
    }, COUNTING)
  }
}

function parsed(data: unknown): Readonly<Record<string, unknown>> | null {
  try {
    const message: unknown = JSON.parse(String(data))
    return typeof message === 'object' && message !== null
      ? (message as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}
