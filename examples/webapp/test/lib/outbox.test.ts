import { beforeEach, describe, expect, test } from 'vitest'
import { type Locks, Outbox } from '../../src/lib/outbox'
import { MOST_WAITING } from '../../src/lib/outbox-queue'
import { openSessionStore, type SessionStore } from '../../src/lib/session-store'
import { FakeLocks } from '../support/locks'
import { until } from '../support/until'

/** A service that commits whatever it is sent, in order, each id once. */
class Log {
  readonly entries: { id: string; kind: string }[] = []
  listening = true

  open(outbox: () => Outbox): (message: Readonly<Record<string, unknown>>) => boolean {
    return ({ id, kind }) => {
      if (!this.listening) return false
      if (!this.entries.some((each) => each.id === id)) {
        this.entries.push({ id: `${id}`, kind: `${kind}` })
      }
      const offset = this.entries.findIndex((each) => each.id === id) + 1
      queueMicrotask(() => outbox().published(`${id}`, offset))
      return true
    }
  }

  get kinds(): string[] {
    return this.entries.map((each) => each.kind)
  }
}

let store: SessionStore
let locks: Locks | undefined
let log: Log

beforeEach(async () => {
  store = await openSessionStore('http://x', 'bob', undefined)
  locks = new FakeLocks() as unknown as Locks
  log = new Log()
})

function page(session = 's'): Outbox {
  const outbox: Outbox = new Outbox({ session, store, locks, send: log.open(() => outbox) })
  return outbox
}

const empty = (outbox: Outbox) => until(outbox.entries, (entries) => entries.length === 0, 2_000)
const waiting = (outbox: Outbox, n: number) =>
  until(outbox.entries, (entries) => entries.length === n, 2_000)
/** Everything that can happen without a timer has happened. */
const quiet = () => new Promise((resolve) => setImmediate(resolve))

test('an event is kept before it is sent, and until it is in the log', async () => {
  const outbox = page()
  const order: string[] = []
  const [keep, remove] = [store.keep.bind(store), store.remove.bind(store)]
  store.keep = async (each) => {
    await quiet()
    order.push(`kept, ${log.entries.length} in the log`)
    await keep(each)
  }
  store.remove = async (each) => {
    order.push(`removed, ${log.entries.length} in the log`)
    await remove(each)
  }
  outbox.connect()
  expect(await outbox.publish('k', {})).toBe(1)
  expect(order).toEqual(['kept, 0 in the log', 'removed, 1 in the log'])
  expect(await store.leftovers('s')).toEqual([])
})

test('events go in the order in which they were published', async () => {
  const outbox = page()
  const all = ['a', 'b', 'c', 'd'].map((each) => outbox.publish(each, {}))
  await waiting(outbox, 4)
  outbox.connect()
  expect(await Promise.all(all)).toEqual([1, 2, 3, 4])
  expect(log.kinds).toEqual(['a', 'b', 'c', 'd'])
})

test('an event that is seen in the log is published, whoever sent it', async () => {
  const outbox = page()
  const published = outbox.publish('a', {})
  const [entry] = await waiting(outbox, 1)
  outbox.published(entry?.id ?? '', 9)
  expect(await published).toBe(9)
})

test('it is bounded, and says what to do', async () => {
  const outbox = page()
  for (let n = 0; n < MOST_WAITING; n += 1) void outbox.publish('k', {})
  await expect(outbox.publish('k', {})).rejects.toThrow(/connect, or discard/)
  await waiting(outbox, MOST_WAITING)
  expect(await store.leftovers('s')).toHaveLength(MOST_WAITING)
})

test('data is what the service will read', async () => {
  const outbox = page()
  const given: Record<string, unknown> = { text: 'x', none: undefined, at: new Date(0) }
  void outbox.publish('k', given)
  given.text = 'changed'
  const [entry] = await waiting(outbox, 1)
  expect(entry?.data).toEqual({ text: 'x', at: '1970-01-01T00:00:00.000Z' })
})

