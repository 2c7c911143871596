// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen, within } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import * as Y from 'yjs'
import type { Form } from '../../src/form/context'
import { DraftForm } from '../../src/form/draft-form'
import { createDraft } from '../../src/lib/draft'
import { Cell } from '../../src/lib/readable'
import type { OpenDocument, Peer } from '../../src/lib/types'
import { FORM } from '../support/form'

const rendered = vi.hoisted(() => vi.fn())

// Every field reads its answer when it renders: there, renders are counted.
vi.mock('../../src/hooks', async (load) => {
  const hooks = await load<typeof import('../../src/hooks')>()
  return {
    ...hooks,
    useAnswer: (draft: never, question: string) => {
      rendered(question)
      return hooks.useAnswer(draft, question)
    },
  }
})

beforeAll(() => {
  globalThis.CSS ??= { supports: () => true } as unknown as typeof CSS
})
afterEach(cleanup)

let doc: Y.Doc
let peers: Cell<readonly Peer[]>
let errors: ReturnType<typeof vi.spyOn>

beforeEach(() => {
  doc = new Y.Doc()
  peers = new Cell<readonly Peer[]>([])
  errors = vi.spyOn(console, 'error')
})

afterEach(() => expect(errors).not.toHaveBeenCalled())

function show(more: Partial<Form> = {}, around: (form: ReactNode) => ReactNode = (form) => form) {
  const draft = createDraft(doc, FORM, 'alice')
  const document = { peers, setPresence: vi.fn() } as unknown as OpenDocument
  const nameOf = (subject: string) => subject.toUpperCase()
  const form = { draft, document, readOnly: false, asked: false, revealed: false, nameOf, ...more }
  render(around(<DraftForm form={form} />))
  rendered.mockClear()
  return { draft, document }
}

const ratings = () => doc.getMap('ratings')

test("an edit of one field renders nothing of another's", () => {
  show()
  act(() => ratings().set('alice/accuracy', 4))
  expect(new Set(rendered.mock.calls.flat())).toEqual(new Set(['accuracy']))
  rendered.mockClear()
  act(() => doc.getText('comment/reasoning').insert(0, 'because'))
  expect(rendered).not.toHaveBeenCalled()
})

test('who comes into one field renders nothing of another', () => {
  show()
  const bob: Peer = {
    clientId: 1,
    subject: 'bob',
    name: 'Bob',
    color: '#b42318',
    role: 'evaluator',
    field: 'accuracy',
    selection: null,
    self: false,
  }
  act(() => peers.set([bob]))
  const accuracy = screen.getByRole('radiogroup', { name: 'Accuracy' })
  expect(within(accuracy).getByRole('img', { name: 'Bob is here' })).toBeTruthy()
  expect(rendered).not.toHaveBeenCalledWith('verdict')
})

test('digits choose on a scale', () => {
  const { draft } = show({}, (form) => <StrictMode>{form}</StrictMode>)
  const scale = screen.getByRole('radiogroup', { name: 'Accuracy' })
  fireEvent.keyDown(within(scale).getByRole('radio', { name: '1' }), { key: '4' })
  expect(draft.answer('accuracy').get()).toBe(4)
  expect(document.activeElement).toBe(within(scale).getByRole('radio', { name: '4' }))
  fireEvent.click(screen.getByRole('button', { name: 'Clear Accuracy' }))
  expect(draft.answer('accuracy').get()).toBeUndefined()
})

test('answers of others are seen once one has answered oneself', () => {
  ratings().set('bob/accuracy', 2)
  show()
  const others = () => screen.getByRole('list', { name: 'Answers of others to Accuracy' })
  expect(others().textContent).toContain('BOB has answered')
  expect(others().textContent).not.toContain('2')
  fireEvent.click(screen.getAllByRole('radio', { name: '5' })[0] as HTMLElement)
  expect(others().textContent).toContain('BOB: 2')
})

test('tags are added with Enter and comma, and removed with Backspace', () => {
  const { draft } = show()
  const input = screen.getByRole('textbox', { name: 'Add to Labels' })
  fireEvent.change(input, { target: { value: 'refund' } })
  fireEvent.keyDown(input, { key: 'Enter' })
  fireEvent.change(input, { target: { value: 'login，delivery,' } })
  expect(draft.answer('labels').get()).toEqual(['delivery', 'login', 'refund'])
  fireEvent.keyDown(input, { key: 'Backspace' })
  expect(draft.answer('labels').get()).toEqual(['delivery', 'login'])
})

test('Enter that ends composing adds no tag', () => {
  const { draft } = show()
  const input = screen.getByRole('textbox', { name: 'Add to Labels' })
  fireEvent.change(input, { target: { value: '退' } })
  fireEvent.keyDown(input, { key: 'Enter', keyCode: 229 })
  expect(draft.answer('labels').get()).toBeUndefined()
})

test('what is not on the scale is kept, and said beneath it', () => {
  ratings().set('alice/accuracy', 9)
  const { draft } = show()
  const scale = screen.getByRole('radiogroup', { name: 'Accuracy' })
  expect(within(scale).getByTestId('issue').textContent).toContain('outside of the scale')
  expect(draft.answer('accuracy').get()).toBe(9)
})

test('what is missing is marked once it was asked for', () => {
  show({ asked: true })
  expect(screen.getAllByTestId('issue')).toHaveLength(3)
  act(() => doc.getText('comment/reasoning').insert(0, 'because'))
  expect(screen.getAllByTestId('issue')).toHaveLength(2)
})

test('a form that is read-only takes nothing', () => {
  const { draft } = show({ readOnly: true })
  const scale = screen.getByRole('radiogroup', { name: 'Accuracy' })
  fireEvent.keyDown(within(scale).getByRole('radio', { name: '1' }), { key: '4' })
  expect(draft.answer('accuracy').get()).toBeUndefined()
  expect((screen.getByRole('textbox', { name: 'Reasoning' }) as HTMLTextAreaElement).readOnly).toBe(
    true,
  )
})
