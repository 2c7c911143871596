import { describe, expect, test } from 'vitest'
import { MOST_WAITING, OutboxFull, OutboxQueue } from '../../src/lib/outbox-queue'
import type { Outgoing } from '../../src/lib/types'

const entry = (id: string, more: Partial<Outgoing> = {}): Outgoing => ({
  id,
  kind: 'note.made',
  data: {},
  at: 0,
  attempts: 0,
  failed: null,
  ...more,
})

function queueOf(...ids: string[]): OutboxQueue {
  const queue = new OutboxQueue(() => 1)
  for (const id of ids) {
    queue.reserve()
    queue.add(entry(id))
  }
  return queue
}

const connected = (...ids: string[]): OutboxQueue => {
  const queue = queueOf(...ids)
  queue.connect()
  return queue
}

const ids = (queue: OutboxQueue): string[] => queue.entries.map((each) => each.id)

describe('what is sent', () => {
  test('nothing, before the service listens', () => {
    expect(queueOf('a').next(0)).toBeNull()
  })

  test('the first, once, until it is answered', () => {
    const queue = connected('a', 'b')
    expect(queue.next(0)?.id).toBe('a')
    expect(queue.next(0)).toBeNull()
    expect(queue.published('a', 7)).toEqual({ kind: 'published', offset: 7 })
    expect(queue.next(0)?.id).toBe('b')
  })

  test('the same again after a new connection', () => {
    const queue = connected('a', 'b')
    queue.next(0)
    queue.disconnect()
    expect(queue.next(0)).toBeNull()
    queue.connect()
    expect(queue.next(0)).toMatchObject({ id: 'a', attempts: 2 })
  })

  test('nothing after not-subscribed, until somebody has subscribed', () => {
    const queue = connected('a')
    queue.next(0)
    queue.refused('a', 'not-subscribed', 'first subscribe', 0)
    expect(queue.next(1e9)).toBeNull()
    queue.connect()
    expect(queue.next(0)?.id).toBe('a')
  })

  test('what was published while nothing waited', () => {
    const queue = connected()
    expect(queue.next(0)).toBeNull()
    queue.reserve()
    queue.add(entry('a'))
    expect(queue.next(0)?.id).toBe('a')
  })
})

describe('what is refused', () => {
  for (const code of ['unavailable', 'internal']) {
    test(`${code}: the same again after a pause that grows, and nothing overtakes it`, () => {
      const queue = connected('a', 'b')
      const pauses = []
      let now = 0
      for (let n = 0; n < 9; n += 1) {
        expect(queue.next(now)?.id).toBe('a')
        const fate = queue.refused('a', code, 'later', now)
        const until = fate?.kind === 'waits' ? fate.until : Number.NaN
        pauses.push(until - now)
        expect(queue.next(until - 1)).toBeNull()
        now = until
      }
      expect(pauses).toEqual([500, 1e3, 2e3, 4e3, 8e3, 16e3, 30e3, 30e3, 30e3])
      expect(queue.entries.every((each) => each.failed === null)).toBe(true)
    })
  }

  test('the pauses begin anew when one was taken', () => {
    const queue = connected('a', 'b')
    queue.next(0)
    queue.refused('a', 'internal', '', 0)
    queue.next(500)
    queue.published('a', 1)
    queue.next(500)
    expect(queue.refused('b', 'internal', '', 500)).toEqual({ kind: 'waits', until: 1_000 })
  })

  for (const code of ['forbidden', 'illegal-step', 'invalid-event', 'too-large', 'malformed']) {
    test(`${code}: kept with the reason, and those behind it go on`, () => {
      const queue = connected('a', 'b')
      queue.next(0)
      expect(queue.refused('a', code, 'no', 0)).toEqual({ kind: 'failed', code, reason: 'no' })
      expect(queue.entries[0]).toMatchObject({ id: 'a', failed: 'no' })
      expect(queue.next(0)?.id).toBe('b')
      queue.published('b', 1)
      queue.disconnect()
      queue.connect()
      expect(queue.next(0)).toBeNull()
      expect(ids(queue)).toEqual(['a'])
    })
  }

  test('answers for what is not here mean nothing', () => {
    const queue = connected('a')
    queue.next(0)
    expect(queue.published('x', 1)).toBeNull()
    expect(queue.refused('x', 'forbidden', '', 0)).toBeNull()
    expect(queue.next(0)).toBeNull()
    expect(ids(queue)).toEqual(['a'])
  })
})

