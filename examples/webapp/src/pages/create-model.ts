/** The form in which a session is created: from what was typed to what the service takes. */

import type { en } from '../i18n/start'
import type { Fault, Identity, NewSession, Role } from '../lib/types'
import { brokenAt, type JsonPath, lineOf, pathOf, place, type Span } from './json-place'

export type StartMessages = typeof en

/** As it was typed. */
export interface Typed {
  readonly project: string
  readonly title: string
  readonly id: string
  /** One a line: `id | title`, or a title alone. */
  readonly cases: string
  readonly members: readonly { readonly subject: string; readonly role: Role }[]
  /** JSON of a form definition; null: the sample. */
  readonly form: string | null
}

export type Field = 'project' | 'title' | 'id' | 'cases' | 'members' | 'form'

/** What is wrong, and where. */
export interface Complaint {
  readonly field: Field
  readonly message: string
  /** Of `cases` and `form`: the part of what was typed that it is about. */
  readonly span?: Span
  /** Of `members`: which row. */
  readonly row?: number
}

// As the service has them (sync/core/session.py).
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const MOST_TEXT = 200
const MOST_CASES = 1_000

// -- test cases

export interface TypedCase {
  readonly id: string
  readonly title: string
  readonly span: Span
}

/** Test cases of lines; an id that is not given is made of the title, another one for each. */
export function casesOf(text: string): readonly TypedCase[] {
  const lines: { given: string | null; title: string; span: Span }[] = []
  let from = 0
  for (const line of text.split('\n')) {
    const span = { from, to: from + line.length }
    from = span.to + 1
    if (line.trim() === '') continue
    const bar = line.indexOf('|')
    const given = bar < 0 ? null : line.slice(0, bar).trim()
    const title = line.slice(bar + 1).trim()
    lines.push({ given: given === '' ? null : given, title: title || (given ?? ''), span })
  }
  const taken = new Set(lines.map((line) => line.given))
  return lines.map(({ given, title, span }, n) => {
    const id = given ?? free(slug(title) || `case-${n + 1}`, taken)
    taken.add(id)
    return { id, title, span }
  })
}

/** An id of a text: letters of any script stay, everything else becomes dashes. */
export function slug(text: string): string {
  return text
    .toLowerCase()
    .normalize('NFC')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 48)
    .replace(/-+$/, '')
}

function free(wanted: string, taken: ReadonlySet<string | null>): string {
  for (let n = 1; ; n += 1) {
    const id = n === 1 ? wanted : `${wanted}-${n}`
    if (!taken.has(id)) return id
  }
}

// -- the session's id

/** Patterns of sessions that a token may lead; an administrator leads everything. */
export function leads(identity: Identity): readonly string[] {
  if (identity.administrator) return ['*']
  return [...identity.sessionPatterns].filter(([, role]) => role === 'lead').map(([each]) => each)
}

/**
 * An id for a new session that the token lets one lead: an exact one of the token that is not used
 * yet, or else one made of the title under a prefix. '': the token gives none.
 */
