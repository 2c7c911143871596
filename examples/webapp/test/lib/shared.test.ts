import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Shared } from '../../src/lib/shared'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const log: string[] = []
const shared = () => {
  log.length = 0
  let opened = 0
  return new Shared(
    (name) => {
      opened += 1
      log.push(`open ${name}`)
      return { name, opened }
    },
    ({ name }) => log.push(`close ${name}`),
  )
}

test('all who ask for a name have the same, and the last one closes it a moment later', () => {
  const held = shared()
  expect(held.acquire('a')).toBe(held.acquire('a'))
  held.acquire('b')
  held.release('a')
  vi.runAllTimers()
  expect(log).toEqual(['open a', 'open b'])
  held.release('a')
  expect(log).toEqual(['open a', 'open b'])
  vi.runAllTimers()
  expect(log).toEqual(['open a', 'open b', 'close a'])
})

test('who comes back in that moment has the one that was open', () => {
  const held = shared()
  const first = held.acquire('a')
  held.release('a')
  expect(held.acquire('a')).toBe(first)
  vi.runAllTimers()
  expect(log).toEqual(['open a'])
})

test('one release too many closes nothing of somebody else', () => {
  const held = shared()
  held.acquire('a')
  held.release('a')
  held.release('a')
  held.acquire('a')
  vi.runAllTimers()
  expect(log).toEqual(['open a'])
  held.release('a')
  vi.runAllTimers()
  expect(log).toEqual(['open a', 'close a'])
})

test('what was closed is opened anew', () => {
  const held = shared()
  const first = held.acquire('a')
  held.closeAll()
  expect(held.acquire('a')).not.toBe(first)
  expect(log).toEqual(['open a', 'close a', 'open a'])
})
