import { expect, test } from 'vitest'
import { en, zh } from '../../src/i18n/feed'
import { agoText } from '../../src/ui/ago'
import { byDay, dayName, kindFor, namesOf, saying, unsent } from '../../src/ui/feed-model'
import { filled } from '../../src/ui/template'
import { event, session } from '../support/channel'

const names = namesOf(session(), [], 'alice')

function said(
  kind: string,
  actor: string,
  data: Readonly<Record<string, unknown>> = {},
  words = en,
) {
  const { template, values } = saying(event(2, kind, actor, data), names, words)
  return filled(template, values)
}

test.each([
  ['session.created', 'lena', {}, 'Lena created the session'],
  ['session.joined', 'otto', { role: 'observer' }, 'Otto joined as observer'],
  ['session.left', 'otto', {}, 'Otto left'],
  ['session.started', 'lena', {}, 'Lena started the session'],
  ['session.paused', 'lena', {}, 'Lena paused the session'],
  ['session.resumed', 'alice', {}, 'You resumed the session'],
  ['session.stopped', 'lena', {}, 'Lena stopped the session: drafts are read-only now'],
  [
    'draft.completed',
    'alice',
    { case: 'refund', subject: 'alice' },
    'You completed Refund after 30 days',
  ],
  [
    'draft.completed',
    'lena',
    { case: 'angry', subject: 'alice' },
    'Lena declared Angry customer complete for you',
  ],
  [
    'draft.reopened',
    'lena',
    { case: 'angry', subject: 'otto' },
    'Lena reopened Angry customer for Otto',
  ],
  ['guidance.message', 'otto', { text: 'Be strict' }, 'Otto gave guidance'],
  [
    'guidance.message',
    'otto',
    { text: 'Look', case: 'refund' },
    'Otto gave guidance on Refund after 30 days',
  ],
  ['review.note', 'bob', { text: 'Hm' }, 'bob wrote'],
])('%s by %s is a sentence', (kind, actor, data, sentence) => {
  expect(said(kind, actor, data)).toBe(sentence)
})

test('sentences are there in Chinese, with the same places', () => {
  expect(said('session.started', 'alice', {}, zh)).toBe('你 开始了会话')
  for (const [key, text] of Object.entries(en)) {
    if (typeof text !== 'string') continue
    const places = (each: string) => [...each.matchAll(/\{\w+\}/g)].map(String).toSorted()
    expect(places(String(zh[key as keyof typeof zh])), key).toEqual(places(text))
  }
})

test('an unknown kind is told with its text, and with all its data on demand', () => {
  const told = saying(event(2, 'agent.reply', 'otto', { text: 'Hi', score: 3 }), names, en)
  expect(filled(told.template, told.values)).toBe('Otto published agent.reply')
  expect(told.text).toBe('Hi')
  expect(told.details).toContain('"score": 3')
})

test('data that is not as expected makes a sentence all the same', () => {
  expect(said('draft.completed', 'lena')).toContain('undefined')
  expect(saying(event(2, 'guidance.message', 'otto', { text: 7 }), names, en).text).toBe('')
  expect(said('session.joined', 'otto', { role: 'toString' })).toBe('Otto joined as toString')
})

test('a value that looks like a place is no place', () => {
  expect(filled('{actor} left', { actor: '{case}', case: 'x' })).toBe('{case} left')
})

test('who has left keeps the name that they joined with', () => {
  const joined = event(2, 'session.joined', 'bob', {
    subject: 'bob',
    name: 'Bob B.',
    role: 'evaluator',
  })
  expect(namesOf(session(), [joined], null).person('bob')).toBe('Bob B.')
  expect(namesOf(session(), [], null).person('bob')).toBe('bob')
})

const noon = new Date(2026, 10, 22, 12, 0, 0).getTime()
const at = (offset: number, milliseconds: number, actor = 'lena') => ({
  ...event(offset, 'session.paused', actor),
  time: new Date(milliseconds).toISOString(),
})

test('events are grouped by day, and within it by minute and person', () => {
  const days = byDay([
    at(1, noon - 86_400_000),
    at(2, noon),
    at(3, noon + 59_000),
    at(4, noon + 59_500, 'otto'),
    at(5, noon + 60_000, 'otto'),
  ])
  const offsets = days.map((day) => day.minutes.map((each) => each.events.map((e) => e.offset)))
  expect(offsets).toEqual([[[1]], [[2, 3], [4], [5]]])
  expect(days[1]?.minutes[0]?.at).toBe(noon + 59_000)
})

test('a clock that was set back opens no day twice', () => {
  const days = byDay([at(1, noon), at(2, noon - 86_400_000), at(3, noon)])
  expect(days).toHaveLength(1)
})

test('days are called as people do', () => {
  const midnight = new Date(2026, 10, 22).getTime()
  expect(dayName(midnight, noon, 'en', en)).toBe('Today')
  expect(dayName(new Date(2026, 10, 21).getTime(), noon, 'en', en)).toBe('Yesterday')
  expect(dayName(new Date(2026, 10, 20).getTime(), noon, 'en', en)).toBe('Friday, November 20')
  expect(dayName(new Date(2025, 0, 2).getTime(), noon, 'zh-CN', zh)).toBe('2025年1月2日星期四')
})

test.each([
  [0, 'now'],
  [-60_000, 'now'],
  [9_999, 'now'],
  [25_000, '20 seconds ago'],
  [119_000, '1 minute ago'],
  [3_600_000, '1 hour ago'],
  [86_400_000, 'yesterday'],
])('%i ms before is %s', (before, text) => {
  expect(agoText(noon - before, noon, 'en')).toBe(text)
})

test('observers and leads give guidance, evaluators write notes', () => {
  expect([kindFor('observer'), kindFor('lead'), kindFor('evaluator')]).toEqual([
    'guidance.message',
    'guidance.message',
    'review.note',
  ])
})

test('what the log has is not shown as waiting too', () => {
  const entry = { id: 'id-2', kind: 'review.note', data: {}, at: 0, attempts: 1, failed: null }
  const other = { ...entry, id: 'id-9' }
  expect(unsent([entry, other], [event(2, 'review.note', 'alice')])).toEqual([other])
})
