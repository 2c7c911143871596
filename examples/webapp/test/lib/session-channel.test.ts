import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type OpenSession, openSession } from '../../src/lib/session-channel'
import type { KeptSession } from '../../src/lib/session-log'
import { openSessionStore, type SessionStore } from '../../src/lib/session-store'
import { ApiError, Denied, type SessionEvent, type SessionsApi } from '../../src/lib/types'
import { EventsServer, newEvent, newSession } from '../support/events-server'
import { FakeTokens } from '../support/tokens'

const BOB = {
  subject: 'bob',
  name: 'Bob',
  role: 'evaluator',
  joined_at: 't',
  acknowledged: 0,
} as const

let server: EventsServer
let tokens: FakeTokens
let store: SessionStore
let page: EventTarget
let api: SessionsApi
let opened: OpenSession[]

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)
const seconds = (n: number): Promise<unknown> => vi.advanceTimersByTimeAsync(n * 1_000)

beforeEach(async () => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
  })
  server = new EventsServer([BOB])
  tokens = new FakeTokens('bob')
  store = await openSessionStore('http://x', 'bob', undefined)
  page = new EventTarget()
  opened = []
  api = {
    events: async (_id: string, { after = 0, limit = 100 }) =>
      server.log.filter((each) => each.offset > after).slice(0, limit),
    step: async () => {
      throw new ApiError(409, 'not open', ['join'])
    },
  } as Partial<SessionsApi> as SessionsApi
})

afterEach(async () => {
  await Promise.all(opened.map((each) => each.close()))
  vi.useRealTimers()
})

function follow(random: () => number = () => 1): OpenSession {
  const session = openSession({
    id: 's',
    url: 'http://x/',
    tokens,
    api,
    release: () => {},
    openStore: async () => store,
    WebSocket: server.WebSocket,
    locks: undefined,
    page,
    random,
  })
  opened.push(session)
  return session
}

async function online(): Promise<OpenSession> {
  const session = follow()
  await settle()
  expect(session.connection.get().status).toBe('online')
  return session
}

const status = (session: OpenSession): string => session.connection.get().status
const offsets = (session: OpenSession): number[] =>
  session.view.get().events.map((each) => each.offset)
const subscriptions = () => server.heardOf('subscribe')

const kept = (offset: number, events: SessionEvent[] = []): KeptSession => ({
  session: newSession('s', 'e1', [BOB], { top: offset }),
  epoch: 'e1',
  offset,
  events,
})

