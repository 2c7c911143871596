// @vitest-environment jsdom
import { act, cleanup, render, screen, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ClientProvider } from '../../src/hooks'
import type { Identity } from '../../src/lib/types'
import { MonitorPage } from '../../src/pages/monitor'
import {
  CONNECTED,
  event,
  MemoryChannel,
  MemoryClient,
  person,
  START,
  session,
  status,
} from '../support/channel'

beforeEach(() => {
  document.documentElement.lang = 'en'
  localStorage.clear()
})
afterEach(() => {
  cleanup()
  vi.useRealTimers()
})

const LENA = person('lena', { s1: 'lead', s2: 'evaluator' })
const ROOT = person('root', {}, true)

function following(who: Identity, channel = new MemoryChannel()): MemoryClient {
  const memory = new MemoryClient(who)
  memory.channels.set(channel.id, channel)
  return memory
}

async function show({ client }: MemoryClient, id: string | null) {
  await act(async () => {
    render(
      <ClientProvider client={client}>
        <MonitorPage session={id} />
      </ClientProvider>,
    )
  })
}

const figure = (name: string) =>
  screen.getByText(name, { selector: 'dt' }).nextElementSibling?.textContent

test('the session’s figures follow its channel', async () => {
  const channel = new MemoryChannel({ status: status(10) })
  await show(following(LENA, channel), 's1')
  expect(channel.watching).toBe(1)
  expect(figure('Online')).toBe('1 of 2')
  expect(figure('Success')).toBe('99.96%')
  expect(figure('p95')).toBe('1.6 ms')
  act(() => channel.change({ status: status(12, { connections: 5 }) }))
  expect(figure('Connections')).toBe('5')
  cleanup()
  expect([channel.watching, channel.open]).toEqual([0, 0])
})

test('the matrix says how far everybody is with each test case', async () => {
  await show(following(LENA, new MemoryChannel({ status: status(10) })), 's1')
  const alice = screen.getByRole('meter', { name: 'Alice: 3 of 4 required questions answered' })
  expect(alice.getAttribute('aria-valuetext')).toBe('75%')
  const row = screen.getByRole('row', { name: /^Refund after 30 days/ })
  expect(row.textContent).toContain('open now')
  expect(row.textContent).toContain('✓ complete')
})

test('people are shown with what is unsaved, and with how far they have the log', async () => {
  await show(following(LENA, new MemoryChannel({ status: status(10) })), 's1')
  const people = within(screen.getByRole('region', { name: 'People' }))
  const cells = within(people.getByRole('row', { name: /Alice/ })).getAllByRole('cell')
  expect(cells.map((each) => each.textContent)).toEqual([
    'Refund after 30 days',
    '21 ms',
    '2',
    'now',
    '7 of 8',
  ])
})

test('the active time goes on by itself while the session runs', async () => {
  vi.useFakeTimers({ now: START })
  const channel = new MemoryChannel({ status: status(59) })
  await show(following(LENA, channel), 's1')
  expect(screen.getByText('0:59')).toBeTruthy()
  act(() => vi.advanceTimersByTime(2_000))
  expect(screen.getByText('1:01')).toBeTruthy()
  act(() => channel.change({ status: status(61, { state: 'paused' }) }))
  act(() => vi.advanceTimersByTime(60_000))
  expect(screen.getByText('1:01')).toBeTruthy()
})

test('edits per second are drawn from one status to the next', async () => {
  vi.useFakeTimers({ now: START })
  const channel = new MemoryChannel({ status: status(0) })
  await show(following(LENA, channel), 's1')
  const chart = () => screen.getByRole('img', { name: /^Edits per second/ })
  expect(chart().getAttribute('aria-label')).toContain('now 0 /s')
  act(() => vi.advanceTimersByTime(1_000))
  const [first] = status(1).test_cases
  if (first === undefined) throw new Error('the status has a test case')
  act(() => channel.change({ status: status(1, { test_cases: [{ ...first, edits: 47 }] }) }))
  expect(chart().getAttribute('aria-label')).toContain('now 2 /s')
  act(() => vi.advanceTimersByTime(6_000))
  expect(chart().getAttribute('aria-label')).toContain('now 0 /s')
})

test('figures from before are not shown as live', async () => {
  vi.useFakeTimers({ now: START })
  const channel = new MemoryChannel({ status: status(10) })
  await show(following(LENA, channel), 's1')
  act(() => channel.connection.set({ ...CONNECTED, status: 'offline' }))
  act(() => vi.advanceTimersByTime(60_000))
  expect(screen.getByRole('status').textContent).toBe(
    'You are offline. Figures last updated 1 minute ago',
  )
})

test('a session that cannot be followed says why', async () => {
  const channel = new MemoryChannel({ session: null })
  channel.connection.set({
    ...CONNECTED,
    status: 'denied',
    verdict: { code: 4404, reason: 'there is no such session' },
  })
  await show(following(ROOT, channel), 's1')
  expect(screen.getByRole('alert').textContent).toContain('there is no such session')
})

test('the event feed is there, and takes guidance', async () => {
  const channel = new MemoryChannel({ events: [event(1, 'session.created', 'lena')] })
  await show(following(LENA, channel), 's1')
  expect(screen.getByRole('log').textContent).toContain('You created the session')
  expect(screen.getByRole('textbox', { name: 'Guidance for the evaluators' })).toBeTruthy()
})

test('leads see the sessions that they lead, live', async () => {
  const memory = following(LENA, new MemoryChannel({ status: status(10, { connections: 3 }) }))
  const { form: _, ...rest } = session()
  memory.list = async () => [rest, { ...rest, id: 's2', title: 'Not hers' }]
  await show(memory, null)
  const row = screen.getByRole('row', { name: /Refunds/ })
  const cells = within(row).getAllByRole('cell')
  expect(cells.map((each) => each.textContent)).toEqual([
    'Running',
    expect.stringMatching(/^0:1\d$/),
    '1 of 2',
    '3',
    '0 of 2',
    '41',
    '8',
  ])
  expect(within(row).getByRole('link').getAttribute('href')).toBe('#/monitor/s1')
  expect(screen.queryByText('Not hers')).toBeNull()
  expect(screen.queryByRole('heading', { name: 'The service' })).toBeNull()
})

test('administrators see the service’s figures, or why there are none', async () => {
  const memory = new MemoryClient(ROOT)
  memory.service = async () => ({ state: 'not saving', failing: { edits: 'the disk is full' } })
  await show(memory, null)
  expect(figure('State')).toBe('Not saving')
  expect(screen.getByRole('alert').textContent).toBe('the disk is full')
  cleanup()
  memory.service = () => Promise.reject(new Error('no way'))
  await show(memory, null)
  expect(screen.getByText('This could not be loaded: no way')).toBeTruthy()
})

test.each([
  [person('eve', { s1: 'evaluator' }), 's1'],
  [person('eve', { s1: 'evaluator' }), null],
])('it is not for those who lead nothing (%#)', async (who, id) => {
  await show(new MemoryClient(who), id)
  expect(screen.getByRole('heading').textContent).toBe(
    'The monitor is for leads and administrators',
  )
})