export function suggestedId(
  identity: Identity,
  title: string,
  used: ReadonlySet<string>,
  today: Date,
): string {
  const patterns = leads(identity)
  const exact = patterns.find((each) => !each.endsWith('*') && !used.has(each))
  if (exact !== undefined) return exact
  const prefix = patterns.find((each) => each.endsWith('*'))?.slice(0, -1)
  if (prefix === undefined) return ''
  const date = `${today.getFullYear()}-${two(today.getMonth() + 1)}-${two(today.getDate())}`
  const name =
    slug(title)
      .replace(/[^a-z0-9-]+/g, '')
      .replace(/^-+|-+$/g, '') || date
  return free((prefix + name).slice(0, 60), used)
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

// -- from typed to told

/** What the service is asked for; or what is wrong. */
export function newSession(
  typed: Typed,
  sample: unknown,
  identity: Identity,
  words: StartMessages,
): { readonly session: NewSession | null; readonly complaints: readonly Complaint[] } {
  const cases = casesOf(typed.cases)
  const project = typed.project.trim()
  const title = typed.title.trim()
  const id = typed.id.trim()
  const members = typed.members
    .map(({ subject, role }) => ({ subject: subject.trim(), role }))
    .filter(({ subject }) => subject !== '')
  const complaints = [
    ...checkedText('project', project, words.projectMissing, words),
    ...checkedText('title', title, null, words),
    ...checkedId(id, identity, words),
    ...checkedCases(cases, words),
    ...checkedMembers(typed.members, words),
    ...(typed.form === null ? [] : checkedForm(typed.form, words)),
  ]
  if (complaints.length > 0) return { session: null, complaints }
  const session = {
    project,
    ...(title === '' ? {} : { title }),
    id,
    test_cases: cases.map((each) => ({ id: each.id, title: each.title })),
    members,
    form: typed.form === null ? sample : (JSON.parse(typed.form) as unknown),
  }
  return { session, complaints }
}

function checkedText(
  field: Field,
  text: string,
  missing: string | null,
  words: StartMessages,
): Complaint[] {
  if (text === '' && missing !== null) return [{ field, message: missing }]
  // The service counts code points.
  if ([...text].length > MOST_TEXT) return [{ field, message: words.tooLong(MOST_TEXT) }]
  return []
}

function checkedId(id: string, identity: Identity, words: StartMessages): Complaint[] {
  if (!ID.test(id)) return [{ field: 'id', message: words.idExpected }]
  if (identity.sessionRole(id) === 'lead') return []
  return [{ field: 'id', message: words.idNotYours(leads(identity)) }]
}

function checkedCases(cases: readonly TypedCase[], words: StartMessages): Complaint[] {
  if (cases.length === 0) return [{ field: 'cases', message: words.casesMissing }]
  if (cases.length > MOST_CASES)
    return [{ field: 'cases', message: words.casesTooMany(MOST_CASES) }]
  const seen = new Set<string>()
  for (const { id, title, span } of cases) {
    if (id.includes('/') || id === '.' || id === '..') {
      return [{ field: 'cases', message: words.caseId(id), span }]
    }
    if ([...id].length > MOST_TEXT || [...title].length > MOST_TEXT) {
      return [{ field: 'cases', message: words.tooLong(MOST_TEXT), span }]
    }
    if (seen.has(id)) return [{ field: 'cases', message: words.caseTwice(id), span }]
    seen.add(id)
  }
  return []
}

function checkedMembers(members: Typed['members'], words: StartMessages): Complaint[] {
  const seen = new Set<string>()
  for (const [row, { subject }] of members.entries()) {
    const name = subject.trim()
    if (name !== '' && seen.has(name)) {
      return [{ field: 'members', message: words.memberTwice(name), row }]
    }
    seen.add(name)
  }
  return []
}

/** Only whether it is JSON: what a form is, the service knows, and says where it is not. */
function checkedForm(text: string, words: StartMessages): Complaint[] {
  const at = brokenAt(text)
  if (at === null) return []
  const { line, column } = lineOf(text, at)
  const message = text.trim() === '' ? words.formMissing : words.formNoJson(line, column)
  return [{ field: 'form', message, span: { from: at, to: Math.min(at + 1, text.length) } }]
}

// -- what the service says

const FIELDS: Readonly<Record<string, Field>> = {
  project: 'project',
  title: 'title',
  id: 'id',
  test_cases: 'cases',
  members: 'members',
  form: 'form',
}

/** The service's faults, at the fields that they are about; others have none. */
export function complaintsOf(
  faults: readonly Fault[],
  typed: Typed,
): { readonly complaints: readonly Complaint[]; readonly others: readonly string[] } {
  const complaints: Complaint[] = []
  const others: string[] = []
  for (const { pointer, detail } of faults) {
    const path = pointerPath(pointer ?? '')
    const field = FIELDS[path[0] ?? '']
    if (field === undefined) others.push(detail)
    else complaints.push({ field, message: detail, ...where(field, path, detail, typed) })
  }
  return { complaints, others }
}

function where(
  field: Field,
  path: readonly string[],
  detail: string,
  typed: Typed,
): { span?: Span; row?: number } {
  const nth = Number(path[1] ?? Number.NaN)
  if (field === 'cases') {
    const span = casesOf(typed.cases)[nth]?.span
    return span === undefined ? {} : { span }
  }
  if (field === 'members') {
    const row = filledRows(typed)[nth]
    return row === undefined ? {} : { row }
  }
  if (field !== 'form' || typed.form === null) return {}
  return { span: place(typed.form, formPath(detail)) }
}

/** Rows of members that are sent: a blank one is none. */
function filledRows(typed: Typed): readonly number[] {
  return [...typed.members.entries()]
    .filter(([, { subject }]) => subject.trim() !== '')
    .map(([row]) => row)
}

/** A fault of a form begins with its place in it: `sections[0].questions[3].max: expected …`. */
function formPath(detail: string): JsonPath {
  const told = /^(.*?): expected/.exec(detail)?.[1]
  return told === undefined ? [] : pathOf(told)
}

function pointerPath(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}
