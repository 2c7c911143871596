import { expect, test } from 'vitest'
import { Cell, derived } from '../../src/lib/readable'

function heard(source: { subscribe(listener: () => void): () => void }) {
  const calls: number[] = []
  const stop = source.subscribe(() => calls.push(calls.length))
  return { calls, stop }
}

test('a cell tells of changes, and of nothing else', () => {
  const cell = new Cell(1)
  const { calls, stop } = heard(cell)
  cell.set(1)
  expect(calls).toHaveLength(0)
  cell.set(2)
  expect(cell.get()).toBe(2)
  expect(calls).toHaveLength(1)
  stop()
  cell.set(3)
  expect(calls).toHaveLength(1)
})

test('a listener that stops another one while it is told is no harm', () => {
  const cell = new Cell(1)
  const stops: (() => void)[] = []
  const told: string[] = []
  stops.push(cell.subscribe(() => stops.forEach((stop) => void stop())))
  stops.push(cell.subscribe(() => told.push('second')))
  cell.set(2)
  cell.set(3)
  expect(told).toEqual(['second'])
})

test('what is derived is made once for each change, and the same until then', () => {
  const left = new Cell(1)
  const right = new Cell(2)
  let made = 0
  const sum = derived([left, right], () => {
    made += 1
    return { sum: left.get() + right.get() }
  })
  expect(sum.get()).toBe(sum.get())
  expect(made).toBe(1)
  left.set(5)
  expect(sum.get()).toEqual({ sum: 7 })
  expect(made).toBe(2)
})

test('what is derived stays the same object while it is equal', () => {
  const cell = new Cell(1)
  const parity = derived(
    [cell],
    () => ({ odd: cell.get() % 2 === 1 }),
    (a, b) => a.odd === b.odd,
  )
  const before = parity.get()
  cell.set(3)
  expect(parity.get()).toBe(before)
})

test('who listens to what is derived hears of all sources, until they stop', () => {
  const [left, right] = [new Cell(1), new Cell(2)]
  const { calls, stop } = heard(derived([left, right], () => left.get() + right.get()))
  left.set(3)
  right.set(3)
  expect(calls).toHaveLength(2)
  stop()
  expect(left.listeners + right.listeners).toBe(0)
})