describe('following', () => {
  test('begins with what comes next, and loads the history', async () => {
    for (let n = 0; n < 250; n += 1) server.emit()
    const session = await online()
    expect(server.addresses).toEqual(['ws://x/sessions/s/events?token=token-1'])
    expect(subscriptions()).toEqual([{ type: 'subscribe', status: false }])
    expect(offsets(session)).toHaveLength(200)
    expect(session.view.get()).toMatchObject({ older: true, stale: false, problem: null })
    await session.older()
    expect(offsets(session)[0]).toBe(1)
    expect(session.view.get().older).toBe(false)
  })

  test('goes on behind what this device kept, which is stale until then', async () => {
    for (let n = 0; n < 5; n += 1) server.emit()
    await store.save('s', kept(3, [newEvent(2), newEvent(3)]))
    server.mute = true
    const session = follow()
    await settle()
    expect(subscriptions()).toEqual([{ type: 'subscribe', epoch: 'e1', after: 3, status: false }])
    expect(session.view.get()).toMatchObject({ stale: true, older: true })
    expect(offsets(session)).toEqual([2, 3])
    server.mute = false
    session.reconnect()
    await settle()
    expect(offsets(session)).toEqual([1, 2, 3, 4, 5]) // the first one was not kept
    expect(session.view.get()).toMatchObject({ stale: false, older: false })
  })

  test('tells each event once, in order, from when somebody listens', async () => {
    server.emit()
    const session = await online()
    const heard: number[] = []
    const stop = session.onEvent((event) => heard.push(event.offset))
    server.emit()
    server.emit()
    await settle()
    server.cut()
    server.emit()
    await seconds(1)
    server.say({ type: 'event', ...newEvent(3) })
    await settle()
    expect(heard).toEqual([2, 3, 4])
    stop()
    server.emit()
    await settle()
    expect(heard).toEqual([2, 3, 4])
    expect(offsets(session)).toEqual([1, 2, 3, 4, 5])
  })

  test('asks again where an event is missing', async () => {
    const session = await online()
    server.emit()
    server.lose = 1
    server.emit()
    server.emit()
    server.emit()
    await settle()
    expect(subscriptions().slice(1)).toEqual([
      { type: 'subscribe', epoch: 'e1', after: 1, status: false },
    ])
    expect(offsets(session)).toEqual([1, 2, 3, 4])
  })

  test('begins from the snapshot where a gap stays', async () => {
    const session = await online()
    server.emit()
    await settle()
    server.log = server.log.concat(newEvent(3)) // its log has a hole
    server.session = { ...server.session, top: 3 }
    server.say({ type: 'event', ...newEvent(3) })
    await settle()
    expect(subscriptions().slice(1)).toEqual([
      { type: 'subscribe', epoch: 'e1', after: 1, status: false },
      { type: 'subscribe', status: false },
    ])
    server.emit()
    await settle()
    expect(offsets(session)).toEqual([3, 4])
    expect(status(session)).toBe('online')
  })

  test('begins from the snapshot where retention was faster, and loads what there is', async () => {
    const session = await online()
    server.emit()
    await settle()
    server.cut()
    for (let n = 0; n < 9; n += 1) server.emit()
    server.truncate(6)
    await seconds(1)
    expect(offsets(session)).toEqual([7, 8, 9, 10])
    expect(session.view.get()).toMatchObject({ older: false, session: { top: 10 } })
  })

  test('drops everything with the epoch', async () => {
    const session = await online()
    for (let n = 0; n < 5; n += 1) server.emit()
    await settle()
    server.begin('e2')
    server.cut()
    server.emit('other.kind')
    await seconds(1)
    expect(session.view.get().events.map((each) => each.kind)).toEqual(['other.kind'])
    expect(session.view.get().session?.epoch).toBe('e2')
  })

  test('older events that come when the log is another one are not mixed into it', async () => {
    for (let n = 0; n < 250; n += 1) server.emit()
    const session = await online()
    const { events } = api
    let arrive = (_: readonly SessionEvent[]): void => {}
    api.events = () => new Promise((resolve) => (arrive = resolve))
    const older = session.older()
    const first = server.log.slice(0, 50)
    api.events = events
    server.begin('e2')
    for (let n = 0; n < 50; n += 1) server.emit('other.kind')
    server.cut()
    await seconds(1)
    arrive(first)
    await older
    expect(session.view.get().events.map((each) => each.kind)).toEqual(Array(50).fill('other.kind'))
  })

  test('nor are they where the new log could not be read yet, and they would join', async () => {
    for (let n = 0; n < 250; n += 1) server.emit()
    const session = await online()
    let arrive = (_: readonly SessionEvent[]): void => {}
    api.events = () => new Promise((resolve) => (arrive = resolve))
    const older = session.older()
    const first = server.log.slice(0, 50)
    api.events = async () => {
      throw new ApiError(0, 'offline')
    }
    server.begin('e2')
    for (let n = 0; n < 50; n += 1) server.emit('other.kind')
    server.cut()
    await seconds(1)
    arrive(first)
    await older
    expect(session.view.get()).toMatchObject({ events: [], older: true })
  })

  test('changes the session with the events, and takes what steps answer', async () => {
    const session = await online()
    server.emit('session.started', { state: 'running' })
    await settle()
    expect(session.view.get().session?.state).toBe('running')
    await expect(session.step('resume')).rejects.toMatchObject({ openSteps: ['join'] })
    api.step = async () => newSession('s', 'e1', [BOB], { top: 2, state: 'paused' })
    await session.step('pause')
    expect(session.view.get().session?.state).toBe('paused')
    server.emit('session.paused', { state: 'paused' })
    await settle()
    expect(offsets(session)).toEqual([1, 2])
  })

  test('keeps the view while nothing changes', async () => {
    const session = await online()
    const before = session.view.get()
    await seconds(20)
    session.watchStatus()()
    await settle()
    expect(session.view.get()).toBe(before)
  })

  test('shows many missed events in few views', async () => {
    const session = await online()
    server.cut()
    await settle()
    for (let n = 0; n < 100; n += 1) server.emit()
    let views = 0
    session.view.subscribe(() => {
      views += 1
    })
    await seconds(1)
    expect(offsets(session)).toHaveLength(100)
    expect(views).toBeLessThan(5)
  })
})

