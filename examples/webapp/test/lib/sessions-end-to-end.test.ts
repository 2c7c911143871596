/** The client library's sessions side against the real service. */
import { IDBFactory } from 'fake-indexeddb'
import 'fake-indexeddb/auto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { WebSocket as NodeWebSocket } from 'ws'
import { createApi } from '../../src/lib/api'
import { type OpenSession, openSession } from '../../src/lib/session-channel'
import { openSessionStore } from '../../src/lib/session-store'
import { ApiError, type Session, type SessionEvent } from '../../src/lib/types'
import { type Grants, haveService, Service } from '../support/service'
import { FakeTokens } from '../support/tokens'
import { until } from '../support/until'

const FORM = {
  id: 'f',
  title: 'F',
  sections: [
    {
      id: 's',
      title: 'S',
      questions: [{ id: 'q', kind: 'boolean', label: 'Good?', required: true }],
    },
  ],
}

vi.setConfig({ testTimeout: 60_000 }) // each takes a second or so; starting the service may not

let sockets: NodeWebSocket[] = []

/** A WebSocket whose connection a test can cut. */
class CutWebSocket extends NodeWebSocket {
  constructor(url: string) {
    super(url)
    sockets.push(this)
  }
}

const cut = (): void => {
  for (const each of sockets.splice(0)) each.terminate()
}

