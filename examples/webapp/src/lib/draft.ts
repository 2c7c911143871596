/**
 * A form in a Yjs document: typed answers, each told by itself, so that an edit of one question is
 * nobody else's business. The shape is that of `sync.forms` (see `form-types.ts`):
 *
 * - own answers in the map `ratings`, under `{subject}/{question}`: two people never overwrite each
 *   other; answers of everybody in the map `fields`;
 * - shared tags as keys of a map `tags/{question}`, so that adding and removing merge;
 * - texts, and notes beside answers, in the text `comment/{question}`.
 */

import * as Y from 'yjs'
import {
  COMMENT,
  FIELDS,
  type FormDefinition,
  type Progress,
  type Question,
  RATINGS,
  TAGS,
} from './form-types'
import { Cell, type Readable } from './readable'
import type { AnswerValue, Draft, Issue } from './types'
import { flaws, isAnswer, isBlank } from './validation'

/** Consecutive edits within so many milliseconds are undone together. */
const UNDO_MS = 500

export interface DraftOptions {
  /** Asked before every edit: one that the service will not take is not made. */
  readonly writable?: () => boolean
}

export function createDraft(
  doc: Y.Doc,
  form: FormDefinition,
  subject: string,
  options: DraftOptions = {},
): Draft {
  return new FormDraft(doc, form, subject, options.writable ?? (() => true))
}

const NOBODY: ReadonlyMap<string, AnswerValue> = new Map()

/** One question, and everything of it that can be listened to. */
interface Entry {
  readonly question: Question
  readonly answer: Cell<AnswerValue | undefined>
  readonly others: Cell<ReadonlyMap<string, AnswerValue>>
  readonly issues: Cell<readonly Issue[]>
  answered: boolean
}

class FormDraft implements Draft {
  readonly form: FormDefinition
  readonly subject: string
  readonly progress: Readable<Progress>
  readonly undo: Readable<{ readonly canUndo: boolean; readonly canRedo: boolean }>

  readonly #doc: Y.Doc
  readonly #writable: () => boolean
  readonly #fields: Y.Map<unknown>
  readonly #ratings: Y.Map<unknown>
  readonly #entries = new Map<string, Entry>()
  readonly #progress: Cell<Progress>
  readonly #history: Y.UndoManager
  readonly #undo = new Cell({ canUndo: false, canRedo: false }, same)
  readonly #stops: (() => void)[] = []

  constructor(doc: Y.Doc, form: FormDefinition, subject: string, writable: () => boolean) {
    this.form = form
    this.subject = subject
    this.#doc = doc
    this.#writable = writable
    this.#fields = doc.getMap(FIELDS)
    this.#ratings = doc.getMap(RATINGS)
    for (const section of form.sections) {
      for (const question of section.questions) this.#enter(question)
    }
    this.#progress = new Cell(this.#count(), same)
    this.progress = this.#progress
    this.undo = this.#undo
    this.#history = this.#remember()
    this.#listen(this.#fields, (event) => this.#onFields(event.keysChanged))
    this.#listen(this.#ratings, (event) => this.#onRatings(event.keysChanged))
  }

  // -- reading

  answer = (question: string): Readable<AnswerValue | undefined> => this.#entry(question).answer

  others = (question: string): Readable<ReadonlyMap<string, AnswerValue>> =>
    this.#entry(question).others

  issues = (question: string): Readable<readonly Issue[]> => this.#entry(question).issues

  text = (question: string): Y.Text => {
    this.#entry(question)
    return this.#doc.getText(COMMENT + question)
  }

