/** What the monitor shows, worked out of statuses as they come. */

import type { PresentConnection, PresentMember, Progress, SessionStatus } from '../lib/types'

// -- charts

/** What is kept of one status, for the charts. Times are of this device's clock. */
export interface Sample {
  readonly at: number
  /** Edits on disk, of all drafts. */
  readonly edits: number
  /** The middle one of all connections' round trips, in milliseconds; null: none is known. */
  readonly latency: number | null
}

export const WINDOW = 120_000 // milliseconds that a chart shows
export const BIN = 3_000 // of each of its points

export function sampleOf(status: SessionStatus, at: number): Sample {
  return { at, edits: editsOf(status), latency: middle(latencies(status)) }
}

export function editsOf(status: SessionStatus): number {
  const drafts = [...status.test_cases, ...status.other_documents]
  return drafts.reduce((sum, each) => sum + each.edits, 0)
}

/** One more sample. The last one from before the window stays: what comes next is counted from it. */
export function withSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const all = [...samples, sample]
  const first = all.findLastIndex((each) => each.at <= sample.at - WINDOW - BIN)
  return all.slice(Math.max(0, first))
}

/**
 * Edits per second, one point for each bin of the window, oldest first. A status is sent when
 * something changed, so that no status is no edit.
 */
export function editRate(samples: readonly Sample[], now: number): readonly number[] {
  const counts = new Array<number>(WINDOW / BIN).fill(0)
  for (const [n, sample] of samples.entries()) {
    const before = samples[n - 1]
    const bin = binOf(sample.at, now)
    if (before === undefined || bin < 0) continue
    // Retention takes old edits away: fewer than before is no edit.
    counts[bin] = (counts[bin] ?? 0) + Math.max(0, sample.edits - before.edits)
  }
  // The last bin is not over: what it still lacks is taken from the one before.
  const left = 1 - (now % BIN) / BIN
  const [last, before] = [counts.at(-1) ?? 0, counts.at(-2) ?? 0]
  counts[counts.length - 1] = last + before * left
  return counts.map((count) => count / (BIN / 1000))
}

/** The round trip in each bin: the last one known by then; null before the first. */
export function latencyOver(samples: readonly Sample[], now: number): readonly (number | null)[] {
  let last: number | null = null
  let next = 0
  return Array.from({ length: WINDOW / BIN }, (_, bin) => {
    for (;;) {
      const sample = samples[next]
      if (sample === undefined || binOf(sample.at, now) > bin) return last
      last = sample.latency
      next += 1
    }
  })
}

/** Bins end at whole multiples: so a point does not change when the window moves on. */
function binOf(at: number, now: number): number {
  return WINDOW / BIN - 1 - (Math.floor(now / BIN) - Math.floor(at / BIN))
}

function latencies(status: SessionStatus): readonly number[] {
  return status.members
    .flatMap((member) => member.connections.map((each) => each.latency_ms))
    .filter((each) => each !== null)
}

function middle(numbers: readonly number[]): number | null {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? null
}

// -- people

/** Members who lag behind the log, or have edits that are not on disk, are looked at first. */
export interface PersonFigures {
  readonly unsaved: number
  /** The slowest of their connections; null: not known. */
  readonly latency: number | null
  /** Milliseconds; null: not connected. */
  readonly lastSeen: number | null
  /** Events that they have not acknowledged. */
  readonly behind: number
  /** Test cases, or other drafts, that they have open. */
  readonly open: readonly string[]
}

export function figuresOf(member: PresentMember, session: string, top: number): PersonFigures {
  const { connections } = member
  const known = connections.map((each) => each.latency_ms).filter((each) => each !== null)
  return {
    unsaved: connections.reduce((sum, each) => sum + each.unsaved, 0),
    latency: known.length === 0 ? null : Math.max(...known),
    lastSeen:
      connections.length === 0
        ? null
        : Math.max(...connections.map((each) => Date.parse(each.last_seen))),
    behind: Math.max(0, top - member.acknowledged),
    open: openDrafts(connections, session),
  }
}

function openDrafts(connections: readonly PresentConnection[], session: string): readonly string[] {
  const prefix = `drafts/${session}/`
  const names = connections.flatMap(({ document }) =>
    document === null
      ? []
      : [document.startsWith(prefix) ? document.slice(prefix.length) : document],
  )
  return [...new Set(names)]
}

// -- the matrix

/** One test case and one evaluator. */
export interface MatrixCell {
  readonly progress: Progress | null
  readonly completedAt: string | null
  readonly open: boolean
}

export interface Matrix {
  readonly people: readonly { readonly subject: string; readonly name: string }[]
  readonly rows: readonly {
    readonly id: string
    readonly title: string
    readonly edits: number
    readonly lastEdit: { readonly at: string; readonly name: string } | null
    /** What is wrong with its drafts. */
    readonly notes: readonly string[]
    /** As many as people; null: nothing is expected of them here. */
    readonly cells: readonly (MatrixCell | null)[]
  }[]
  readonly completed: number
  readonly expected: number
}

/** Who has come how far: test cases by evaluators, in the order in which they came. */
export function matrixOf(status: SessionStatus): Matrix {
  const names = new Map(status.members.map((each) => [each.subject, each.name]))
  const subjects = new Set(status.test_cases.flatMap((each) => each.evaluators.map(subjectOf)))
  const people = [...subjects].map((subject) => ({ subject, name: names.get(subject) ?? subject }))
  let completed = 0
  let expected = 0
  const rows = status.test_cases.map((testCase) => {
    const by = new Map(testCase.evaluators.map((each) => [each.subject, each]))
    const cells = people.map(({ subject }): MatrixCell | null => {
      const found = by.get(subject)
      if (found === undefined) return null
      expected += 1
      if (found.completed) completed += 1
      const open = testCase.open.includes(subject)
      return { progress: found.progress, completedAt: found.completed_at, open }
    })
    const last = testCase.last_edit
    return {
      id: testCase.id,
      title: testCase.title ?? testCase.id,
      edits: testCase.edits,
      lastEdit: last === null ? null : { at: last.at, name: names.get(last.by) ?? last.by },
      notes: testCase.documents.flatMap(({ note }) => (note === null ? [] : [note])),
      cells,
    }
  })
  return { people, rows, completed, expected }
}

