/**
 * A session as a page follows it: its state, its log, live status, and what is published into it.
 *
 * The channel is the service's (`sync/core/event_channel.py`); this puts together its parts: the
 * socket that comes back, the log without gaps, the outbox, and what this device keeps.
 */
import { type Locks, Outbox, Unpublished } from './outbox'
import { Cell, type Readable } from './readable'
import { SessionLog, type Subscribed } from './session-log'
import { SessionSocket, type SocketListener } from './session-socket'
import { openSessionStore, type SessionStore } from './session-store'
import type { Tokens } from './token'
import type {
  Connection,
  Session,
  SessionChannel,
  SessionEvent,
  SessionStatus,
  SessionStep,
  SessionsApi,
  SessionView,
  Verdict,
} from './types'

/** Older events that are loaded at once. */
const PAGE = 200
/** With fewer events than these, older ones are loaded without being asked for. */
const FEW = 50
/** Between a change and its writing to this device, and so between acknowledgements. Milliseconds. */
const SAVING = 1_000
/** Between two looks at the view while many events come that were missed. */
const CATCHING_UP = 100

export interface SessionOptions {
  readonly id: string
  /** Of the service: `http://host:port`. */
  readonly url: string
  readonly tokens: Pick<Tokens, 'current' | 'identity' | 'onRenewed' | 'refused'>
  readonly api: SessionsApi
  /** Called by those who need it no more: whoever opened it counts them, and closes it. */
  readonly release: () => void
  /** Opens what this device keeps of somebody; IndexedDB where it is left out. */
  readonly openStore?: (url: string, subject: string) => Promise<SessionStore>
  readonly WebSocket?: typeof WebSocket
  readonly locks?: Locks | undefined
  /** The window. */
  readonly page?: EventTarget | undefined
  readonly random?: () => number
}

/** A channel, to whoever opened it. */
export interface OpenSession extends SessionChannel {
  /** Resolves when what was received is kept on this device. */
  close(): Promise<void>
}

export function openSession(options: SessionOptions): OpenSession {
  return new Channel(options)
}

const NOTHING: SessionView = {
  session: null,
  stale: false,
  events: [],
  older: false,
  outbox: [],
  problem: null,
  status: null,
}

/**
 * Errors that people need not read: who acknowledges and has just left, or met a log that went back;
 * and what a verdict says too, or is dealt with here.
 */
const NOTHING_TO_DO = ['forbidden', 'invalid-offset', 'token-expired']

/** What is here when the device was asked what it keeps. */
interface Here {
  readonly store: SessionStore
  readonly outbox: Outbox
}

/** Older events are on their way. */
interface Loading {
  /** Of the log, when they were asked for: after another one nobody wants them. */
  readonly restarts: number
  readonly done: Promise<void>
}

class Channel implements OpenSession, SocketListener {
  readonly id: string
  readonly #options: SessionOptions
  readonly #log = new SessionLog()
  readonly #socket: SessionSocket
  readonly #view = new Cell<SessionView>(NOTHING, sameParts)
  readonly #listeners = new Set<(event: SessionEvent) => void>()
  readonly #page: EventTarget | undefined
  readonly #here: Promise<Here>
  #open: Here | null = null
  #problem: string | null = null
  #status: SessionStatus | null = null
  #watchers = 0
  #subscribing = false // a subscription is to be made at the end of this turn
  #gapAt: number | null = null
  #unanswered = 0 // subscriptions
  #acknowledged = 0
  #loading: Loading | null = null
  #saved = false // something, since the page was opened
  #saveTimer: ReturnType<typeof setTimeout> | undefined
  #viewTimer: ReturnType<typeof setTimeout> | undefined
  #verdict: Verdict | null = null
  #closed = false

