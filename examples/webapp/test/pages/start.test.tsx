// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ClientProvider } from '../../src/hooks'
import { ApiError, type SessionSummary } from '../../src/lib/types'
import { listKey } from '../../src/pages/sessions-list'
import { StartPage } from '../../src/pages/start'
import { iso, MemoryClient, person, session } from '../support/channel'

beforeEach(() => {
  document.documentElement.lang = 'en'
  localStorage.clear()
  window.location.hash = ''
})
afterEach(cleanup)

const LENA = person('lena', { 'eval-*': 'lead' })
const ALICE = person('alice', { 's*': 'evaluator' })

function summary(id: string, change: Partial<SessionSummary> = {}): SessionSummary {
  const { form: _, ...rest } = session({ id, title: `Title of ${id}`, ...change })
  return rest
}

async function show(memory: MemoryClient) {
  const { client } = memory
  await act(async () => {
    render(
      <ClientProvider client={client}>
        <StartPage />
      </ClientProvider>,
    )
  })
}

const titles = () => screen.queryAllByRole('heading', { level: 2 }).map((each) => each.textContent)

test('sessions are listed, first those that go on, and open with a link', async () => {
  const memory = new MemoryClient(ALICE)
  memory.list = async () => [
    summary('s1', { state: 'stopped', stopped_at: iso(9) }),
    summary('s2', { state: 'running' }),
    summary('s3', { state: 'created', started_at: null }),
  ]
  await show(memory)
  expect(titles()).toEqual(['Title of s2', 'Title of s3', 'Title of s1'])
  const link = screen.getByRole('link', { name: 'Title of s2' })
  expect(link.getAttribute('href')).toBe('#/s/s2')
  expect(screen.queryByRole('link', { name: /Monitor/ })).toBeNull()
  expect(screen.queryByRole('button', { name: 'New session' })).toBeNull()
})

test('the list is filtered by state', async () => {
  const memory = new MemoryClient(ALICE)
  memory.list = async () => [summary('s1'), summary('s2', { state: 'paused' })]
  await show(memory)
  fireEvent.click(screen.getByRole('radio', { name: 'Paused 1' }))
  expect(titles()).toEqual(['Title of s2'])
  fireEvent.click(screen.getByRole('radio', { name: 'Stopped 0' }))
  expect(screen.getByText('No session is in this state.')).toBeTruthy()
})

test('offline, the list from last time is shown, and said to be that', async () => {
  const memory = new MemoryClient(ALICE)
  memory.list = async () => [summary('s1')]
  await show(memory)
  cleanup()
  memory.list = () => Promise.reject(new ApiError(0, 'no way'))
  await show(memory)
  expect(titles()).toEqual(['Title of s1'])
  const trouble = screen.getByRole('status')
  expect(trouble.textContent).toContain('You are offline. List last updated now')
  memory.list = async () => []
  await act(async () => fireEvent.click(within(trouble).getByRole('button', { name: 'Try again' })))
  expect(screen.queryByRole('status')).toBeNull()
  expect(titles()).toEqual(['No sessions yet'])
})

test('one person does not see the list that another one had', async () => {
  const memory = new MemoryClient(ALICE)
  memory.list = async () => [summary('s1')]
  await show(memory)
  expect(localStorage.getItem(listKey('http://service', 'alice'))).not.toBeNull()
  cleanup()
  const other = new MemoryClient(person('bob', {}))
  other.list = () => Promise.reject(new ApiError(0, 'no way'))
  await show(other)
  expect(titles()).toEqual([])
})

async function creating(memory: MemoryClient) {
  await show(memory)
  fireEvent.click(screen.getByRole('button', { name: 'New session' }))
}

const type = (name: string, value: string) =>
  fireEvent.change(screen.getByRole('textbox', { name }), { target: { value } })
const submit = () =>
  act(async () => fireEvent.click(screen.getByRole('button', { name: 'Create session' })))

test('a session is created with the sample form, and opened', async () => {
  const memory = new MemoryClient(LENA)
  await creating(memory)
  type('Project', 'Shop agent')
  expect((screen.getByRole('textbox', { name: 'Session id' }) as HTMLInputElement).value).toBe(
    'eval-shop-agent',
  )
  type('Test cases', 'refund | Refund\nAngry customer')
  fireEvent.click(screen.getByRole('button', { name: 'Add a person' }))
  type('Person 1', 'alice')
  await submit()
  expect(memory.created).toMatchObject([
    {
      id: 'eval-shop-agent',
      project: 'Shop agent',
      test_cases: [
        { id: 'refund', title: 'Refund' },
        { id: 'angry-customer', title: 'Angry customer' },
      ],
      members: [{ subject: 'alice', role: 'evaluator' }],
      form: { id: 'help-desk' },
    },
  ])
  expect(window.location.hash).toBe('#/s/eval-shop-agent')
})

test('what is missing is said at its field, which gets the focus', async () => {
  const memory = new MemoryClient(LENA)
  await creating(memory)
  await submit()
  expect(memory.created).toEqual([])
  const project = screen.getByRole('textbox', { name: 'Project' })
  expect(project.getAttribute('aria-invalid')).toBe('true')
  expect(document.activeElement).toBe(project)
  const described = project.getAttribute('aria-describedby')?.split(' ')[0] ?? ''
  expect(document.getElementById(described)?.textContent).toContain('Say which project')
})

test('what the service does not like about a form is shown where it stands', async () => {
  const memory = new MemoryClient(LENA)
  const detail = 'sections[0].title: expected a text of 1-500 characters, not 7'
  memory.create = () =>
    Promise.reject(new ApiError(422, `/form: ${detail}`, [], [{ pointer: '/form', detail }]))
  await creating(memory)
  type('Project', 'Shop agent')
  type('Test cases', 'One')
  fireEvent.click(screen.getByRole('radio', { name: 'A form of your own' }))
  const text = '{"sections": [\n  {"title": 7}\n]}'
  type('Form definition (JSON)', text)
  await submit()
  const field = screen.getByRole('textbox', { name: /Form definition/ }) as HTMLTextAreaElement
  expect(field.getAttribute('aria-invalid')).toBe('true')
  expect(text.slice(field.selectionStart, field.selectionEnd)).toBe('7')
  expect(screen.getByText(`Line 2 – ${detail}`)).toBeTruthy()
  expect(window.location.hash).toBe('')
})

test('a refusal that is about no field is told, and nothing that was typed is lost', async () => {
  const memory = new MemoryClient(LENA)
  memory.create = () => Promise.reject(new ApiError(0, 'no way'))
  await creating(memory)
  type('Project', 'Shop agent')
  type('Test cases', 'One')
  await submit()
  expect(screen.getByRole('alert').textContent).toContain('you are offline')
  memory.create = () => Promise.reject(new ApiError(409, 'there is a session of this id'))
  await submit()
  expect(screen.getByRole('alert').textContent).toBe(
    'The session was not created: there is a session of this id',
  )
  expect((screen.getByRole('textbox', { name: 'Project' }) as HTMLInputElement).value).toBe(
    'Shop agent',
  )
})
