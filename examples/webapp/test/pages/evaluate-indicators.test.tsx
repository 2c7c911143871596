// @vitest-environment jsdom
import { act, cleanup, render, screen } from '@testing-library/react'
import { StrictMode } from 'react'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as Y from 'yjs'
import { en, zh } from '../../src/i18n/evaluate'
import { Cell } from '../../src/lib/readable'
import type { Connection, OpenDocument, Saving, Session } from '../../src/lib/types'
import {
  Announcer,
  Banners,
  ConnectionIndicator,
  SavingIndicator,
  savingText,
  useLeavingWarning,
} from '../../src/pages/evaluate-indicators'
import { newSession } from '../support/events-server'

const ONLINE: Connection = {
  status: 'online',
  verdict: null,
  since: 0,
  latency: 12.4,
  sent: 0,
  received: 0,
  retries: 0,
  retryAt: null,
}
const SAVED: Saving = { state: 'saved', waiting: 0, savedAt: null, keptHere: true, refused: null }
const AT = new Date(2026, 10, 23, 14, 3, 22).getTime()

let connection: Cell<Connection>
let saving: Cell<Saving>
let access: Cell<'write' | 'read'>
let document_: OpenDocument

beforeEach(() => {
  connection = new Cell(ONLINE)
  saving = new Cell(SAVED)
  access = new Cell<'write' | 'read'>('write')
  const doc = new Y.Doc()
  document_ = { name: 'drafts/s/c', doc, connection, saving, access } as unknown as OpenDocument
})

afterEach(() => {
  cleanup()
  vi.useRealTimers()
})

const banners = () => screen.queryAllByTestId('banner').map((each) => each.dataset.banner)

function show(session: Partial<Session> = { state: 'running' }) {
  const whole = newSession('s', 'e', [], session)
  render(
    <StrictMode>
      <Banners document={document_} session={whole} stale={false} />
    </StrictMode>,
  )
}

test('saved is said with its time, and never while an edit waits', () => {
  const said = (more: Partial<Saving>) => savingText({ ...SAVED, ...more }, en, 'en')
  expect(said({ savedAt: AT })).toMatch(/^Saved · 2:03:22\sPM$/)
  expect(said({})).toBe('All saved')
  expect(said({ state: 'saving', waiting: 1, savedAt: AT })).toBe('Saving…')
  expect(said({ state: 'unsaved', waiting: 3, savedAt: AT })).toBe('3 edits not saved yet')
  expect(said({ state: 'unsaved', waiting: 1 })).toBe('1 edit not saved yet')
  expect(said({ state: 'unsaved', waiting: 2, refused: 'sealed' })).toBe('2 edits not accepted')
  expect(said({ refused: 'read-only' })).toBe('Read-only')
  expect(savingText({ ...SAVED, savedAt: AT }, zh, 'zh-CN')).toBe('已保存 · 14:03:22')
})

test('indicators tell their state to sheets and tests', () => {
  render(
    <>
      <ConnectionIndicator connection={ONLINE} />
      <SavingIndicator document={document_} />
    </>,
  )
  expect(screen.getByTestId('connection').title).toBe('Round trip 12 ms')
  expect(screen.getByTestId('saving').dataset).toMatchObject({ state: 'saved', waiting: '0' })
  act(() => saving.set({ ...SAVED, state: 'unsaved', waiting: 2 }))
  expect(screen.getByTestId('saving').dataset).toMatchObject({ state: 'unsaved', waiting: '2' })
})

test('offline, it is said what is kept where, and how much waits', () => {
  show()
  expect(banners()).toEqual([])
  act(() => {
    connection.set({ ...ONLINE, status: 'offline' })
    saving.set({ ...SAVED, state: 'unsaved', waiting: 12 })
  })
  expect(banners()).toEqual(['offline'])
  expect(screen.getByTestId('banner').textContent).toContain('kept on this device')
  expect(screen.getByTestId('banner').textContent).toContain('12 edits are waiting.')
  act(() => saving.set({ ...SAVED, state: 'unsaved', waiting: 12, keptHere: false }))
  expect(screen.getByTestId('banner').textContent).not.toContain('is kept on this device')
})

test.each([4401, 4403, 4404, 4409, 4413])('a verdict of %i is said in words of its own', (code) => {
  connection.set({ ...ONLINE, status: 'denied', verdict: { code, reason: 'x' } })
  show()
  expect(banners()).toEqual(['denied'])
  const others = [0, 4401, 4403, 4404, 4409, 4413].filter((each) => each !== code)
  expect(others.map((each) => en.denied(each))).not.toContain(
    screen.getByTestId('banner').textContent,
  )
  expect(zh.denied(code)).not.toBe(zh.denied(0))
})

test('edits that wait for a new sign-in are not called refused', () => {
  connection.set({ ...ONLINE, status: 'denied', verdict: { code: 4401, reason: 'x' } })
  saving.set({ ...SAVED, state: 'unsaved', waiting: 2 })
  show()
  expect(banners()).toEqual(['denied'])
  expect(screen.getByText('2 edits are waiting.')).toBeTruthy()
})

test('edits that came too late are counted, and can be taken away', () => {
  connection.set({ ...ONLINE, status: 'denied', verdict: { code: 4409, reason: 'sealed' } })
  saving.set({ ...SAVED, state: 'unsaved', waiting: 2, refused: 'sealed' })
  show({ state: 'stopped' })
  expect(banners()).toEqual(['refused', 'stopped'])
  expect(screen.getByText(/^2 edits of yours were not accepted/)).toBeTruthy()
  expect(screen.getByRole('button', { name: 'Download a copy' })).toBeTruthy()
})

test('screen readers are told what lasts, not every save', () => {
  vi.useFakeTimers()
  render(<Announcer document={document_} />)
  const said = () => screen.getByRole('status').textContent
  act(() => vi.advanceTimersByTime(2_000))
  expect(said()).toBe('Everything is saved.')
  act(() => connection.set({ ...ONLINE, status: 'offline' }))
  act(() => vi.advanceTimersByTime(500))
  act(() => connection.set(ONLINE))
  act(() => vi.advanceTimersByTime(5_000))
  expect(said()).toBe('Everything is saved.')
  act(() => connection.set({ ...ONLINE, status: 'offline' }))
  act(() => vi.advanceTimersByTime(2_000))
  expect(said()).toBe('You are offline. Edits are kept on this device.')
})

test('closing the page asks while anything waits, and then only', () => {
  function Page() {
    useLeavingWarning(document_)
    return null
  }
  const { unmount } = render(<Page />)
  const asks = () => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))
  expect(asks()).toBe(false)
  saving.set({ ...SAVED, state: 'saving', waiting: 1 })
  expect(asks()).toBe(true)
  saving.set(SAVED)
  expect(asks()).toBe(false)
  saving.set({ ...SAVED, state: 'unsaved', waiting: 1 })
  unmount()
  expect(asks()).toBe(false)
})