describe.skipIf(!haveService)('with the real service (../../.venv)', () => {
  const service = new Service()
  const opened: OpenSession[] = []
  let number = 0
  let id = ''

  beforeAll(() => service.start(), 30_000)
  afterAll(() => service.stop(), 30_000)

  beforeEach(() => {
    number += 1
    id = `s-${number}`
  })

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()))
    sockets = []
  })

  const person = (subject: string, grants: Grants = { sessions: { '*': 'join' } }) => {
    const tokens = new FakeTokens(subject, service.token(subject, grants))
    return { tokens, api: createApi({ url: service.url, tokens }) }
  }

  const lead = () => person('lena', { sessions: { '*': 'lead' } })

  const follow = (who: ReturnType<typeof person>, factory = new IDBFactory()): OpenSession => {
    const session = openSession({
      id,
      url: service.url,
      ...who,
      release: () => {},
      openStore: (url, subject) => openSessionStore(url, subject, factory),
      WebSocket: CutWebSocket as unknown as typeof WebSocket,
      page: undefined,
      random: () => 0.1, // short pauses: the service is killed, not overloaded
    })
    opened.push(session)
    return session
  }

  const create = (who: ReturnType<typeof person>) =>
    who.api.create({ id, project: 'p', test_cases: ['a', { id: 'b', title: 'B' }], form: FORM })

  const online = (session: OpenSession) =>
    until(session.connection, ({ status }) => status === 'online')

  test('fifty events through a killed server and cut sockets are in the log once, in order', async () => {
    const lena = lead()
    await create(lena)
    const bob = person('bob')
    await bob.api.step(id, 'join')
    const [publisher, subscriber] = [follow(bob), follow(lena)]
    await Promise.all([online(publisher), online(subscriber)])
    const heard: SessionEvent[] = []
    subscriber.onEvent((event) => heard.push(event))

    const published: Promise<number>[] = []
    const publish = (from: number, to: number): void => {
      for (let n = from; n <= to; n += 1) published.push(publisher.publish('note.made', { n }))
    }
    publish(1, 20)
    await Promise.race(published)
    await service.kill()
    publish(21, 30)
    await service.start()
    publish(31, 40)
    await until(publisher.view, ({ outbox }) => outbox.length < 20)
    cut()
    publish(41, 50)
    const offsets = await Promise.all(published)

    const log = await lena.api.events(id, { limit: 1_000, kind: 'note.made' })
    const wanted = Array.from({ length: 50 }, (_, n) => n + 1)
    expect(log.map((each) => each.data.n)).toEqual(wanted)
    expect(log.map((each) => each.offset)).toEqual(offsets)
    const top = offsets[49] ?? 0
    await until(subscriber.view, ({ events }) => events.some(({ offset }) => offset === top))
    expect(heard.map((each) => each.data.n)).toEqual(wanted)
    expect(heard.map((each) => each.offset)).toEqual(
      heard.map((_, n) => n + (heard[0]?.offset ?? 0)),
    )
    expect(publisher.view.get().outbox).toEqual([])
  })

  test('the session follows the events as a snapshot of it would be', async () => {
    const [lena, bob, vera] = [
      lead(),
      person('bob', { name: 'Bob', sessions: { '*': 'join' } }),
      person('vera'),
    ]
    await create(lena)
    const watching = follow(vera)
    await online(watching)
    const steps: [string, () => Promise<Session>][] = [
      ['bob joins', () => bob.api.step(id, 'join')],
      ['start', () => lena.api.step(id, 'start')],
      ['complete', () => bob.api.complete(id, 'a', true)],
      ['complete by a lead', () => lena.api.complete(id, 'b', true, 'bob')],
      ['reopen', () => bob.api.complete(id, 'a', false)],
      ['pause', () => lena.api.step(id, 'pause')],
      ['vera joins', () => vera.api.step(id, 'join')],
      ['resume', () => lena.api.step(id, 'resume')],
      ['bob leaves', () => bob.api.step(id, 'leave')],
      ['stop', () => lena.api.step(id, 'stop')],
    ]
    for (const [what, take] of steps) {
      const told = await take()
      const { session } = await until(watching.view, (view) => view.session?.top === told.top)
      expect(comparable(session), what).toEqual(comparable(told))
      expect(session?.active_seconds, what).toBeCloseTo(told.active_seconds, 0)
    }
  })

  test('a channel takes steps itself, and a step that is not open tells those that are', async () => {
    const lena = lead()
    await create(lena)
    const session = follow(lena)
    await online(session)
    expect((await session.step('start')).state).toBe('running')
    expect(session.view.get().session?.state).toBe('running')
    const refusal = await session.step('resume').catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(ApiError)
    expect(refusal).toMatchObject({ status: 409, openSteps: ['join', 'leave', 'pause', 'stop'] })
  })

  test('what members have received is acknowledged', async () => {
    const lena = lead()
    await create(lena)
    const session = follow(lena)
    await online(session)
    const offset = await session.publish('note.made', { n: 1 })
    await expect
      .poll(() => lena.api.get(id).then(acknowledgedBy('lena')), { timeout: 5_000 })
      .toBe(offset)
  })

  test('history is there for who comes late, and older events on demand', async () => {
    const lena = lead()
    await create(lena)
    const first = follow(lena)
    await online(first)
    await Promise.all(Array.from({ length: 250 }, (_, n) => first.publish('note.made', { n })))
    const late = follow(person('vera'))
    const view = await until(late.view, ({ events }) => events.length > 0)
    expect(view.events.map((each) => each.offset)).toEqual(range(52, 251))
    expect(view.older).toBe(true)
    await late.older()
    expect(late.view.get().events.map((each) => each.offset)).toEqual(range(1, 251))
    expect(late.view.get().older).toBe(false)
  })

  test('what was received is there again in the next page, and what was missed comes', async () => {
    const [lena, device] = [lead(), new IDBFactory()]
    await create(lena)
    const before = follow(lena, device)
    await online(before)
    await before.publish('note.made', { n: 1 })
    await until(before.view, ({ events }) => events.length === 2)
    await before.close()
    const other = follow(person('ann', { sessions: { '*': 'lead' } }))
    await other.step('join')
    await other.publish('note.made', { n: 2 })
    const after = follow(lena, device)
    const stale = await until(after.view, (view) => view.session !== null)
    expect(stale.stale).toBe(true)
    expect(stale.session?.form?.id).toBe('f')
    expect(stale.events.map((each) => each.offset)).toEqual([1, 2])
    const heard: number[] = []
    after.onEvent((event) => heard.push(event.offset))
    const fresh = await until(after.view, ({ events }) => events.length === 4)
    expect(fresh.stale).toBe(false)
    expect(heard).toEqual([3, 4])
  })

  test('what was published offline and never sent is sent by the next page', async () => {
    const [lena, device] = [lead(), new IDBFactory()]
    await create(lena)
    const offline = follow({ ...lena, tokens: silent(lena.tokens) }, device)
    for (const n of [1, 2, 3]) void offline.publish('note.made', { n }).catch(() => {})
    await until(offline.view, ({ outbox }) => outbox.length === 3)
    await offline.close()
    const next = follow(lena, device)
    await until(next.view, ({ events }) => events.length === 4)
    const log = await lena.api.events(id, { kind: 'note.made' })
    expect(log.map((each) => each.data.n)).toEqual([1, 2, 3])
    await until(next.view, ({ outbox }) => outbox.length === 0)
  })

  test('who may not publish has the reason, and it is kept until it is discarded', async () => {
    await create(lead())
    const session = follow(person('vera', { sessions: { '*': 'observe' } }))
    await online(session)
    await expect(session.publish('note.made', {})).rejects.toMatchObject({ code: 'forbidden' })
    const [failed] = session.view.get().outbox
    expect(failed?.failed).toMatch(/join the session first/)
    session.discard(failed?.id ?? '')
    await until(session.view, ({ outbox }) => outbox.length === 0)
  })

  test('no right to a session, and no such session, are final', async () => {
    await create(lead())
    const session = follow(person('eve', { sessions: {} }))
    id = 'nowhere'
    const nowhere = follow(lead())
    const { verdict } = await until(session.connection, ({ status }) => status === 'denied')
    expect(verdict?.code).toBe(4403)
    expect(session.view.get().problem).toBe(verdict?.reason)
    const told = await until(nowhere.connection, ({ status }) => status === 'denied')
    expect(told.verdict?.code).toBe(4404)
  })

  test('a token that expires is renewed, and nothing is missed', async () => {
    const lena = lead()
    await create(lena)
    const bob = person('bob', { sessions: { '*': 'join' }, ttl: 2 })
    bob.tokens.onRefused = () => {
      bob.tokens.token = service.token('bob', { sessions: { '*': 'join' } })
    }
    const session = follow(bob)
    await online(session)
    await until(session.connection, ({ status }) => status !== 'online')
    await lena.api.step(id, 'start')
    await until(session.view, (view) => view.session?.state === 'running')
    expect(bob.tokens.refusals).toHaveLength(1)
  })

  test('a token can be replaced on the open connection', async () => {
    const lena = lead()
    await create(lena)
    const bob = person('bob', { sessions: { '*': 'join' }, ttl: 3 })
    const keeping = follow({ ...bob, tokens: new FakeTokens('bob', bob.tokens.token) })
    const session = follow(bob)
    const [{ since }] = await Promise.all([online(session), online(keeping)])
    bob.tokens.renew(service.token('bob', { sessions: { '*': 'join' } }))
    await until(keeping.connection, ({ status }) => status !== 'online') // the first one is over
    await lena.api.step(id, 'start')
    await until(session.view, (view) => view.session?.state === 'running')
    expect(session.connection.get().since).toBe(since)
  })

  test('live status comes while it is watched, and the latency is measured', async () => {
    const lena = lead()
    await create(lena)
    const session = follow(lena)
    await until(session.connection, ({ latency }) => latency !== null)
    expect(session.view.get().status).toBeNull()
    const stop = session.watchStatus()
    const { status } = await until(session.view, (view) => view.status !== null)
    expect(status?.members.map((each) => each.subject)).toEqual(['lena'])
    stop()
    await until(session.view, (view) => view.status === null)
  })
})

test.skipIf(haveService)(
  'SKIPPED: no ../../.venv/bin/python, so no real service to test with',
  () => {},
)

/** A session without what only a snapshot knows. */
function comparable(session: Session | null): unknown {
  if (session === null) return null
  const { active_seconds: _, members, ...rest } = session
  return { ...rest, members: members.map(({ acknowledged: _, ...member }) => member) }
}

const acknowledgedBy =
  (subject: string) =>
  (session: Session): number | undefined =>
    session.members.find((each) => each.subject === subject)?.acknowledged

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)

/** The same person without a network. */
function silent(tokens: FakeTokens): FakeTokens {
  const offline = new FakeTokens(tokens.identity.get()?.subject ?? '')
  offline.failure = new Error('offline')
  return offline
}
