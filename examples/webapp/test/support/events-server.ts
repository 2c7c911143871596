/** The service's end of the channel of session events, in memory: sockets without a network. */
import { openSteps } from '../../src/lib/session-state'
import type { Session, SessionEvent } from '../../src/lib/types'

type Message = Readonly<Record<string, unknown>>

const TIME = '2026-11-23T00:00:00.000Z'

export class EventsServer {
  epoch = 'e1'
  log: SessionEvent[] = []
  /** Offset of the last event that retention removed. */
  truncated = 0
  session: Session
  /** Nobody listens: connections fail. */
  down = false
  /** It takes messages, and says nothing any more. */
  silent = false
  /** It accepts, and does not answer a subscription. */
  mute = false
  /** Events that subscribers are not sent, though they are in the log. */
  lose = 0
  /** Answers a publication otherwise than by committing it; undefined commits. */
  onPublish: (message: Message) => Message | null | undefined = () => undefined
  sockets: FakeSocket[] = []
  /** Every connection that was tried, by its address. */
  readonly addresses: string[] = []
  /** Everything that clients said, in order. */
  readonly heard: Message[] = []
  readonly WebSocket: typeof WebSocket

  constructor(members: Session['members'] = [], id = 's') {
    this.session = newSession(id, this.epoch, members)
    const connect = (socket: FakeSocket) => this.#connect(socket)
    this.WebSocket = class extends FakeSocket {
      constructor(url: string) {
        super(url, connect)
      }
    } as unknown as typeof WebSocket
  }

  get top(): number {
    return this.log.at(-1)?.offset ?? this.truncated
  }

  heardOf(type: string): readonly Message[] {
    return this.heard.filter((each) => each.type === type)
  }

  /** Something happens. */
  emit(kind = 'note.made', data: Message = {}, id = `id-${this.top + 1}`): SessionEvent {
    const event = { offset: this.top + 1, id, kind, actor: 'bob', time: TIME, data } as SessionEvent
    this.log.push(event)
    this.session = { ...this.session, top: event.offset }
    if (this.lose > 0) this.lose -= 1
    else for (const each of this.sockets) if (each.subscribed) each.say({ type: 'event', ...event })
    return event
  }

  /** Say something to everybody. */
  say(message: Message): void {
    for (const each of this.sockets) each.say(message)
  }

  /** Every connection ends. */
  cut(code = 1006, reason = ''): void {
    for (const each of [...this.sockets]) each.end(code, reason)
  }

  /** The log is another one from now on. */
  begin(epoch: string): void {
    this.epoch = epoch
    this.log = []
    this.truncated = 0
    this.session = { ...newSession(this.session.id, epoch, this.session.members) }
  }

  /** Retention removes everything up to an offset. */
  truncate(offset: number): void {
    this.truncated = offset
    this.log = this.log.filter((each) => each.offset > offset)
    this.session = { ...this.session, truncated_before: offset + 1 }
  }

  #connect(socket: FakeSocket): void {
    this.addresses.push(socket.url)
    if (this.down) {
      socket.end(1006, '')
      return
    }
    this.sockets.push(socket)
    socket.onGone = () => {
      this.sockets = this.sockets.filter((each) => each !== socket)
    }
    socket.onHeard = (message) => {
      this.heard.push(message)
      if (!this.silent) this.#answer(socket, message)
    }
    socket.open()
  }

  #answer(socket: FakeSocket, message: Message): void {
    switch (message.type) {
      case 'subscribe':
        if (!this.mute) this.#subscribe(socket, message)
        break
      case 'publish':
        this.#publish(socket, message)
        break
      case 'ping':
        socket.say({ type: 'pong' })
        break
      case 'token':
        socket.say({ type: 'token', expires: TIME })
        break
    }
  }

  #subscribe(socket: FakeSocket, { epoch, after, status }: Message): void {
    const wanted = typeof after === 'number' ? after : this.top
    const same = epoch === undefined || epoch === this.epoch
    const recovered = same && this.truncated <= wanted && wanted <= this.top
    const { top, session } = this
    socket.subscribed = true
    socket.say({ type: 'subscribed', epoch: this.epoch, top, recovered, session })
    if (status) socket.say({ type: 'status', status: { session: session.id, top } })
    if (!recovered) return
    for (const each of this.log) if (each.offset > wanted) socket.say({ type: 'event', ...each })
  }

  #publish(socket: FakeSocket, message: Message): void {
    const { id, kind, data } = message as { id: string; kind: string; data: Message }
    const otherwise = this.onPublish(message)
    if (otherwise === null) return
    if (otherwise !== undefined) {
      socket.say({ id, ...otherwise })
      return
    }
    const known = this.log.find((each) => each.id === id)
    const { offset } = known ?? this.emit(kind, data, id)
    socket.say({ type: 'published', id, offset })
  }
}

/** A WebSocket whose other end is a function; everything comes in a later microtask, in order. */
class FakeSocket {
  static readonly OPEN = 1
  readyState = 0
  subscribed = false
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  onerror: (() => void) | null = null
  onGone: () => void = () => {}
  onHeard: (message: Message) => void = () => {}
  readonly url: string

  constructor(url: string, connect: (socket: FakeSocket) => void) {
    this.url = url
    queueMicrotask(() => connect(this))
  }

  open(): void {
    if (this.readyState !== 0) return
    this.readyState = 1
    this.onopen?.()
  }

  send(text: string): void {
    if (this.readyState !== 1) throw new Error('it is not open')
    const message = JSON.parse(text)
    queueMicrotask(() => this.onHeard(message))
  }

  say(message: Message): void {
    const data = JSON.stringify(message)
    queueMicrotask(() => {
      if (this.readyState === 1) this.onmessage?.({ data })
    })
  }

  end(code: number, reason: string): void {
    queueMicrotask(() => {
      if (this.readyState === 3) return
      this.readyState = 3
      this.onGone()
      this.onclose?.({ code, reason })
    })
  }

  close(): void {
    this.end(1000, '')
  }
}

export function newSession(
  id: string,
  epoch: string,
  members: Session['members'] = [],
  more: Partial<Session> = {},
): Session {
  return {
    id,
    epoch,
    state: 'created',
    project: 'p',
    title: 'p',
    test_cases: [{ id: 'a', title: 'a' }],
    members,
    top: 0,
    truncated_before: null,
    open_steps: openSteps('created'),
    created_by: 'lena',
    created_at: TIME,
    started_at: null,
    stopped_at: null,
    active_seconds: 0,
    completed: [],
    form: null,
    ...more,
  }
}

export const newEvent = (
  offset: number,
  kind = 'note.made',
  data: Message = {},
  time = TIME,
): SessionEvent => ({ offset, id: `id-${offset}`, kind, actor: 'bob', time, data }) as SessionEvent
