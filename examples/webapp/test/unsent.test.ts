// @vitest-environment jsdom
import { beforeEach, expect, test, vi } from 'vitest'
import { Cell } from '../src/lib/readable'
import type { Client, Saving } from '../src/lib/types'
import { sendUnsent, watchUnsent } from '../src/unsent'

const SAVED: Saving = { state: 'saved', waiting: 0, savedAt: 1, keptHere: true, refused: null }
const WAITING: Saving = { ...SAVED, state: 'unsaved', waiting: 2 }

beforeEach(() => localStorage.clear())

/** A client whose documents count their holders, and are saved when the test says so. */
function newClient(saving: Cell<Saving>) {
  const held = new Map<string, number>()
  let [resolve, reject]: [() => void, (error: Error) => void] = [() => {}, () => {}]
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  const saved = { promise, resolve, reject }
  const document = (name: string) => {
    held.set(name, (held.get(name) ?? 0) + 1)
    const release = () => held.set(name, (held.get(name) ?? 0) - 1)
    return { name, saving, ready: Promise.resolve(), saved: () => saved.promise, release }
  }
  return { client: { document } as unknown as Client, held, saved }
}

const remembered = () => JSON.parse(localStorage.getItem('draftsync.unsent:alice') ?? '[]')
const asks = () => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))

test('a draft that is left while edits wait stays open until they are saved', async () => {
  const saving = new Cell(WAITING)
  const { client, held, saved } = newClient(saving)
  const left = watchUnsent(client, 'alice', client.document('a'))
  left()
  expect([held.get('a'), remembered(), asks()]).toEqual([2, ['a'], true])
  saving.set(SAVED)
  saved.resolve()
  await vi.waitFor(() => expect(held.get('a')).toBe(1))
  expect([remembered(), asks()]).toEqual([[], false])
})

test('a draft that is left with everything saved is not held', () => {
  const saving = new Cell(WAITING)
  const { client, held } = newClient(saving)
  const left = watchUnsent(client, 'alice', client.document('a'))
  saving.set(SAVED)
  left()
  expect([held.get('a'), remembered()]).toEqual([1, []])
})

test('the next page sends what this one could not, for the same person only', async () => {
  const saving = new Cell(WAITING)
  const before = newClient(saving)
  watchUnsent(before.client, 'alice', before.client.document('a'))
  const { client, held, saved } = newClient(saving)
  sendUnsent(client, 'bob')
  expect(held.get('a')).toBeUndefined()
  sendUnsent(client, 'alice')
  expect(held.get('a')).toBe(1)
  saved.reject(new Error('sealed'))
  await vi.waitFor(() => expect(held.get('a')).toBe(0))
  expect(remembered()).toEqual(['a'])
})