describe('what is discarded', () => {
  test('is not sent', () => {
    const queue = connected('a', 'b')
    expect(queue.discard('a')).toBe(true)
    expect(queue.discard('a')).toBe(false)
    expect(queue.next(0)?.id).toBe('b')
  })

  test('does not hold up what is behind it', () => {
    const queue = connected('a', 'b')
    queue.next(0)
    queue.discard('a')
    expect(queue.next(0)?.id).toBe('b')
    expect(queue.published('a', 1)).toBeNull()
  })
})

describe('what another page left behind', () => {
  test('comes first, in its order, but after what was sent', () => {
    const queue = connected('a', 'b')
    queue.next(0)
    queue.adopt([entry('x'), entry('y', { failed: 'no' }), entry('z')])
    expect(ids(queue)).toEqual(['a', 'x', 'y', 'z', 'b'])
  })

  test('is there once', () => {
    const queue = connected('a')
    queue.adopt([entry('x')])
    queue.adopt([entry('x'), entry('a')])
    expect(ids(queue)).toEqual(['x', 'a'])
  })
})

test('it is bounded, with those that are being kept', () => {
  const queue = new OutboxQueue()
  for (let n = 0; n < MOST_WAITING; n += 1) queue.reserve()
  expect(() => queue.reserve()).toThrow(OutboxFull)
  queue.add(entry('a'))
  expect(() => queue.reserve()).toThrow(/connect, or discard/)
  queue.discard('a')
  queue.reserve()
})

/**
 * Everything that can happen to three events, in every order up to a depth: whatever happens, the
 * log of a service that stores an id once has each event at most once, in the order of publication
 * but for those that were refused.
 */
test('no course of things changes the order', () => {
  const steps = ['send', 'commit', 'commit unheard', 'later', 'refuse', 'cut', 'connect'] as const
  let courses = 0

  const inOrder = (log: readonly string[]) =>
    log.every((each, n) => n === 0 || (log[n - 1] ?? '') < each)
  const check = (law: boolean, course: readonly string[], log: readonly string[]): void => {
    if (!law) throw new Error(`after ${course.join(', ')} the log is ${log.join()}`)
  }

  const run = (course: readonly (typeof steps)[number][]): boolean => {
    const queue = connected('a', 'b', 'c')
    const log: string[] = []
    let now = 0
    let sent: string | null = null
    for (const step of course) {
      now += 1e6
      if (step === 'send') {
        const next = queue.next(now)
        if (next === null) return false
        sent = next.id
      } else if (step === 'cut') {
        queue.disconnect()
        sent = null
      } else if (step === 'connect') {
        queue.connect()
        sent = null
      } else {
        if (sent === null) return false
        const id = sent
        sent = null
        if (step.startsWith('commit') && !log.includes(id)) log.push(id)
        if (step === 'commit') queue.published(id, log.indexOf(id) + 1)
        if (step === 'commit unheard') queue.disconnect()
        if (step === 'later') queue.refused(id, 'unavailable', '', now)
        if (step === 'refuse') queue.refused(id, 'forbidden', 'no', now)
      }
      courses += 1
      check(inOrder(log) && new Set([...log, ...ids(queue)]).size === 3, course, log)
    }
    // and in the end everything that was not refused is there
    queue.connect()
    for (let next = queue.next(1e9); next !== null; next = queue.next(1e9)) {
      if (!log.includes(next.id)) log.push(next.id)
      queue.published(next.id, 1)
    }
    check(inOrder(log) && new Set([...log, ...ids(queue)]).size === 3, course, log)
    check(
      queue.entries.every((each) => each.failed !== null),
      course,
      log,
    )
    return true
  }

  const explore = (course: readonly (typeof steps)[number][], depth: number): void => {
    if (!run(course) || depth === 0) return
    for (const step of steps) explore([...course, step], depth - 1)
  }
  explore([], 7)
  expect(courses).toBeGreaterThan(10_000)
})