describe('what was received', () => {
  test('is acknowledged when it is kept here, once a second, with one word for all', async () => {
    const session = await online()
    const saved: number[] = []
    const save = vi.spyOn(store, 'save').mockImplementation(async (_id, { offset }) => {
      saved.push(offset)
    })
    server.emit()
    server.emit()
    await seconds(0.9)
    server.emit()
    expect(server.heardOf('ack')).toEqual([])
    await seconds(0.2)
    expect(saved).toEqual([3])
    expect(server.heardOf('ack')).toEqual([{ type: 'ack', offset: 3 }])
    api.step = async () => server.session
    await session.step('join') // it is kept again, with nothing new to acknowledge
    await seconds(2)
    expect(saved).toEqual([3, 3])
    expect(server.heardOf('ack')).toHaveLength(1)
    let finish = (): void => {}
    save.mockImplementation(() => new Promise((resolve) => (finish = resolve)))
    server.emit()
    await seconds(5)
    expect(server.heardOf('ack')).toHaveLength(1)
    finish()
    await settle()
    expect(server.heardOf('ack').at(-1)).toEqual({ type: 'ack', offset: 4 })
    save.mockRestore()
    expect(status(session)).toBe('online')
  })

  test('is acknowledged by members only', async () => {
    server.session = newSession('s', 'e1')
    await online()
    server.emit()
    await seconds(5)
    expect(server.heardOf('ack')).toEqual([])
    server.emit('session.joined', { subject: 'bob', name: 'Bob', role: 'evaluator' })
    await seconds(2)
    expect(server.heardOf('ack')).toEqual([{ type: 'ack', offset: 2 }])
  })

  test('is acknowledged again where the service has forgotten it', async () => {
    await online()
    server.emit()
    await seconds(2)
    server.cut() // killed before it had written that; the snapshot says 0
    await seconds(3)
    expect(server.heardOf('ack')).toHaveLength(2)
  })

  test('is kept when the channel is closed, and acknowledged', async () => {
    const session = await online()
    server.emit()
    await settle()
    await session.close()
    expect((await store.load('s'))?.offset).toBe(1)
    expect(server.heardOf('ack')).toEqual([{ type: 'ack', offset: 1 }])
    expect(server.sockets).toEqual([])
  })
})

