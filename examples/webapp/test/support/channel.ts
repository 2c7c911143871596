/** A session's channel in memory: tests say what it tells, and see what it was asked. */
import { Cell } from '../../src/lib/readable'
import type {
  Client,
  Connection,
  Identity,
  NewSession,
  Outgoing,
  Role,
  Session,
  SessionChannel,
  SessionEvent,
  SessionStatus,
  SessionStep,
  SessionSummary,
  SessionView,
} from '../../src/lib/types'

export const START = Date.parse('2026-11-22T10:00:00.000Z')

export function session(change: Partial<Session> = {}): Session {
  return {
    id: 's1',
    state: 'running',
    project: 'Help desk agent',
    title: 'Refunds',
    test_cases: [
      { id: 'refund', title: 'Refund after 30 days' },
      { id: 'angry', title: 'Angry customer' },
    ],
    members: [
      member('lena', 'Lena', 'lead'),
      member('alice', 'Alice', 'evaluator'),
      member('otto', 'Otto', 'observer'),
    ],
    epoch: 'e1',
    top: 1,
    truncated_before: null,
    open_steps: ['join', 'leave', 'pause', 'stop'],
    created_by: 'lena',
    created_at: iso(0),
    started_at: iso(1),
    stopped_at: null,
    active_seconds: 0,
    completed: [],
    form: null,
    ...change,
  }
}

export function member(subject: string, name: string, role: Role): Session['members'][number] {
  return { subject, name, role, joined_at: iso(0), acknowledged: 1 }
}

/** Seconds after the start, as ISO 8601. */
export function iso(seconds: number): string {
  return new Date(START + seconds * 1000).toISOString()
}

export function event(
  offset: number,
  kind: string,
  actor: string,
  data: Readonly<Record<string, unknown>> = {},
  seconds = offset,
): SessionEvent {
  return { offset, id: `id-${offset}`, kind, actor, time: iso(seconds), data }
}

export const CONNECTED: Connection = {
  status: 'online',
  verdict: null,
  since: START,
  latency: 12,
  sent: 0,
  received: 0,
  retries: 0,
  retryAt: null,
}

export class MemoryChannel implements SessionChannel {
  readonly id: string
  readonly view: Cell<SessionView>
  readonly connection = new Cell<Connection>(CONNECTED)
  readonly published: { kind: string; data: unknown }[] = []
  readonly discarded: string[] = []
  readonly steps: SessionStep[] = []
  watching = 0
  open = 1
  /** What there is before the events of the view. */
  olderEvents: readonly SessionEvent[] = []

  constructor(view: Partial<SessionView> = {}) {
    const told = view.session === undefined ? session() : view.session
    this.id = told?.id ?? 's1'
    this.view = new Cell<SessionView>({
      session: told,
      stale: false,
      events: [],
      older: false,
      outbox: [],
      problem: null,
      status: null,
      ...view,
    })
  }

  change(view: Partial<SessionView>): void {
    this.view.set({ ...this.view.get(), ...view })
  }

  add(...events: SessionEvent[]): void {
    this.change({ events: [...this.view.get().events, ...events] })
  }

  onEvent(): () => void {
    return () => undefined
  }

  /** It stays in the outbox until a test says otherwise. */
  publish(kind: string, data: Readonly<Record<string, unknown>>): Promise<number> {
    this.published.push({ kind, data })
    const id = `out-${this.published.length}`
    const entry: Outgoing = { id, kind, data, at: START, attempts: 0, failed: null }
    this.change({ outbox: [...this.view.get().outbox, entry] })
    return new Promise(() => undefined)
  }

  discard(id: string): void {
    this.discarded.push(id)
    this.change({ outbox: this.view.get().outbox.filter((each) => each.id !== id) })
  }

  async older(): Promise<void> {
    this.change({ events: [...this.olderEvents, ...this.view.get().events], older: false })
  }

  watchStatus(): () => void {
    this.watching += 1
    return () => {
      this.watching -= 1
    }
  }

