import { describe, expect, test } from 'vitest'
import { en } from '../../src/i18n/start'
import {
  casesOf,
  complaintsOf,
  leads,
  newSession,
  slug,
  suggestedId,
  type Typed,
} from '../../src/pages/create-model'
import { person } from '../support/channel'

const LENA = person('lena', { 'eval-*': 'lead', fixed: 'lead', 'other-*': 'evaluator' })
const SAMPLE = { id: 'sample' }
const TYPED: Typed = {
  project: ' Agent ',
  title: '',
  id: 'eval-1',
  cases: 'refund | Refund after 30 days\n\n  Angry customer\n',
  members: [
    { subject: ' bob ', role: 'evaluator' },
    { subject: '', role: 'observer' },
    { subject: 'carol', role: 'observer' },
  ],
  form: null,
}

describe('test cases', () => {
  test('are lines of an id and a title, or a title alone', () => {
    expect(casesOf(TYPED.cases).map(({ id, title }) => [id, title])).toEqual([
      ['refund', 'Refund after 30 days'],
      ['angry-customer', 'Angry customer'],
    ])
  })

  test('get ids that nobody else has, in any script', () => {
    const ids = casesOf('Refund!\nrefund\nrefund-2 | x\n退款 问题\n!!!').map(({ id }) => id)
    expect(ids).toEqual(['refund', 'refund-3', 'refund-2', '退款-问题', 'case-5'])
  })

  test('know where they stand', () => {
    const text = 'a\n\nb | B'
    const spans = casesOf(text).map(({ span }) => text.slice(span.from, span.to))
    expect(spans).toEqual(['a', 'b | B'])
  })

  test('with an id alone have it as their title', () => {
    expect(casesOf('refund |').map(({ id, title }) => [id, title])).toEqual([['refund', 'refund']])
  })
})

test('a slug is short and ends with no dash', () => {
  expect(slug(`${'x'.repeat(47)} yz`)).toBe('x'.repeat(47))
})

describe('the id', () => {
  const today = new Date(2026, 10, 5)

  test('is one that the token names, as long as it is free', () => {
    expect(suggestedId(LENA, 'Refunds', new Set(), today)).toBe('fixed')
    expect(suggestedId(LENA, 'Refunds', new Set(['fixed']), today)).toBe('eval-refunds')
  })

  test('is made of the title under the pattern, and another one each time', () => {
    const used = new Set(['fixed', 'eval-refunds'])
    expect(suggestedId(LENA, 'Refunds', used, today)).toBe('eval-refunds-2')
    expect(suggestedId(LENA, '退款', used, today)).toBe('eval-2026-11-05')
  })

  test('is anything for an administrator, and nothing without a grant', () => {
    expect(suggestedId(person('root', {}, true), 'A b', new Set(), today)).toBe('a-b')
    expect(suggestedId(person('eve', { '*': 'evaluator' }), 'A', new Set(), today)).toBe('')
    expect(leads(LENA)).toEqual(['eval-*', 'fixed'])
  })

  test.each([
    ['', en.idExpected],
    ['-x', en.idExpected],
    ['other-1', en.idNotYours(['eval-*', 'fixed'])],
  ])('%j is refused', (id, message) => {
    const { session, complaints } = newSession({ ...TYPED, id }, SAMPLE, LENA, en)
    expect([session, complaints]).toEqual([null, [{ field: 'id', message }]])
  })
})

test('what was typed becomes what the service takes', () => {
  expect(newSession(TYPED, SAMPLE, LENA, en)).toEqual({
    complaints: [],
    session: {
      id: 'eval-1',
      project: 'Agent',
      test_cases: [
        { id: 'refund', title: 'Refund after 30 days' },
        { id: 'angry-customer', title: 'Angry customer' },
      ],
      members: [
        { subject: 'bob', role: 'evaluator' },
        { subject: 'carol', role: 'observer' },
      ],
      form: SAMPLE,
    },
  })
  const own = newSession({ ...TYPED, title: ' T ', form: '{"id": "own"}' }, SAMPLE, LENA, en)
  expect(own.session).toMatchObject({ title: 'T', form: { id: 'own' } })
})

test.each<[Partial<Typed>, string, string]>([
  [{ project: ' ' }, 'project', en.projectMissing],
  [{ title: 'x'.repeat(201) }, 'title', en.tooLong(200)],
  [{ cases: ' \n' }, 'cases', en.casesMissing],
  [{ cases: 'ok\na/b | x' }, 'cases', en.caseId('a/b')],
  [{ cases: 'a | 1\na | 2' }, 'cases', en.caseTwice('a')],
  [{ cases: 'x\n'.repeat(1_001) }, 'cases', en.casesTooMany(1_000)],
  [{ form: ' ' }, 'form', en.formMissing],
  [{ form: '{\n  "id": }' }, 'form', en.formNoJson(2, 9)],
])('%o is refused at its field', (change, field, message) => {
  const { session, complaints } = newSession({ ...TYPED, ...change }, SAMPLE, LENA, en)
  expect(session).toBeNull()
  expect(complaints[0]).toMatchObject({ field, message })
})

test('somebody invited twice is told of in the second row', () => {
  const members = ['bob', 'x', ' bob'].map((subject) => ({ subject, role: 'lead' as const }))
  const { complaints } = newSession({ ...TYPED, members }, SAMPLE, LENA, en)
  expect(complaints).toEqual([{ field: 'members', message: en.memberTwice('bob'), row: 2 }])
})

describe('faults of the service', () => {
  const form = '{"id": "f", "sections": [{"id": "a", "questions": [{"id": "q", "max": "five"}]}]}'

  test('stand at the part of the form that they are about', () => {
    const detail = "sections[0].questions[0].max: expected a number, not 'five'"
    const told = complaintsOf([{ pointer: '/form', detail }], { ...TYPED, form })
    const { span } = told.complaints[0] ?? {}
    expect(told.complaints[0]).toMatchObject({ field: 'form', message: detail })
    expect(form.slice(span?.from, span?.to)).toBe('"five"')
  })

  test('about what is missing stand at what ought to have it', () => {
    const detail = 'sections[0].questions[0].kind: expected one of score, text, not nothing'
    const { span } =
      complaintsOf([{ pointer: '/form', detail }], { ...TYPED, form }).complaints[0] ?? {}
    expect(form.slice(span?.from, span?.to)).toBe('{"id": "q", "max": "five"}')
  })

  test('stand at the line of a test case and the row of a person', () => {
    const { complaints } = complaintsOf(
      [
        { pointer: '/test_cases/1/id', detail: 'no' },
        { pointer: '/members/1/subject', detail: 'no' },
      ],
      TYPED,
    )
    const [first, second] = complaints
    expect(TYPED.cases.slice(first?.span?.from, first?.span?.to)).toBe('  Angry customer')
    expect(second?.row).toBe(2) // a blank row is not sent
  })

  test('that are about no field are told all the same', () => {
    const told = complaintsOf([{ detail: 'no' }, { pointer: '/epoch', detail: 'nor this' }], TYPED)
    expect(told).toEqual({ complaints: [], others: ['no', 'nor this'] })
  })
})