function subjectOf(each: { readonly subject: string }): string {
  return each.subject
}

// -- numbers

/** Hours, minutes and seconds: `1:02:03`, `2:03`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (number: number) => String(number).padStart(2, '0')
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

/** Milliseconds as far as they mean something: `0.4`, `21`, `1,204`. */
export function milliseconds(value: number, locale: string): string {
  const maximumFractionDigits = value < 10 ? 1 : 0
  return new Intl.NumberFormat(locale, { maximumFractionDigits }).format(value)
}

/** A share in percent that is 100 only when it is: `99.98 %` of deliveries is no `100 %`. */
export function percent(share: number, locale: string): string {
  const digits = share > 0.99 && share < 1 ? 2 : 0
  const shown = digits === 2 ? Math.floor(share * 10_000) / 10_000 : Math.floor(share * 100) / 100
  return new Intl.NumberFormat(locale, {
    style: 'percent',
    maximumFractionDigits: digits,
  }).format(shown)
}

/** Bytes as people say them: `116 MB`. */
export function bytes(value: number, locale: string): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const
  let scaled = value
  let n = 0
  while (scaled >= 1000 && n < units.length - 1) {
    scaled /= 1000
    n += 1
  }
  return new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: units[n] ?? 'byte',
    unitDisplay: 'short',
    maximumFractionDigits: scaled < 10 && n > 0 ? 1 : 0,
  }).format(scaled)
}

// -- the service's figures (`GET /api/v1/status`, sync/server/api/monitoring.py)

export interface Quantiles {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
}

export interface ServiceFigures {
  readonly state: string
  readonly failing: readonly string[]
  readonly uptime: number | null
  readonly sessions: Readonly<Record<'created' | 'running' | 'paused' | 'stopped', number | null>>
  readonly members: number | null
  readonly connections: number | null
  readonly rooms: number | null
  readonly editRate: number | null
  readonly editCommit: Quantiles
  readonly unsavedBytes: number | null
  readonly eventRate: number | null
  readonly eventCommit: Quantiles
  readonly eventQueue: number | null
  readonly deliveryRate: number | null
  readonly deliverySuccess: number | null
  readonly deliveryLatency: Quantiles
  readonly roundTrip: Quantiles
  readonly memory: number | null
  readonly loopLag: Quantiles
  readonly webhooks: readonly {
    readonly name: string
    readonly delivered: number | null
    readonly dead: number | null
    readonly waiting: number | null
    readonly failing: string | null
  }[]
}

/** The service's figures. What an older or newer service does not tell is null. */
export function serviceFigures(told: unknown): ServiceFigures {
  const number = (...path: string[]) => numberAt(told, path)
  const quantiles = (...path: string[]): Quantiles => ({
    p50: number(...path, 'p50'),
    p95: number(...path, 'p95'),
    p99: number(...path, 'p99'),
  })
  const kinds = ['documents', 'events', 'streams'].map((each) => number('connections', each))
  return {
    state: textAt(told, ['state']) ?? '',
    failing: ['edits', 'events'].flatMap((each) => textAt(told, ['failing', each]) ?? []),
    uptime: number('uptime_seconds'),
    sessions: {
      created: number('sessions', 'created'),
      running: number('sessions', 'running'),
      paused: number('sessions', 'paused'),
      stopped: number('sessions', 'stopped'),
    },
    members: number('members'),
    connections: kinds.includes(null) ? null : kinds.reduce<number>((a, b) => a + (b ?? 0), 0),
    rooms: number('rooms'),
    editRate: number('edits', 'per_second', '10s'),
    editCommit: quantiles('edits', 'commit_ms'),
    unsavedBytes: number('edits', 'unsaved_bytes'),
    eventRate: number('events', 'per_second', '10s'),
    eventCommit: quantiles('events', 'commit_ms'),
    eventQueue: number('events', 'queue_depth'),
    deliveryRate: number('delivery', 'per_second', '10s'),
    deliverySuccess: number('delivery', 'success'),
    deliveryLatency: quantiles('delivery', 'latency_ms'),
    roundTrip: quantiles('delivery', 'round_trip_ms'),
    memory: number('memory_bytes'),
    loopLag: quantiles('loop_lag_ms'),
    webhooks: listAt(told, ['webhooks']).map((each) => ({
      name: textAt(each, ['name']) ?? '',
      delivered: numberAt(each, ['delivered']),
      dead: numberAt(each, ['dead']),
      waiting: numberAt(each, ['waiting']),
      failing: textAt(each, ['failing']),
    })),
  }
}

function at(told: unknown, path: readonly string[]): unknown {
  let value = told
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Readonly<Record<string, unknown>>)[key]
  }
  return value
}

function numberAt(told: unknown, path: readonly string[]): number | null {
  const value = at(told, path)
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function textAt(told: unknown, path: readonly string[]): string | null {
  const value = at(told, path)
  return typeof value === 'string' ? value : null
}

function listAt(told: unknown, path: readonly string[]): readonly unknown[] {
  const value = at(told, path)
  return Array.isArray(value) ? value : []
}