  constructor(options: SessionOptions) {
    this.id = options.id
    this.#options = options
    this.#page = 'page' in options ? options.page : globalThis.window
    const base = options.url.replace(/^http/, 'ws').replace(/\/+$/, '')
    this.#socket = new SessionSocket({
      ...options,
      page: this.#page,
      address: `${base}/sessions/${encodeURIComponent(options.id)}/events`,
      listener: this,
    })
    this.connection.subscribe(this.#onConnection)
    this.#here = this.#begin()
    this.#page?.addEventListener('pagehide', this.#save)
    this.#socket.start()
  }

  get view(): Readable<SessionView> {
    return this.#view
  }

  get connection(): Readable<Connection> {
    return this.#socket.connection
  }

  /** Find what this device keeps: only then are events asked for, so that none is that is here. */
  async #begin(): Promise<Here> {
    const { url, tokens, openStore = openSessionStore } = this.#options
    const subject = await subjectOf(tokens)
    const store = await openStore(url, subject)
    const kept = await store.load(this.id)
    if (kept !== null) this.#log.restore(kept, Date.now())
    const outbox = this.#newOutbox(store)
    this.#open = { store, outbox }
    if (this.#closed) this.#end(this.#open)
    void outbox.adopt()
    this.#refresh()
    this.#subscribe() // where the socket was faster
    return this.#open
  }

  #newOutbox(store: SessionStore): Outbox {
    const { locks, random } = this.#options
    const outbox = new Outbox({
      session: this.id,
      store,
      send: (message) => this.#socket.send(message),
      ...('locks' in this.#options ? { locks } : {}),
      ...(random === undefined ? {} : { random }),
    })
    outbox.entries.subscribe(() => this.#refresh())
    return outbox
  }

  // -- the socket

  opened(): void {
    this.#gapAt = null
    if (this.#open !== null) this.#subscribe()
  }

  closed(): void {
    this.#unanswered = 0
    this.#open?.outbox.disconnect()
  }

  #onConnection = (): void => {
    const { verdict } = this.connection.get()
    if (verdict === this.#verdict) return
    this.#verdict = verdict
    this.#refresh()
  }

  message(message: Readonly<Record<string, unknown>>): void {
    switch (message.type) {
      case 'subscribed':
        this.#onSubscribed(message as unknown as Subscribed)
        break
      case 'event':
        this.#onEvent(message as unknown as SessionEvent)
        break
      case 'published':
        this.#open?.outbox.published(`${message.id}`, Number(message.offset))
        break
      case 'error':
        this.#onError(message)
        break
      case 'status':
        this.#status = message.status as SessionStatus
        this.#refresh()
        break
    }
  }

  // -- the log

  /** Say from where on events are wanted: from what is here, or else only what comes next. */
  #subscribe(): void {
    const { epoch, offset } = this.#log
    const place = epoch === null || offset === null ? {} : { epoch, after: offset }
    const status = this.#watchers > 0
    if (this.#socket.send({ type: 'subscribe', ...place, status })) this.#unanswered += 1
  }

  #onSubscribed(message: Subscribed): void {
    this.#unanswered -= 1
    this.#log.subscribed(message, Date.now())
    if (this.#unanswered > 0) return
    this.#problem = null
    this.#acknowledged = this.#me?.acknowledged ?? 0
    this.#socket.settled()
    this.#open?.outbox.connect()
    this.#changed()
    if (this.#log.events.length < FEW && this.#log.older) this.older().catch(() => {})
  }

  #onEvent({ offset, id, kind, actor, time, data }: SessionEvent): void {
    const event = { offset, id, kind, actor, time, data }
    const taken = this.#log.take(event, Date.now())
    if (taken === 'gap') this.#onGap()
    if (taken !== 'taken') return
    this.#open?.outbox.published(id, offset)
    this.#changed()
    for (const each of [...this.#listeners]) each(event)
  }

  /** Ask again from where we are; where that brings the same gap, begin from the snapshot. */
  #onGap(): void {
    if (this.#unanswered > 0) return
    if (this.#gapAt === this.#log.offset) this.#log.forget()
    this.#gapAt = this.#log.offset
    this.#subscribe()
  }

  #onError({ id, code, message }: Readonly<Record<string, unknown>>): void {
    if (typeof id === 'string') {
      this.#open?.outbox.refused(id, `${code}`, `${message}`)
      if (code === 'not-subscribed') this.#subscribe()
    } else if (!NOTHING_TO_DO.includes(`${code}`)) {
      this.#problem = `${message}`
      this.#refresh()
    }
  }

  get #me(): Session['members'][number] | undefined {
    const subject = this.#options.tokens.identity.get()?.subject
    return this.#log.session?.members.find((each) => each.subject === subject)
  }

  // -- what changed

  #changed(): void {
    // The first word at once: the page can be opened without a network from then on.
    this.#saveTimer ??= setTimeout(this.#save, this.#saved ? SAVING : 0)
    if (!this.#log.behind) this.#refresh()
    else this.#viewTimer ??= setTimeout(this.#refresh, CATCHING_UP)
  }

  #refresh = (): void => {
    clearTimeout(this.#viewTimer)
    this.#viewTimer = undefined
    this.#view.set({
      session: this.#log.session,
      stale: this.#log.stale,
      events: this.#log.events,
      older: this.#log.older,
      outbox: this.#open?.outbox.entries.get() ?? [],
      problem: this.#verdict?.reason ?? this.#problem,
      status: this.#status,
    })
  }

  /** Write to the device what was received, and then tell the service that it is here. */
  #save = async (): Promise<void> => {
    clearTimeout(this.#saveTimer)
    this.#saveTimer = undefined
    const kept = this.#log.kept
    if (this.#open === null || kept === null || this.#log.stale) return
    this.#saved = true
    await this.#open.store.save(this.id, kept)
    this.#acknowledge(kept.epoch, kept.offset)
  }

  #acknowledge(epoch: string, offset: number): void {
    const online = this.connection.get().status === 'online'
    if (!online || epoch !== this.#log.epoch || this.#me === undefined) return
    if (offset <= this.#acknowledged) return
    if (this.#socket.send({ type: 'ack', offset })) this.#acknowledged = offset
  }

  // -- what pages do

  onEvent(listener: (event: SessionEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  publish(kind: string, data: Readonly<Record<string, unknown>>): Promise<number> {
    if (this.#closed)
      return Promise.reject(new Unpublished('this session is not followed any more'))
    const published = this.#here.then(({ outbox }) => outbox.publish(kind, data))
    published.catch(() => {}) // the view tells it too
    return published
  }

  discard(id: string): void {
    void this.#here.then(({ outbox }) => outbox.discard(id))
  }

  older(): Promise<void> {
    const { restarts } = this.#log
    if (this.#loading?.restarts === restarts) return this.#loading.done
    const loading: Loading = {
      restarts,
      done: this.#loadOlder().finally(() => {
        if (this.#loading === loading) this.#loading = null
      }),
    }
    this.#loading = loading
    return loading.done
  }

  async #loadOlder(): Promise<void> {
    const { first, restarts } = this.#log
    const events: SessionEvent[] = []
    // a page may be shorter than what was asked for, since it is bounded in bytes as well
    for (let after = Math.max(0, first - 1 - PAGE); after < first - 1; ) {
      const page = await this.#options.api.events(this.id, { after, limit: first - 1 - after })
      if (page.length === 0) break
      events.push(...page)
      after = page[page.length - 1]?.offset ?? first
    }
    if (restarts !== this.#log.restarts) return
    this.#loading = null // who sees these in the view may want those before them
    this.#log.prepend(events)
    this.#changed()
  }

  watchStatus(): () => void {
    this.#watchers += 1
    if (this.#watchers === 1) this.#subscribeSoon()
    let watches = true
    return () => {
      if (!watches) return
      watches = false
      this.#watchers -= 1
      if (this.#watchers === 0) this.#subscribeSoon()
    }
  }

  /** One subscription, however often an effect is run in one turn. */
  #subscribeSoon(): void {
    if (this.#subscribing) return
    this.#subscribing = true
    const watched = this.#watchers > 0
    queueMicrotask(() => {
      this.#subscribing = false
      const toggled = this.#watchers > 0 === watched
      const asked = this.#unanswered > 0 || this.connection.get().status === 'online'
      if (toggled && asked) this.#subscribe()
      if (this.#watchers === 0) this.#status = null
      this.#refresh()
    })
  }

  async step(step: SessionStep): Promise<Session> {
    return this.#learn(await this.#options.api.step(this.id, step))
  }

  async complete(testCase: string, done: boolean, subject?: string): Promise<Session> {
    return this.#learn(await this.#options.api.complete(this.id, testCase, done, subject))
  }

  #learn(session: Session): Session {
    if (this.#log.adopt(session, Date.now())) {
      this.#changed()
      this.#refresh() // it may be ahead of its events; who took the step is not to wait for them
    }
    return session
  }

  reconnect(): void {
    this.#socket.reconnect()
  }

  release(): void {
    this.#options.release()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#page?.removeEventListener('pagehide', this.#save)
    clearTimeout(this.#saveTimer)
    clearTimeout(this.#viewTimer)
    await this.#save()
    this.#socket.close()
    if (this.#open !== null) this.#end(this.#open)
  }

  #end({ store, outbox }: Here): void {
    outbox.close()
    store.close()
  }
}

function sameParts(a: SessionView, b: SessionView): boolean {
  return (Object.keys(a) as (keyof SessionView)[]).every((each) => a[each] === b[each])
}

/** Whom the token is for; it may come long after the page. */
function subjectOf({ identity }: Pick<Tokens, 'identity'>): Promise<string> {
  return new Promise((resolve) => {
    const look = (): void => {
      const found = identity.get()
      if (found === null) return
      stop()
      resolve(found.subject)
    }
    const stop = identity.subscribe(look)
    look()
  })
}
