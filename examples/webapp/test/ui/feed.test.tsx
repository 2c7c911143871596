// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ClientProvider } from '../../src/hooks'
import type { Outgoing } from '../../src/lib/types'
import { Feed } from '../../src/ui/feed'
import * as model from '../../src/ui/feed-model'
import { CONNECTED, event, MemoryChannel, MemoryClient, person, session } from '../support/channel'

afterEach(() => {
  cleanup()
  document.documentElement.lang = 'en'
})
beforeEach(() => {
  document.documentElement.lang = 'en'
})

function show(channel: MemoryChannel, who = 'otto', testCase: string | null = null) {
  const { client } = new MemoryClient(person(who, { s1: 'evaluator' }))
  return render(
    <ClientProvider client={client}>
      <Feed channel={channel} testCase={testCase} />
    </ClientProvider>,
  )
}

const log = () => screen.getByRole('log', { name: 'Events of this session' })
const guidance = () => screen.getByRole('textbox', { name: 'Guidance for the evaluators' })
const write = (field: HTMLElement, text: string) =>
  fireEvent.change(field, { target: { value: text } })

test('events show as sentences, also those that come later', () => {
  const channel = new MemoryChannel({ events: [event(1, 'session.created', 'lena')] })
  show(channel)
  expect(log().textContent).toContain('Lena created the session')
  act(() => channel.add(event(2, 'session.started', 'lena')))
  expect(log().textContent).toContain('Lena started the session')
  expect(log().getAttribute('aria-live')).toBe('polite')
})

test('Enter sends guidance, about the test case that one looks at', () => {
  const channel = new MemoryChannel()
  show(channel, 'otto', 'angry')
  write(guidance(), '  Mind the tone  ')
  fireEvent.keyDown(guidance(), { key: 'Enter' })
  expect(channel.published).toEqual([
    { kind: 'guidance.message', data: { text: 'Mind the tone', case: 'angry' } },
  ])
  expect((guidance() as HTMLTextAreaElement).value).toBe('')
})

test('guidance may be about the whole session instead', () => {
  const channel = new MemoryChannel()
  show(channel, 'otto', 'angry')
  fireEvent.change(screen.getByRole('combobox', { name: 'About' }), { target: { value: '' } })
  write(guidance(), 'All of you')
  fireEvent.click(screen.getByRole('button', { name: 'Send' }))
  expect(channel.published[0]?.data).toEqual({ text: 'All of you' })
})

test.each([
  { key: 'Enter', shiftKey: true },
  { key: 'Enter', isComposing: true },
  { key: 'Enter', keyCode: 229 },
])('$key does not send while it means something else', (key) => {
  const channel = new MemoryChannel()
  show(channel)
  write(guidance(), 'ni')
  fireEvent.keyDown(guidance(), key)
  expect(channel.published).toEqual([])
})

test('blank and endless texts are not sent', () => {
  const channel = new MemoryChannel()
  show(channel)
  for (const text of [' \n', 'x'.repeat(4_001)]) {
    write(guidance(), text)
    fireEvent.keyDown(guidance(), { key: 'Enter' })
  }
  expect(channel.published).toEqual([])
  expect(screen.getByRole('alert').textContent).toBe('At most 4000 characters can be sent at once.')
})

test('evaluators write notes to everybody', () => {
  const channel = new MemoryChannel()
  show(channel, 'alice')
  const note = screen.getByRole('textbox', { name: 'Note to everybody' })
  write(note, 'Seen')
  fireEvent.keyDown(note, { key: 'Enter' })
  expect(channel.published[0]?.kind).toBe('review.note')
})

test('what one wrote offline waits, and can be taken back', () => {
  const channel = new MemoryChannel()
  channel.connection.set({ ...CONNECTED, status: 'offline' })
  show(channel)
  write(guidance(), 'Later')
  fireEvent.keyDown(guidance(), { key: 'Enter' })
  expect(log().textContent).toContain('Later')
  expect(log().textContent).toContain('Waiting to be sent')
  fireEvent.click(screen.getByRole('button', { name: 'Discard' }))
  expect(channel.discarded).toEqual(['out-1'])
  expect(log().textContent).not.toContain('Later')
})

