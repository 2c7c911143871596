import { expect, test } from 'vitest'
import {
  BIN,
  bytes,
  duration,
  editRate,
  figuresOf,
  latencyOver,
  matrixOf,
  milliseconds,
  percent,
  type Sample,
  sampleOf,
  serviceFigures,
  WINDOW,
  withSample,
} from '../../src/pages/monitor-model'
import { runsOf } from '../../src/ui/sparkline'
import { status } from '../support/channel'

const NOW = 1_000 * BIN
const sample = (bin: number, edits: number, latency: number | null = null): Sample => ({
  at: NOW + bin * BIN,
  edits,
  latency,
})

test('a sample has all edits, and the middle round trip', () => {
  expect(sampleOf(status(10), NOW)).toEqual({ at: NOW, edits: 41, latency: 21 })
  expect(sampleOf(status(10, { members: [] }), NOW).latency).toBeNull()
})

test('edits per second are those between statuses, in the bin in which they were told', () => {
  const samples = [sample(-3, 10), sample(-1, 16), sample(0, 17), sample(0, 19)]
  const rates = editRate(samples, NOW + BIN / 2)
  expect(rates).toHaveLength(WINDOW / BIN)
  expect(rates.slice(-4)).toEqual([0, 0, 2, (3 + 6 / 2) / 3])
})

test('what was edited before the first status is no rate, nor is what retention took', () => {
  expect(Math.max(...editRate([sample(0, 500)], NOW))).toBe(0)
  expect(Math.min(...editRate([sample(-1, 500), sample(0, 3)], NOW))).toBe(0)
})

test('nothing comes when nothing happens, and the line goes down by itself', () => {
  const samples = [sample(-2, 0), sample(-1, 30)]
  expect(editRate(samples, NOW).slice(-2)).toEqual([10, 10])
  expect(editRate(samples, NOW + BIN).slice(-3)).toEqual([10, 0, 0])
})

test('the round trip stays what it was until another one is known', () => {
  const line = latencyOver([sample(-3, 0, 20), sample(-1, 0, 30), sample(-1, 0, 40)], NOW)
  expect(line.slice(-5)).toEqual([null, 20, 20, 40, 40])
})

test('samples from before the window go, but for the last one', () => {
  const kept = [sample(-200, 1), sample(-100, 2), sample(-10, 3)].reduce(
    (all, each) => withSample(all, each),
    [] as readonly Sample[],
  )
  expect(withSample(kept, sample(0, 4)).map((each) => each.edits)).toEqual([2, 3, 4])
})

test('a person’s figures are those of all their connections', () => {
  const [alice, bob] = status(10).members
  if (alice === undefined || bob === undefined) throw new Error('they are in the status')
  expect(figuresOf(alice, 's1', 8)).toMatchObject({
    unsaved: 2,
    latency: 21,
    behind: 1,
    open: ['refund'],
  })
  expect(figuresOf(bob, 's1', 8)).toEqual({
    unsaved: 0,
    latency: null,
    lastSeen: null,
    behind: 0,
    open: [],
  })
})

test('the matrix has a row for each case and a column for each evaluator', () => {
  const matrix = matrixOf(status(10))
  expect(matrix.people).toEqual([
    { subject: 'alice', name: 'Alice' },
    { subject: 'bob', name: 'Bob' },
  ])
  const [row] = matrix.rows
  expect(row?.lastEdit?.name).toBe('Alice')
  expect(
    row?.cells.map((cell) => [cell?.progress?.share, cell?.open, cell?.completedAt !== null]),
  ).toEqual([
    [0.75, true, false],
    [1, false, true],
  ])
  expect([matrix.completed, matrix.expected]).toEqual([1, 2])
})

test('numbers read as people read them', () => {
  expect([duration(59.9), duration(61), duration(3_723)]).toEqual(['0:59', '1:01', '1:02:03'])
  expect([milliseconds(0.42, 'en'), milliseconds(21.4, 'en')]).toEqual(['0.4', '21'])
  expect([bytes(0, 'en'), bytes(1_500, 'en'), bytes(121_634_816, 'en')]).toEqual([
    '0 byte',
    '1.5 kB',
    '122 MB',
  ])
})

test('a hundred percent is said only of all', () => {
  expect([percent(1, 'en'), percent(0.99996, 'en'), percent(0.999, 'en')]).toEqual([
    '100%',
    '99.99%',
    '99.9%',
  ])
  expect([percent(0.756, 'en'), percent(0, 'en')]).toEqual(['75%', '0%'])
})

test('the service’s figures are read, and what is missing is not known', () => {
  const told = {
    state: 'ready',
    failing: { edits: 'the disk is full', events: null },
    connections: { documents: 11, events: 12, streams: 1 },
    edits: { per_second: { '10s': 12.5 }, commit_ms: { p50: 0.4, p95: 1.6, p99: null } },
    webhooks: [{ name: 'https://hooks.example.org', delivered: 3, dead: 0, failing: null }],
  }
  const figures = serviceFigures(told)
  expect(figures).toMatchObject({
    state: 'ready',
    failing: ['the disk is full'],
    connections: 24,
    editRate: 12.5,
    editCommit: { p50: 0.4, p95: 1.6, p99: null },
    memory: null,
  })
  expect(figures.webhooks[0]).toMatchObject({ delivered: 3, waiting: null })
  expect(serviceFigures('nonsense').connections).toBeNull()
})

test('a line has a gap where nothing is known', () => {
  const runs = runsOf([1, null, 2, 4], 4)
  expect(runs.map((run) => run.length)).toEqual([1, 2])
  expect(runs[1]?.[1]).toEqual([240, 2])
})