describe('the connection', () => {
  test('comes back after pauses that grow, with full jitter, and are reset by a subscription', async () => {
    server.down = true
    const session = follow(() => 1)
    await settle()
    const pauses: number[] = []
    for (let n = 0; n < 8; n += 1) {
      const { retryAt } = session.connection.get()
      const pause = (retryAt ?? Number.NaN) - Date.now()
      pauses.push(pause)
      await vi.advanceTimersByTimeAsync(pause - 1)
      expect(server.addresses).toHaveLength(n + 1)
      await vi.advanceTimersByTimeAsync(1)
      expect(server.addresses).toHaveLength(n + 2)
    }
    expect(pauses).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000])
    expect(session.connection.get()).toMatchObject({ status: 'offline', retries: 9 })
    server.down = false
    await seconds(10)
    expect(session.connection.get()).toMatchObject({ status: 'online', retries: 0, retryAt: null })
    server.cut()
    await settle()
    expect((session.connection.get().retryAt ?? 0) - Date.now()).toBe(200)
  })

  test('jitter is full: an unlucky one waits not at all', async () => {
    server.down = true
    const session = follow(() => 0)
    await settle()
    expect(session.connection.get().retryAt).toBe(Date.now())
  })

  test('a service that accepts and closes is not asked ten times a second', async () => {
    server.mute = true
    const session = follow()
    await settle()
    for (let n = 0; n < 100; n += 1) {
      server.cut(1013)
      await vi.advanceTimersByTimeAsync(100)
    }
    expect(server.addresses.length).toBeLessThan(8)
    expect(status(session)).toBe('offline')
  })

  test('one that accepts and says nothing is given up', async () => {
    server.mute = true
    follow()
    await seconds(14.9)
    expect(server.addresses).toHaveLength(1)
    await seconds(1)
    expect(server.addresses).toHaveLength(2)
  })

  test('pings are answered, and the round trip is measured by our own', async () => {
    const session = await online()
    expect(session.connection.get().latency).toBe(0)
    server.say({ type: 'ping', top: 0, time: 't' })
    await settle()
    expect(server.heardOf('pong')).toEqual([{ type: 'pong' }])
    await seconds(31)
    expect(server.heardOf('ping')).toHaveLength(3)
    server.silent = true
    await seconds(15)
    await vi.advanceTimersByTimeAsync(42)
    server.say({ type: 'pong' })
    await settle()
    expect(session.connection.get().latency).toBe(1_042) // the ping was at 45 s, this is 46.042
  })

  test('a silent service has gone', async () => {
    const session = await online()
    server.silent = true
    await seconds(34) // two questions have had no answer, and the last one has a second left
    expect(status(session)).toBe('online')
    await seconds(1)
    expect(status(session)).toBe('connecting')
    server.silent = false
    await seconds(1)
    expect(server.addresses).toHaveLength(2)
    expect(status(session)).toBe('online')
  })

  test('after a sleep it is doubted, and made again where nothing is heard', async () => {
    const session = await online()
    vi.setSystemTime(Date.now() + 3_600_000)
    page.dispatchEvent(new Event('visibilitychange'))
    await seconds(1)
    expect(server.addresses).toHaveLength(2)
    expect(status(session)).toBe('online')
  })

  test('when the network goes, it is asked at once whether it is there', async () => {
    const session = await online()
    page.dispatchEvent(new Event('offline'))
    await seconds(6)
    expect(server.addresses).toHaveLength(1) // it was: the service may be on this very computer
    server.silent = true
    server.down = true
    page.dispatchEvent(new Event('offline'))
    await seconds(6)
    expect(status(session)).toBe('offline')
  })

  test('when the network comes, it is tried at once', async () => {
    server.down = true
    const session = follow()
    await seconds(30)
    const tried = server.addresses.length
    server.down = false
    page.dispatchEvent(new Event('online'))
    await settle()
    expect(server.addresses).toHaveLength(tried + 1)
    expect(status(session)).toBe('online')
  })

  test('a verdict is final, and says why', async () => {
    const session = await online()
    server.say({ type: 'error', code: 'forbidden', message: 'no right, in many words' })
    server.cut(4403, 'no right')
    await seconds(60)
    expect(session.connection.get()).toMatchObject({
      status: 'denied',
      verdict: { code: 4403, reason: 'no right, in many words' },
    })
    expect(session.view.get().problem).toBe('no right, in many words')
    expect(server.addresses).toHaveLength(1)
    session.reconnect()
    await settle()
    expect(status(session)).toBe('online')
    expect(session.view.get().problem).toBeNull()
  })

  test('a token that has expired is renewed, and it connects at once', async () => {
    const session = await online()
    tokens.onRefused = () => {
      tokens.token = 'token-2'
    }
    server.cut(4401, 'token-expired: get a new token and connect again')
    await settle()
    expect(tokens.refusals).toEqual(['token-1'])
    expect(server.addresses[1]).toContain('token=token-2')
    expect(status(session)).toBe('online')
  })

  test('where the new one has expired as well, it waits between attempts', async () => {
    server.mute = true
    follow()
    await settle()
    for (let n = 0; n < 50; n += 1) {
      server.cut(4401, 'token-expired: get a new token')
      await vi.advanceTimersByTimeAsync(100)
    }
    expect(server.addresses.length).toBeLessThan(8)
  })

  test('a new token is said on the open connection', async () => {
    const session = await online()
    const { since } = session.connection.get()
    tokens.renew('token-2')
    await settle()
    expect(server.heardOf('token')).toEqual([{ type: 'token', token: 'token-2' }])
    expect(session.connection.get().since).toBe(since)
  })

  test('a revoked token is final until there is a new one', async () => {
    const session = await online()
    server.cut(4401, 'the token was revoked')
    await settle()
    expect(status(session)).toBe('denied')
    tokens.renew('token-2')
    await settle()
    expect(status(session)).toBe('online')
  })

  test('without a token it is offline, and denied when there will never be one', async () => {
    tokens.failure = new Error('offline')
    const session = follow()
    await settle()
    expect(status(session)).toBe('offline')
    tokens.failure = new Denied('sign in again')
    await seconds(1)
    expect(session.connection.get().verdict).toEqual({ code: 4401, reason: 'sign in again' })
  })

  test('what is no message costs the connection', async () => {
    const session = await online()
    for (const each of server.sockets) each.onmessage?.({ data: 'no JSON' })
    await seconds(1)
    expect(server.addresses).toHaveLength(2)
    expect(status(session)).toBe('online')
  })
})