const refused: Outgoing = {
  id: 'refused',
  kind: 'guidance.message',
  data: { text: 'Too late' },
  at: 0,
  attempts: 3,
  failed: 'the session is paused',
}

test('what the service refused says why, and is sent again on demand', () => {
  const channel = new MemoryChannel({ outbox: [refused] })
  show(channel)
  expect(within(log()).getByRole('alert').textContent).toBe('Not sent: the session is paused')
  fireEvent.click(screen.getByRole('button', { name: 'Send again' }))
  expect(channel.discarded).toEqual(['refused'])
  expect(channel.published).toEqual([{ kind: refused.kind, data: refused.data }])
})

test('older events are loaded on demand', async () => {
  const channel = new MemoryChannel({ events: [event(2, 'session.started', 'lena')], older: true })
  channel.olderEvents = [event(1, 'session.created', 'lena')]
  show(channel)
  await act(async () => fireEvent.click(screen.getByRole('button', { name: 'Load older events' })))
  expect(log().textContent).toMatch(/created.*started/)
  expect(screen.queryByRole('button', { name: 'Load older events' })).toBeNull()
})

test('who reads further up stays there, and is told how much is new', () => {
  const channel = new MemoryChannel({ events: [event(1, 'session.created', 'lena')] })
  show(channel)
  const height = (value: number) =>
    Object.defineProperty(log(), 'scrollHeight', { value, configurable: true })
  Object.defineProperty(log(), 'clientHeight', { value: 100 })
  height(1_000)
  log().scrollTop = 300
  fireEvent.scroll(log())
  act(() => channel.add(event(2, 'session.started', 'lena'), event(3, 'session.paused', 'lena')))
  expect(log().scrollTop).toBe(300)
  fireEvent.click(screen.getByRole('button', { name: /2 new events/ }))
  expect(log().scrollTop).toBe(1_000)
  expect(screen.queryByRole('button', { name: /new event/ })).toBeNull()
  log().scrollTop = 300
  fireEvent.scroll(log())
  act(() => channel.add(event(4, 'session.resumed', 'lena')))
  expect(screen.getByRole('button', { name: /1 new event/ })).toBeTruthy()
  log().scrollTop = 900 // to the end, by hand
  fireEvent.scroll(log())
  expect(screen.queryByRole('button', { name: /new event/ })).toBeNull()
  height(1_100)
  act(() => channel.add(event(5, 'session.stopped', 'lena')))
  expect(log().scrollTop).toBe(1_100)
})

test('nothing can be written into a stopped session, nor by who is no member', () => {
  const channel = new MemoryChannel({ session: session({ state: 'stopped' }) })
  show(channel)
  expect(screen.queryByRole('textbox')).toBeNull()
  expect(screen.getByText(/The session is stopped/)).toBeTruthy()
  act(() => channel.change({ session: session({ members: [] }) }))
  expect(screen.queryByRole('textbox')).toBeNull()
  fireEvent.click(screen.getByRole('button', { name: 'Join the session' }))
  expect(channel.steps).toEqual(['join'])
})

test('everything is there in Chinese', () => {
  document.documentElement.lang = 'zh-CN'
  show(new MemoryChannel({ events: [event(1, 'session.created', 'lena')] }))
  expect(screen.getByRole('log', { name: '本次会话的事件' }).textContent).toContain(
    'Lena 创建了会话',
  )
})

test('a new event renders no other minute anew, and more of a minute shows in it', () => {
  const seen = vi.spyOn(model, 'saying')
  const channel = new MemoryChannel({
    events: [event(1, 'session.created', 'lena', {}, 0), event(2, 'session.left', 'bob', {}, 60)],
  })
  show(channel)
  seen.mockClear()
  const started = event(3, 'session.started', 'lena', {}, 120)
  const before = channel.view.get()
  // As the channel does: a session anew for each event, its people the same.
  const after = { ...(before.session ?? session()), top: 3 }
  act(() => channel.change({ events: [...before.events, started], session: after }))
  expect(seen.mock.calls.map(([each]) => each)).toEqual([started])
  act(() => channel.add(event(4, 'session.paused', 'lena', {}, 121)))
  expect(log().textContent).toContain('Lena paused the session')
})