test('what was refused is kept as such, over pages too, until it is discarded', async () => {
  const outbox = page()
  const published = outbox.publish('k', {})
  const [entry] = await waiting(outbox, 1)
  outbox.refused(entry?.id ?? '', 'illegal-step', 'it is stopped')
  await expect(published).rejects.toMatchObject({ code: 'illegal-step', message: 'it is stopped' })
  await quiet()
  outbox.close()
  const next = page()
  next.connect()
  const [failed] = await waiting(next, 1)
  expect(failed?.failed).toBe('it is stopped')
  expect(log.entries).toEqual([])
  next.discard(failed?.id ?? '')
  await quiet()
  expect(await store.leftovers('s')).toEqual([])
})

test('what is discarded before it was sent is never sent', async () => {
  const outbox = page()
  const published = outbox.publish('k', {})
  const [entry] = await waiting(outbox, 1)
  outbox.discard(entry?.id ?? '')
  await expect(published).rejects.toMatchObject({ code: 'discarded' })
  outbox.connect()
  await quiet()
  expect(log.entries).toEqual([])
  expect(await store.leftovers('s')).toEqual([])
})

describe('two pages of one person', () => {
  test('one leaves alone what the other, which lives, will send', async () => {
    const [one, other] = [page(), page()]
    for (const each of ['a', 'b']) void one.publish(each, {})
    await waiting(one, 2)
    other.connect()
    await quiet()
    expect(log.entries).toEqual([])
    expect(other.entries.get()).toEqual([])
  })

  test('one takes over what the other left, in its order, as soon as it goes', async () => {
    const [one, other] = [page(), page()]
    for (const each of ['a', 'b', 'c']) void one.publish(each, {})
    await waiting(one, 3)
    other.connect()
    await quiet()
    one.close()
    await quiet()
    await empty(other)
    expect(log.kinds).toEqual(['a', 'b', 'c'])
    expect(await store.leftovers('s')).toEqual([])
  })

  test('the next page sends what was left, before its own', async () => {
    const one = page()
    for (const each of ['a', 'b', 'c']) void one.publish(each, {})
    await waiting(one, 3)
    one.close()
    const next = page()
    await next.adopt()
    await waiting(next, 3)
    const published = next.publish('d', {})
    await waiting(next, 4)
    next.connect()
    await published
    expect(log.kinds).toEqual(['a', 'b', 'c', 'd'])
  })

  test('one that closes while it waits for the other takes nothing', async () => {
    const [one, other] = [page(), page()]
    void one.publish('a', {})
    await waiting(one, 1)
    await other.adopt()
    await quiet()
    other.close()
    one.close()
    await quiet()
    expect(other.entries.get()).toEqual([])
    const third = page()
    third.connect()
    await quiet()
    await empty(third)
    expect(log.kinds).toEqual(['a'])
  })

  test('the leftovers of another session stay', async () => {
    const one = page('t')
    void one.publish('a', {})
    await waiting(one, 1)
    one.close()
    const other = page('s')
    other.connect()
    await quiet()
    expect(log.entries).toEqual([])
    expect(await store.leftovers('t')).toHaveLength(1)
  })

  test('without locks both send, each in order, and the log has each once, in order', async () => {
    locks = undefined
    const one = page()
    for (const each of ['a', 'b', 'c', 'd']) void one.publish(each, {})
    await waiting(one, 4)
    const other = page()
    other.connect()
    one.connect()
    await empty(one)
    await empty(other)
    expect(log.kinds).toEqual(['a', 'b', 'c', 'd'])
    expect(await store.leftovers('s')).toEqual([])
  })

  test('nothing is kept before the lock is held: it would look left behind', async () => {
    const { request } = new FakeLocks()
    let grant = (): void => {}
    const granting = new Promise<void>((resolve) => {
      grant = resolve
    })
    const slow: typeof request = async (name, options, callback) => {
      await granting
      return request(name, options, callback)
    }
    locks = { request: slow } as unknown as Locks
    const outbox = page()
    void outbox.publish('a', {})
    await quiet()
    expect(await store.leftovers('s')).toEqual([])
    grant()
    await waiting(outbox, 1)
    expect(await store.leftovers('s')).toHaveLength(1)
  })

  test('a page whose locks fail goes without', async () => {
    locks = { request: async () => fail() } as unknown as Locks
    const outbox = page()
    outbox.connect()
    expect(await outbox.publish('a', {})).toBe(1)
  })
})

function fail(): never {
  throw new DOMException('opaque origin', 'SecurityError')
}
