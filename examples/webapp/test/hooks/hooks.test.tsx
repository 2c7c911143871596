// @vitest-environment jsdom
import { act, cleanup, render, screen } from '@testing-library/react'
import { StrictMode, useLayoutEffect } from 'react'
import { afterEach, expect, test, vi } from 'vitest'
import * as Y from 'yjs'
import { ClientProvider, useAnswer, useDraft, useReadable, useSession } from '../../src/hooks'
import { Cell } from '../../src/lib/readable'
import type { Client, Draft, OpenDocument, SessionChannel, SessionView } from '../../src/lib/types'
import { FORM } from '../support/form'

afterEach(cleanup)

test('no change is lost between the first render and the subscription', () => {
  const cell = new Cell('before')
  function Late() {
    useLayoutEffect(() => cell.set('after'), [])
    return <p>{useReadable(cell)}</p>
  }
  render(<Late />)
  expect(screen.getByText('after')).toBeTruthy()
})

/** A client with documents and sessions that only count how often they are open. */
function counting() {
  const open = new Map<string, number>()
  const count = (key: string, by: number) => open.set(key, (open.get(key) ?? 0) + by)
  const documents = new Map<string, Y.Doc>()
  const view = new Cell<SessionView>({
    session: null,
    stale: true,
    events: [],
    older: false,
    outbox: [],
    status: null,
    problem: null,
  })
  const watching = { count: 0 }
  const client = {
    document(name: string) {
      count(name, 1)
      const doc = documents.get(name) ?? new Y.Doc()
      documents.set(name, doc)
      const access = new Cell('write' as const)
      return { name, doc, access, release: () => count(name, -1) } as unknown as OpenDocument
    },
    session(id: string) {
      count(id, 1)
      const watchStatus = () => {
        watching.count += 1
        return () => {
          watching.count -= 1
        }
      }
      const connection = new Cell(null)
      const release = () => count(id, -1)
      return { id, view, connection, watchStatus, release } as unknown as SessionChannel
    },
  } as unknown as Client
  return { client, open, documents, view, watching }
}

const rendered = vi.fn()

function Answer({ draft, question }: { draft: Draft; question: string }) {
  rendered(question)
  return <p>{`${question}: ${String(useAnswer(draft, question))}`}</p>
}

function Page({ name }: { name: string }) {
  const open = useDraft(name, structuredClone(FORM), 'alice')
  if (open === null) return <p>opening</p>
  return (
    <>
      <Answer draft={open.draft} question="accuracy" />
      <Answer draft={open.draft} question="policy" />
    </>
  )
}

test('a draft is open while it is shown, and closed when another one is', () => {
  const { client, open, documents } = counting()
  const page = (name: string) => (
    <StrictMode>
      <ClientProvider client={client}>
        <Page name={name} />
      </ClientProvider>
    </StrictMode>
  )
  const { rerender, unmount } = render(page('one'))
  expect(open.get('one')).toBe(1)
  rerender(page('two'))
  expect([open.get('one'), open.get('two')]).toEqual([0, 1])
  act(() => documents.get('two')?.getMap('ratings').set('alice/accuracy', 4))
  expect(screen.getByText('accuracy: 4')).toBeTruthy()
  unmount()
  expect(open.get('two')).toBe(0)
})

test('an answer renders whoever shows it, and nobody else', () => {
  const { client, documents } = counting()
  render(
    <ClientProvider client={client}>
      <Page name="one" />
    </ClientProvider>,
  )
  rendered.mockClear()
  act(() => documents.get('one')?.getMap('ratings').set('alice/accuracy', 4))
  expect(rendered.mock.calls).toEqual([['accuracy']])
})

test('a session is followed while it is shown, and its status while that is asked for', () => {
  const { client, open, watching } = counting()
  function Shown({ status }: { status: boolean }) {
    const { channel } = useSession('s1', { status })
    return <p>{channel?.id ?? 'none'}</p>
  }
  const page = (status: boolean) => (
    <StrictMode>
      <ClientProvider client={client}>
        <Shown status={status} />
      </ClientProvider>
    </StrictMode>
  )
  const { rerender, unmount } = render(page(false))
  expect(screen.getByText('s1')).toBeTruthy()
  expect([open.get('s1'), watching.count]).toEqual([1, 0])
  rerender(page(true))
  expect(watching.count).toBe(1)
  unmount()
  expect([open.get('s1'), watching.count]).toEqual([0, 0])
})
