import { beforeEach, describe, expect, test } from 'vitest'
import { KEPT_EVENTS, SessionLog } from '../../src/lib/session-log'
import { newEvent, newSession } from '../support/events-server'

const offsets = (log: SessionLog): number[] => log.events.map((each) => each.offset)
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)
const answer = (top: number, { epoch = 'e', recovered = true } = {}) => ({
  epoch,
  top,
  recovered,
  session: newSession('s', epoch, [], { top }),
})

let log: SessionLog
beforeEach(() => {
  log = new SessionLog()
})

describe('events', () => {
  test('are not taken before it is known where the log stands', () => {
    expect(log.take(newEvent(1), 0)).toBe('gap')
  })

  test('are taken once, in order, without gaps', () => {
    log.subscribed(answer(5), 0)
    expect(log.take(newEvent(7), 0)).toBe('gap')
    expect(log.take(newEvent(6), 0)).toBe('taken')
    expect(log.take(newEvent(6), 0)).toBe('repeat')
    expect(log.take(newEvent(7), 0)).toBe('taken')
    expect(offsets(log)).toEqual([6, 7])
    expect(log.session?.top).toBe(7)
  })

  test('are bounded, but for those that somebody has loaded', () => {
    log.subscribed(answer(10), 0)
    for (const n of range(11, 11 + KEPT_EVENTS)) log.take(newEvent(n), 0)
    expect(log.events).toHaveLength(KEPT_EVENTS)
    expect(log.first).toBe(12)
    log.prepend(range(1, 11).map((each) => newEvent(each)))
    log.take(newEvent(12 + KEPT_EVENTS), 0)
    expect(log.first).toBe(2)
    expect(log.kept?.events).toHaveLength(KEPT_EVENTS)
  })

  test('older ones are taken where they join', () => {
    log.subscribed(answer(10), 0)
    expect(log.older).toBe(true)
    log.prepend([newEvent(9), newEvent(7), newEvent(10), newEvent(11)])
    expect(offsets(log)).toEqual([9, 10])
    log.prepend([newEvent(7)])
    expect([offsets(log), log.older]).toEqual([[9, 10], true])
    log.prepend(range(1, 9).map((each) => newEvent(each)))
    expect(offsets(log)).toEqual(range(1, 10))
    expect(log.older).toBe(false)
  })

  test('there are no older ones where the service has none', () => {
    log.subscribed(answer(10), 0)
    log.prepend([])
    expect(log.older).toBe(false)
    const truncated = newSession('s', 'e', [], { top: 10, truncated_before: 11 })
    log = new SessionLog()
    log.subscribed({ ...answer(10), session: truncated }, 0)
    expect(log.older).toBe(false)
  })
})

describe('a subscription', () => {
  beforeEach(() => {
    log.subscribed(answer(0), 0)
    for (const n of range(1, 3)) log.take(newEvent(n), 0)
  })

  test('that recovers goes on', () => {
    log.subscribed(answer(5), 0)
    expect([log.offset, log.behind, log.restarts]).toEqual([3, true, 0])
    expect(log.take(newEvent(4), 0)).toBe('taken')
    log.take(newEvent(5), 0)
    expect(log.behind).toBe(false)
  })

  test('that does not recover begins at the snapshot', () => {
    log.subscribed(answer(900, { recovered: false }), 0)
    expect([log.offset, offsets(log), log.restarts, log.older]).toEqual([900, [], 1, true])
    expect(log.session?.top).toBe(900)
  })

  for (const recovered of [true, false]) {
    test(`to another log drops everything, recovered or not: ${recovered}`, () => {
      log.subscribed(answer(1, { epoch: 'other', recovered }), 0)
      expect([log.epoch, log.offset, offsets(log)]).toEqual(['other', 1, []])
      expect(log.session?.epoch).toBe('other')
    })
  }

  test('to a log that went back takes its word', () => {
    log.subscribed(answer(2, { recovered: false }), 0)
    expect([log.offset, log.session?.top]).toEqual([2, 2])
  })

  test('that was answered before an event that is here does not take it back', () => {
    log.subscribed(answer(2), 0)
    expect(log.session?.top).toBe(3)
    expect(log.offset).toBe(3)
  })
})

describe('the session', () => {
  test('is not changed by events that it contains', () => {
    const stopped = newSession('s', 'e', [], { top: 5, state: 'stopped' })
    log.restore({ session: newSession('s', 'e'), epoch: 'e', offset: 3, events: [] }, 0)
    expect(log.stale).toBe(true)
    log.subscribed({ epoch: 'e', top: 5, recovered: true, session: stopped }, 0)
    expect(log.stale).toBe(false)
    log.take(newEvent(4, 'session.started', { state: 'running' }), 0)
    expect(log.session).toBe(stopped)
  })

  test('is taken from other answers, unless it is older or of another log', () => {
    log.subscribed(answer(5), 0)
    expect(log.adopt(newSession('s', 'e', [], { top: 4 }), 0)).toBe(false)
    expect(log.adopt(newSession('s', 'x', [], { top: 9 }), 0)).toBe(false)
    expect(log.adopt(newSession('s', 'e', [], { top: 6, state: 'running' }), 0)).toBe(true)
    expect(log.session?.state).toBe('running')
    expect(log.behind).toBe(true)
  })

  test('one that this device kept gives way to any word of the service', () => {
    log.restore(
      { session: newSession('s', 'e', [], { top: 9 }), epoch: 'e', offset: 3, events: [] },
      0,
    )
    log.subscribed(answer(5), 0)
    expect(log.session?.top).toBe(5)
  })

  test('measures how long it ran from when that was last known', () => {
    const running = newSession('s', 'e', [], { top: 1, state: 'running', active_seconds: 100 })
    log.subscribed({ epoch: 'e', top: 1, recovered: true, session: running }, 5_000)
    log.take(newEvent(2), 6_000)
    log.take(newEvent(3, 'session.paused', { state: 'paused' }), 15_000)
    expect(log.session?.active_seconds).toBe(110)
    log.take(newEvent(4, 'session.resumed', { state: 'running' }), 60_000)
    log.take(newEvent(5, 'session.stopped', { state: 'stopped' }), 62_000)
    expect(log.session?.active_seconds).toBe(112)
  })
})
