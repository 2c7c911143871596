import { describe, expect, test } from 'vitest'
import { after, openSteps } from '../../src/lib/session-state'
import type { Session, SessionState } from '../../src/lib/types'
import { newEvent, newSession } from '../support/events-server'

const LENA = {
  subject: 'lena',
  name: 'Lena',
  role: 'lead',
  joined_at: 't0',
  acknowledged: 3,
} as const
const BOB = {
  subject: 'bob',
  name: 'bob',
  role: 'evaluator',
  joined_at: null,
  acknowledged: 0,
} as const

const session = (more: Partial<Session> = {}): Session => newSession('s', 'e', [LENA, BOB], more)

/** The session after one event. */
const then = (before: Session, kind: string, data: Record<string, unknown>, elapsed = 0): Session =>
  after(before, newEvent(before.top + 1, kind, data, 't1'), elapsed)

describe('its life', () => {
  const MOVES: [SessionState, string, SessionState][] = [
    ['created', 'session.started', 'running'],
    ['running', 'session.paused', 'paused'],
    ['paused', 'session.resumed', 'running'],
    ['running', 'session.stopped', 'stopped'],
    ['paused', 'session.stopped', 'stopped'],
  ]
  for (const [from, kind, to] of MOVES) {
    test(`${from}, ${kind}: ${to}, with the steps that are open then`, () => {
      const moved = then(session({ state: from }), kind, { state: to })
      expect(moved.state).toBe(to)
      expect(moved.open_steps).toEqual(openSteps(to))
      expect(moved.top).toBe(1)
      expect(moved.started_at).toBe(kind === 'session.started' ? 't1' : null)
      expect(moved.stopped_at).toBe(kind === 'session.stopped' ? 't1' : null)
    })
  }

  test('the steps are those of the machine, in its order', () => {
    expect(openSteps('created')).toEqual(['join', 'leave', 'start'])
    expect(openSteps('running')).toEqual(['join', 'leave', 'pause', 'stop'])
    expect(openSteps('paused')).toEqual(['join', 'leave', 'resume', 'stop'])
    expect(openSteps('stopped')).toEqual([])
  })

  test('time counts while it runs, and only then', () => {
    let now = then(session(), 'session.started', { state: 'running' }, 60)
    expect(now.active_seconds).toBe(0)
    now = then(now, 'session.paused', { state: 'paused' }, 10)
    expect(now.active_seconds).toBe(10)
    now = then(now, 'session.resumed', { state: 'running' }, 60)
    now = then(now, 'session.stopped', { state: 'stopped' }, 5)
    expect(now.active_seconds).toBe(15)
  })

  test('a clock that was set back takes no time away', () => {
    const now = session({ state: 'running', active_seconds: 7 })
    expect(then(now, 'session.paused', { state: 'paused' }, -60).active_seconds).toBe(7)
  })
})

describe('who is in it', () => {
  test('somebody new comes last', () => {
    const joined = then(session(), 'session.joined', {
      subject: 'ann',
      name: 'Ann',
      role: 'observer',
    })
    expect(joined.members).toEqual([
      LENA,
      BOB,
      { subject: 'ann', name: 'Ann', role: 'observer', joined_at: 't1', acknowledged: 0 },
    ])
  })

  test('who was invited, or has another role now, is there once, and what they received counts', () => {
    const joined = then(session(), 'session.joined', {
      subject: 'lena',
      name: 'L',
      role: 'observer',
    })
    expect(joined.members).toEqual([
      BOB,
      { subject: 'lena', name: 'L', role: 'observer', joined_at: 't1', acknowledged: 3 },
    ])
  })

  test('who leaves is gone', () => {
    expect(then(session(), 'session.left', { subject: 'lena' }).members).toEqual([BOB])
  })
})

describe('what is complete', () => {
  test('is said by case and subject, and taken back so', () => {
    let now = then(session(), 'draft.completed', { case: 'a', subject: 'bob' })
    now = then(now, 'draft.completed', { case: 'a', subject: 'lena' })
    now = then(now, 'draft.completed', { case: 'b', subject: 'bob' })
    expect(now.completed[0]).toEqual({ case: 'a', subject: 'bob', at: 't1' })
    now = then(now, 'draft.reopened', { case: 'a', subject: 'bob' })
    expect(now.completed.map((each) => [each.case, each.subject])).toEqual([
      ['a', 'lena'],
      ['b', 'bob'],
    ])
  })
})

test('an event that the session contains changes nothing', () => {
  const now = session({ top: 5, state: 'paused' })
  expect(after(now, newEvent(5, 'session.started', { state: 'running' }), 1)).toBe(now)
})

test('what people publish changes only how far it is', () => {
  const now = session({ top: 5 })
  expect(then(now, 'guidance.message', { text: 'x' })).toEqual({ ...now, top: 6 })
})