  async step(step: SessionStep): Promise<Session> {
    this.steps.push(step)
    return session()
  }

  async complete(): Promise<Session> {
    return session()
  }

  reconnect(): void {}

  release(): void {
    this.open -= 1
  }
}

export function person(
  subject: string,
  patterns: Readonly<Record<string, Role>>,
  administrator = false,
): Identity {
  return {
    subject,
    name: `${subject[0]?.toUpperCase()}${subject.slice(1)}`,
    administrator,
    expires: START + 3_600_000,
    documentAccess: () => 'write',
    sessionRole: (id) =>
      administrator
        ? 'lead'
        : (patterns[id] ??
          Object.entries(patterns).find(
            ([each]) => each.endsWith('*') && id.startsWith(each.slice(0, -1)),
          )?.[1] ??
          null),
    sessionPatterns: new Map(Object.entries(patterns)),
  }
}

/** A client whose sessions are in memory; what the API is not given, rejects. */
export class MemoryClient {
  readonly identity: Cell<Identity | null>
  readonly channels = new Map<string, MemoryChannel>()
  readonly created: NewSession[] = []
  list: () => Promise<readonly SessionSummary[]> = async () => []
  create: (asked: NewSession) => Promise<Session> = async ({ id }) => session({ id: id ?? 'made' })
  service: () => Promise<Readonly<Record<string, unknown>>> = async () => ({})

  constructor(who: Identity) {
    this.identity = new Cell<Identity | null>(who)
  }

  get client(): Client {
    const api = {
      list: () => this.list(),
      create: (asked: NewSession) => {
        this.created.push(asked)
        return this.create(asked)
      },
      service: () => this.service(),
    }
    return {
      url: 'http://service',
      identity: this.identity,
      api,
      session: (id: string) => {
        const channel = this.channels.get(id)
        if (channel === undefined) throw new Error(`no channel ${id} in this test`)
        return channel
      },
    } as unknown as Client
  }
}

/** A status of the session above, after so many seconds. */
export function status(seconds: number, change: Partial<SessionStatus> = {}): SessionStatus {
  return {
    session: 's1',
    state: 'running',
    epoch: 'e1',
    top: 8,
    time: iso(seconds),
    active_seconds: seconds,
    connections: 2,
    members: [
      {
        subject: 'alice',
        name: 'Alice',
        role: 'evaluator',
        member: true,
        joined_at: iso(0),
        acknowledged: 7,
        online: true,
        connections: [
          {
            kind: 'document',
            document: 'drafts/s1/refund',
            access: 'write',
            since: iso(0),
            last_seen: iso(seconds),
            unsaved: 2,
            latency_ms: 21,
          },
          {
            kind: 'events',
            document: null,
            access: null,
            since: iso(0),
            last_seen: iso(seconds),
            unsaved: 0,
            latency_ms: 4,
          },
        ],
        last_committed: null,
      },
      {
        subject: 'bob',
        name: 'Bob',
        role: 'evaluator',
        member: true,
        joined_at: iso(0),
        acknowledged: 8,
        online: false,
        connections: [],
        last_committed: null,
      },
    ],
    test_cases: [
      {
        id: 'refund',
        title: 'Refund after 30 days',
        documents: [],
        open: ['alice'],
        edits: 41,
        last_edit: { at: iso(seconds), by: 'alice', position: 41 },
        evaluators: [
          {
            subject: 'alice',
            progress: { answered: 3, required: 4, optional_answered: 1, share: 0.75 },
            completed: false,
            completed_at: null,
          },
          {
            subject: 'bob',
            progress: { answered: 4, required: 4, optional_answered: 0, share: 1 },
            completed: true,
            completed_at: iso(5),
          },
        ],
      },
    ],
    other_documents: [],
    delivery: {
      delivered: 96,
      success: 0.9996,
      latency_ms: { p50: 0.4, p95: 1.6, p99: 3.1 },
    },
    ...change,
  }
}