  #entry(question: string): Entry {
    const entry = this.#entries.get(question)
    if (entry === undefined) throw new Error(`the form ${this.form.id} has no question ${question}`)
    return entry
  }

  // -- editing

  setAnswer = (question: string, value: AnswerValue | undefined): void => {
    const entry = this.#entry(question)
    const { kind, shared } = entry.question
    if (kind === 'text') throw new Error(`${question} is a text: edit it with editText`)
    if (shared && kind === 'tags') throw new Error(`${question}: use addTag and removeTag`)
    if (same(entry.answer.get(), value)) return
    this.#edit(() => {
      const [map, key] = shared ? [this.#fields, question] : [this.#ratings, this.#own(question)]
      if (value === undefined) map.delete(key)
      else map.set(key, value)
    })
  }

  addTag = (question: string, tag: string): void => {
    const { question: asked, answer } = this.#entry(question)
    const tags = asTags(answer.get())
    if (tags.includes(tag)) return
    if (asked.shared) this.#edit(() => this.#tags(question).set(tag, true))
    else this.setAnswer(question, [...tags, tag])
  }

  removeTag = (question: string, tag: string): void => {
    const { question: asked, answer } = this.#entry(question)
    const tags = asTags(answer.get())
    if (!tags.includes(tag)) return
    const left = tags.filter((each) => each !== tag)
    if (asked.shared) this.#edit(() => this.#tags(question).delete(tag))
    else this.setAnswer(question, left.length > 0 ? left : undefined)
  }

  editText = (question: string, at: number, remove: number, insert: string): void => {
    const text = this.text(question)
    this.#edit(() => {
      if (remove > 0) text.delete(at, remove)
      if (insert !== '') text.insert(at, insert)
    })
  }

  #edit(change: () => void): void {
    if (!this.#writable()) throw new Error('this draft is read-only now: nothing was changed')
    this.#doc.transact(change, this)
  }

  #own(question: string): string {
    return `${this.subject}/${question}`
  }

  #tags(question: string): Y.Map<unknown> {
    return this.#doc.getMap(TAGS + question)
  }

  // -- undo

  #remember(): Y.UndoManager {
    const texts: (Y.Map<unknown> | Y.Text)[] = [...this.#entries.values()].flatMap(
      ({ question }) =>
        rootOf(question) === 'text'
          ? [this.#doc.getText(COMMENT + question.id)]
          : [
              ...(rootOf(question) === 'tags' ? [this.#tags(question.id)] : []),
              ...(question.comment ? [this.#doc.getText(COMMENT + question.id)] : []),
            ],
    )
    const history = new Y.UndoManager([this.#fields, this.#ratings, ...texts], {
      trackedOrigins: new Set([this]),
      captureTimeout: UNDO_MS,
    })
    const tell = () => this.#undo.set({ canUndo: history.canUndo(), canRedo: history.canRedo() })
    for (const change of ['stack-item-added', 'stack-item-popped', 'stack-cleared'] as const) {
      history.on(change, tell)
    }
    return history
  }

  undoLast = (): void => this.#travel(() => this.#history.undo())

  redoLast = (): void => this.#travel(() => this.#history.redo())

  #travel(move: () => void): void {
    if (this.#writable()) move()
    this.#undo.set({ canUndo: this.#history.canUndo(), canRedo: this.#history.canRedo() })
  }

  // -- listening

  #enter(question: Question): void {
    const entry: Entry = {
      question,
      answer: new Cell<AnswerValue | undefined>(undefined, same),
      others: new Cell(NOBODY, same),
      issues: new Cell<readonly Issue[]>([], same),
      answered: false,
    }
    this.#entries.set(question.id, entry)
    this.#readAnswer(entry)
    this.#readOthers(entry)
    const again = () => this.#onAnswer(entry)
    if (rootOf(question) === 'tags') this.#listen(this.#tags(question.id), again)
    if (rootOf(question) === 'text') this.#listen(this.#doc.getText(COMMENT + question.id), again)
  }

  #listen<E>(
    type: { observe(f: (event: E) => void): void; unobserve(f: (event: E) => void): void },
    heard: (event: E) => void,
  ): void {
    type.observe(heard)
    this.#stops.push(() => type.unobserve(heard))
  }

  #onFields(keys: ReadonlySet<unknown>): void {
    for (const key of keys) {
      const entry = this.#entries.get(String(key))
      if (entry !== undefined) this.#onAnswer(entry)
    }
  }

  #onRatings(keys: ReadonlySet<unknown>): void {
    for (const key of keys) {
      const [subject, question] = split(String(key))
      const entry = this.#entries.get(question)
      if (entry === undefined) continue
      if (subject === this.subject) this.#onAnswer(entry)
      else this.#readOthers(entry)
    }
  }

  #onAnswer(entry: Entry): void {
    this.#readAnswer(entry)
    this.#progress.set(this.#count())
  }

  #readAnswer(entry: Entry): void {
    const { question } = entry
    const value = rootOf(question) === 'text' ? undefined : this.#value(question)
    entry.answered = isAnswer(value) || this.#isAnsweredElsewhere(question)
    entry.answer.set(isAnswer(value) ? (value as AnswerValue) : undefined)
    const subject = question.shared ? null : this.subject
    entry.issues.set(
      flaws(question, value).map((code) => ({ question: question.id, subject, code })),
    )
  }

  /** By a text; or where another version of the form had the answer: it counts, and is not shown. */
  #isAnsweredElsewhere(question: Question): boolean {
    if (rootOf(question) === 'text' && !isBlank(this.text(question.id).toString())) return true
    return (
      isAnswer(plain(this.#fields.get(question.id))) ||
      isAnswer(plain(this.#ratings.get(this.#own(question.id))))
    )
  }

  #value(question: Question): unknown {
    switch (rootOf(question)) {
      case 'fields':
        return plain(this.#fields.get(question.id))
      case 'tags':
        return [...this.#tags(question.id).keys()].sort()
      default:
        return plain(this.#ratings.get(this.#own(question.id)))
    }
  }

  #readOthers(entry: Entry): void {
    if (rootOf(entry.question) !== 'ratings') return
    const found = new Map<string, AnswerValue>()
    for (const [key, value] of this.#ratings.entries()) {
      const [subject, question] = split(key)
      const someone = subject !== '' && subject !== this.subject
      const theirs = someone && question === entry.question.id
      if (theirs && isAnswer(value)) found.set(subject, value as AnswerValue)
    }
    entry.others.set(found.size > 0 ? found : NOBODY)
  }

  #count(): Progress {
    const all = [...this.#entries.values()]
    const required = all.filter((each) => each.question.required)
    const answered = required.filter((each) => each.answered).length
    const optional = all.filter((each) => each.answered && !each.question.required).length
    const share = required.length > 0 ? answered / required.length : optional / all.length
    return { answered, required: required.length, optional_answered: optional, share }
  }

  destroy = (): void => {
    for (const stop of this.#stops) stop()
    this.#history.destroy()
  }
}

/** What somebody else may have put there: shown, and flagged, as what it holds. */
function plain(value: unknown): unknown {
  return value instanceof Y.AbstractType ? value.toJSON() : value
}

/** Where the answer to a question is. */
function rootOf({ kind, shared }: Question): 'text' | 'tags' | 'fields' | 'ratings' {
  if (kind === 'text') return 'text'
  if (!shared) return 'ratings'
  return kind === 'tags' ? 'tags' : 'fields'
}

/** `{subject}/{question}`: a subject may have slashes, a question has none. */
function split(key: string): [subject: string, question: string] {
  const at = key.lastIndexOf('/')
  return [key.slice(0, Math.max(at, 0)), key.slice(at + 1)]
}

function asTags(value: AnswerValue | undefined): readonly string[] {
  return Array.isArray(value) ? value : []
}

/** Equal as JSON is; maps by their entries. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (a instanceof Map && b instanceof Map) {
    return (
      a.size === b.size && [...a].every(([key, value]) => b.has(key) && same(value, b.get(key)))
    )
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [Object.entries(a), b as Record<string, unknown>]
  return (
    left.length === Object.keys(right).length &&
    left.every(([key, value]) => Object.hasOwn(right, key) && same(value, right[key]))
  )
}
