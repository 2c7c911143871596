/** What the feed shows, worked out of events: sentences, people's names, days and minutes. */

import type { en } from '../i18n/feed'
import type { Outgoing, Role, Session, SessionEvent } from '../lib/types'

export type FeedMessages = typeof en

/** Kind of a note that an evaluator writes to everybody. */
export const NOTE = 'review.note'
export const GUIDANCE = 'guidance.message'

/** Who and what events speak of. */
export interface Names {
  person(subject: string): string
  testCase(id: string): string
  /** This page's own person. */
  readonly self: string | null
}

/** What an event says to people. */
export interface Saying {
  /** With places: see `template.ts`. */
  readonly template: string
  readonly values: Readonly<Record<string, string>>
  /** What somebody wrote. */
  readonly text: string | null
  /** Guidance stands out from everything else. */
  readonly guidance: boolean
  /** All that is known of an event whose kind we do not know: JSON. */
  readonly details: string | null
}

type Told = Pick<SessionEvent, 'kind' | 'actor'> & { readonly data: object }

const MOVES = {
  'session.created': 'created',
  'session.left': 'left',
  'session.started': 'started',
  'session.paused': 'paused',
  'session.resumed': 'resumed',
  'session.stopped': 'stopped',
} as const

const MOST_DETAILS = 4_000 // characters

/** What happened, in a sentence. Events come from a network: their data may be anything. */
export function saying(event: Told, names: Names, words: FeedMessages): Saying {
  const data = event.data as Readonly<Record<string, unknown>>
  const actor = event.actor === names.self ? words.you : names.person(event.actor)
  const say = (template: string, values: Record<string, string> = {}): Saying => ({
    template,
    values: { actor, ...values },
    text: null,
    guidance: false,
    details: null,
  })
  const move = MOVES[event.kind as keyof typeof MOVES]
  if (move !== undefined) return say(words[move])
  switch (event.kind) {
    case 'session.joined': {
      const role = isRole(data.role) ? words[data.role] : String(data.role)
      return say(words.joined, { role })
    }
    case 'draft.completed':
      return declared(words.completed, words.completedFor)
    case 'draft.reopened':
      return declared(words.reopened, words.reopenedFor)
    case GUIDANCE:
      return written(words.guidance, words.guidanceAbout)
    case NOTE:
      return written(words.note, words.noteAbout)
    default: {
      const text = typeof data.text === 'string' ? data.text : null
      return { ...say(words.unknown, { kind: event.kind }), text, details: details(data) }
    }
  }

  function declared(own: string, others: string): Saying {
    const testCase = names.testCase(String(data.case))
    if (data.subject === event.actor) return say(own, { case: testCase })
    const subject =
      data.subject === names.self ? words.youObject : names.person(String(data.subject))
    return say(others, { case: testCase, subject })
  }

  function written(all: string, about: string): Saying {
    const one = typeof data.case === 'string'
    const said = one ? say(about, { case: names.testCase(String(data.case)) }) : say(all)
    const text = typeof data.text === 'string' ? data.text : ''
    return { ...said, text, guidance: event.kind === GUIDANCE }
  }
}

function isRole(value: unknown): value is Role {
  return value === 'observer' || value === 'evaluator' || value === 'lead'
}

function details(data: Readonly<Record<string, unknown>>): string | null {
  if (Object.keys(data).every((key) => key === 'text')) return null
  const text = JSON.stringify(data, null, 2)
  return text.length > MOST_DETAILS ? `${text.slice(0, MOST_DETAILS)}…` : text
}

/**
 * Names of everybody: as members have them now, or else as they joined; somebody who was invited
 * has none yet, and who is not known at all is called by the subject.
 */
export function namesOf(
  session: Session | null,
  events: readonly SessionEvent[],
  self: string | null,
): Names {
  const people = new Map<string, string>()
  for (const event of events) {
    const { name } = event.data as { name?: unknown }
    if (event.kind === 'session.joined' && typeof name === 'string') people.set(event.actor, name)
  }
  for (const member of session?.members ?? []) {
    if (member.joined_at !== null) people.set(member.subject, member.name)
  }
  const cases = new Map(session?.test_cases.map((each) => [each.id, each.title ?? each.id]))
  return {
    person: (subject) => people.get(subject) ?? subject,
    testCase: (id) => cases.get(id) ?? id,
    self,
  }
}

// -- when

/** Events of one minute, and of the same person. */
export interface Minute {
  /** Offset of its first event: it stays what it is when others are added. */
  readonly key: number
  /** Milliseconds, of the last event. */
  readonly at: number
  readonly actor: string
  readonly events: readonly SessionEvent[]
}

export interface Day {
  /** Midnight, in milliseconds: the key too. */
  readonly at: number
  readonly minutes: readonly Minute[]
}

/** Events by day and minute of the clock on the wall here. */
export function byDay(events: readonly SessionEvent[]): readonly Day[] {
  const days: { at: number; minutes: (Minute & { at: number; events: SessionEvent[] })[] }[] = []
  for (const event of events) {
    const at = Date.parse(event.time)
    const midnight = new Date(at).setHours(0, 0, 0, 0)
    let day = days.at(-1)
    // Clocks are set back sometimes; a log is not, so a day never comes twice.
    if (day === undefined || midnight > day.at) {
      day = { at: midnight, minutes: [] }
      days.push(day)
    }
    const last = day.minutes.at(-1)
    if (last !== undefined && last.actor === event.actor && minuteOf(last.at) === minuteOf(at)) {
      last.events.push(event)
      last.at = at
    } else {
      day.minutes.push({ key: event.offset, at, actor: event.actor, events: [event] })
    }
  }
  return days
}

function minuteOf(at: number): number {
  return Math.floor(at / 60_000)
}

/** What a day is called: today, yesterday, or by its date. */
export function dayName(at: number, now: number, locale: string, words: FeedMessages): string {
  const today = new Date(now).setHours(0, 0, 0, 0)
  const yesterday = new Date(today)
  yesterday.setDate(yesterday.getDate() - 1) // not 24 hours: days with a change of clocks have others
  if (at === today) return words.today
  if (at === yesterday.getTime()) return words.yesterday
  const year = new Date(at).getFullYear() === new Date(now).getFullYear() ? {} : YEAR
  return new Intl.DateTimeFormat(locale, {
    weekday: 'long',
    month: 'long',
    day: 'numeric',
    ...year,
  }).format(at)
}

const YEAR = { year: 'numeric' } as const

// -- one's own

/** What may be published here: advice of those who look on, notes of those who work. */
export function kindFor(role: Role): typeof GUIDANCE | typeof NOTE {
  return role === 'evaluator' ? NOTE : GUIDANCE
}

/** Outgoing events that the log does not have yet: what is in both was committed just now. */
export function unsent(
  outbox: readonly Outgoing[],
  events: readonly SessionEvent[],
): readonly Outgoing[] {
  if (outbox.length === 0) return outbox
  const logged = new Set(events.map((event) => event.id))
  return outbox.filter((each) => !logged.has(each.id))
}