describe('live status', () => {
  test('is asked for while somebody watches, and after a reconnection too', async () => {
    const session = await online()
    const stop = session.watchStatus()
    const stopToo = session.watchStatus()
    await settle()
    expect(subscriptions().at(-1)).toMatchObject({ status: true, after: 0 })
    expect(session.view.get().status).toEqual({ session: 's', top: 0 })
    server.cut()
    await seconds(1)
    expect(subscriptions()).toHaveLength(3)
    expect(subscriptions().at(-1)).toMatchObject({ status: true })
    stop()
    stop()
    await settle()
    expect(subscriptions()).toHaveLength(3)
    stopToo()
    await settle()
    expect(subscriptions().at(-1)).toMatchObject({ status: false })
    expect(session.view.get().status).toBeNull()
  })

  test('an effect that React runs twice asks once', async () => {
    const session = await online()
    session.watchStatus()()
    session.watchStatus()
    await settle()
    expect(subscriptions()).toHaveLength(2)
  })

  test('may be wanted before there is a connection', async () => {
    const session = follow()
    session.watchStatus()
    await settle()
    expect(session.view.get().status).not.toBeNull()
  })
})

describe('publishing', () => {
  test('in order, each once, over lost answers and connections', async () => {
    const session = await online()
    let unheard = 0
    server.onPublish = (message) => {
      unheard += 1
      if (unheard % 3 !== 0) return undefined
      server.emit(String(message.kind), message.data as Record<string, unknown>, String(message.id)) // committed,
      server.cut() // and nobody hears of it
      return null
    }
    const all = Array.from({ length: 20 }, (_, n) => session.publish('note.made', { n }))
    await seconds(60)
    expect(await Promise.all(all)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
    expect(server.log.map((each) => each.data.n)).toEqual(Array.from({ length: 20 }, (_, n) => n))
    expect(session.view.get().outbox).toEqual([])
  })

  test('an event is shown as waiting or as happened, never as both', async () => {
    const session = await online()
    const shown: string[] = []
    session.view.subscribe(() => {
      const { events, outbox } = session.view.get()
      shown.push(`${events.length}+${outbox.length}`)
    })
    await session.publish('note.made', {})
    expect([...new Set(shown)]).toEqual(['0+1', '1+0'])
  })

  test('what cannot be taken now is sent again, and what is behind it waits', async () => {
    const session = await online()
    let refusals = 3
    server.onPublish = () => {
      refusals -= 1
      return refusals < 0 ? undefined : { type: 'error', code: 'unavailable', message: 'later' }
    }
    const all = [session.publish('a', {}), session.publish('b', {})]
    await seconds(10)
    expect(await Promise.all(all)).toEqual([1, 2])
  })

  test('what is refused is kept with the reason, and the next one goes', async () => {
    const session = await online()
    server.onPublish = ({ kind }) =>
      kind === 'bad' ? { type: 'error', code: 'invalid-event', message: 'no such kind' } : undefined
    const [bad, good] = [session.publish('bad', {}), session.publish('good', {})]
    await expect(bad).rejects.toMatchObject({ code: 'invalid-event', message: 'no such kind' })
    expect(await good).toBe(1)
    expect(session.view.get().outbox).toMatchObject([{ kind: 'bad', failed: 'no such kind' }])
    expect(session.view.get().problem).toBeNull()
    session.discard(session.view.get().outbox[0]?.id ?? '')
    await settle()
    expect(session.view.get().outbox).toEqual([])
  })

  test('a service that has forgotten the subscription is told again, and then the event', async () => {
    const session = await online()
    let forgotten = true
    server.onPublish = () => {
      if (!forgotten) return undefined
      forgotten = false
      return { type: 'error', code: 'not-subscribed', message: 'first subscribe' }
    }
    expect(await session.publish('note.made', {})).toBe(1)
    expect(server.heard.map((each) => each.type).slice(-3)).toEqual([
      'publish',
      'subscribe',
      'publish',
    ])
  })

  test('what is too large is refused here: the service would cut the connection for it', async () => {
    const session = await online()
    const large = session.publish('note.made', { text: 'x'.repeat(70_000) })
    await expect(large).rejects.toMatchObject({ code: 'too-large' })
    expect(session.view.get().outbox).toEqual([])
  })

  test('offline it waits, and goes when the connection is there', async () => {
    server.down = true
    const session = follow()
    const published = session.publish('note.made', {})
    await seconds(20)
    expect(session.view.get().outbox).toHaveLength(1)
    server.down = false
    await seconds(10)
    expect(await published).toBe(1)
  })

  test('a channel that is closed leaves it to the next one', async () => {
    server.down = true
    const session = follow()
    const published = session.publish('note.made', { n: 1 })
    await settle()
    await session.close()
    await expect(published).rejects.toMatchObject({ name: 'Unpublished' })
    await expect(session.publish('note.made', {})).rejects.toMatchObject({ name: 'Unpublished' })
    server.down = false
    await online()
    await settle()
    expect(server.log.map((each) => each.data)).toEqual([{ n: 1 }])
  })
})
