import 'fake-indexeddb/auto'
import { IDBFactory } from 'fake-indexeddb'
import { beforeEach, describe, expect, test } from 'vitest'
import { KEPT_EVENTS, type KeptSession } from '../../src/lib/session-log'
import { openSessionStore, type SessionStore } from '../../src/lib/session-store'
import { newEvent, newSession } from '../support/events-server'

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)

const kept = (from: number, to: number, epoch = 'e', id = 's'): KeptSession => ({
  session: newSession(id, epoch, [], { top: to }),
  epoch,
  offset: to,
  events: range(from, to).map((each) => newEvent(each)),
})

const leftover = (session: string, queue: string, place: number) => ({
  session,
  queue,
  place,
  entry: { id: `${queue}${place}`, kind: 'k', data: {}, at: 0, attempts: 0, failed: null },
})

let factory: IDBFactory
const open = (subject = 'bob', url = 'http://x') => openSessionStore(url, subject, factory)

beforeEach(() => {
  factory = new IDBFactory()
})

/** What every store does. */
const STORES: [string, () => Promise<SessionStore>][] = [
  ['IndexedDB', () => open()],
  ['memory', () => openSessionStore('http://x', 'bob', undefined)],
]
for (const [name, make] of STORES) {
  describe(name, () => {
    test('gives back what was kept, and nothing else', async () => {
      const store = await make()
      expect(await store.load('s')).toBeNull()
      await store.save('s', kept(1, 3))
      await store.save('t', kept(5, 6, 'f', 't'))
      expect(await store.load('s')).toEqual(kept(1, 3))
      expect(await store.load('t')).toEqual(kept(5, 6, 'f', 't'))
    })

    test('goes on, also backwards when older events were loaded', async () => {
      const store = await make()
      await store.save('s', kept(5, 6))
      await store.save('s', kept(5, 8))
      await store.save('s', kept(1, 9))
      expect(await store.load('s')).toEqual(kept(1, 9))
    })

    test('forgets another epoch', async () => {
      const store = await make()
      await store.save('s', kept(1, 3, 'e'))
      await store.save('s', kept(1, 2, 'd'))
      expect(await store.load('s')).toEqual(kept(1, 2, 'd'))
    })

    test('keeps what waits by session, queue and place, until it is removed', async () => {
      const store = await make()
      const [a, b, c] = [leftover('s', 'q', 0), leftover('s', 'q', 1), leftover('t', 'q', 0)]
      for (const each of [a, b, c]) await store.keep(each)
      const failed = { ...a, entry: { ...a.entry, failed: 'no' } }
      await store.keep(failed)
      expect(await store.leftovers('s')).toHaveLength(2)
      expect(await store.leftovers('s')).toEqual(expect.arrayContaining([failed, b]))
      await store.remove(b)
      expect(await store.leftovers('s')).toEqual([failed])
      expect(await store.leftovers('t')).toEqual([c])
      expect(await store.leftovers('')).toEqual([])
    })
  })
}

describe('on the device', () => {
  test('it outlives the page', async () => {
    const before = await open()
    await before.save('s', kept(1, 3))
    await before.keep(leftover('s', 'q', 0))
    before.close()
    const after = await open()
    expect(after.durable).toBe(true)
    expect(await after.load('s')).toEqual(kept(1, 3))
    expect(await after.leftovers('s')).toHaveLength(1)
  })

  test('two people, and two services, never mix', async () => {
    await (await open('bob')).save('s', kept(1, 3))
    expect(await (await open('ann')).load('s')).toBeNull()
    expect(await (await open('bob', 'http://y')).load('s')).toBeNull()
  })

  test('the last events are kept, and no more', async () => {
    const store = await open()
    for (let top = 400; top <= 2_000; top += 400) {
      await store.save('s', kept(Math.max(1, top - KEPT_EVENTS + 1), top))
    }
    expect((await store.load('s'))?.events).toHaveLength(KEPT_EVENTS)
    expect(await eventsIn(store.name)).toBe(KEPT_EVENTS)
  })

  test('a page that is behind does not take another one back', async () => {
    const [behind, ahead] = [await open(), await open()]
    await ahead.save('s', kept(1, 9))
    await behind.save('s', kept(1, 4))
    expect(await (await open()).load('s')).toEqual(kept(1, 9))
  })

  test('what was kept with a gap is given back without it', async () => {
    const [one, other] = [await open(), await open()]
    await one.save('s', kept(1, 3))
    await other.save('s', kept(7, 9))
    expect(await (await open()).load('s')).toEqual(kept(7, 9))
  })

  test('a session that nobody opened for months is forgotten', async () => {
    const before = await open()
    const now = Date.now
    Date.now = () => now() - 61 * 24 * 3_600_000
    await before.save('s', kept(1, 3))
    Date.now = now
    await before.save('t', kept(1, 3, 'e', 't'))
    const after = await open()
    expect(await after.load('t')).not.toBeNull()
    expect(await after.load('s')).toBeNull()
    expect(await eventsIn(after.name)).toBe(3)
  })
})

describe('where it fails', () => {
  test('no database: the page remembers', async () => {
    const broken = { open: () => fail() } as unknown as IDBFactory
    const store = await openSessionStore('http://x', 'bob', broken)
    expect(store.durable).toBe(false)
    await store.save('s', kept(1, 3))
    expect(await store.load('s')).toEqual(kept(1, 3))
  })

  test('a database that is closed under it: the page remembers what comes from then on', async () => {
    const store = await open()
    await store.save('s', kept(1, 3))
    await store.keep(leftover('s', 'q', 0))
    store.close() // as a browser does when it has no more room, or a newer page needs it
    await store.keep(leftover('s', 'q', 1))
    await store.save('s', kept(1, 4))
    expect(store.durable).toBe(false)
    expect(await store.load('s')).toEqual(kept(1, 4))
    expect(await store.leftovers('s')).toEqual([leftover('s', 'q', 1)])
    await store.remove(leftover('s', 'q', 1))
    expect(await store.leftovers('s')).toEqual([])
  })
})

function fail(): never {
  throw new Error('SecurityError')
}

function eventsIn(name: string): Promise<number> {
  return new Promise((resolve) => {
    const opening = factory.open(name)
    opening.onsuccess = () => {
      const count = opening.result.transaction('events').objectStore('events').count()
      count.onsuccess = () => resolve(count.result)
    }
  })
}
