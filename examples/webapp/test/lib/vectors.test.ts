// The same cases as `tests/forms/test_vectors.py` runs; what they say is in README.md beside them.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as Y from 'yjs'
import { createDraft } from '../../src/lib/draft'
import type { FormDefinition, Progress } from '../../src/lib/form-types'
import type { Draft, Issue } from '../../src/lib/types'

interface Vector {
  readonly name: string
  readonly form: FormDefinition
  readonly content: Readonly<Record<string, unknown>>
  readonly subject: string
  readonly answers: Readonly<Record<string, unknown>>
  readonly others: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly texts: Readonly<Record<string, string>>
  readonly progress: Progress
  readonly issues: readonly Pick<Issue, 'question' | 'subject' | 'code'>[]
}

const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../../../../tests/forms/vectors.json', import.meta.url), 'utf8'),
)

function open({ content, form, subject }: Vector): Draft {
  const made = new Y.Doc()
  for (const [root, value] of Object.entries(content)) {
    if (typeof value === 'string') made.getText(root).insert(0, value)
    else if (Array.isArray(value)) made.getArray(root).push(value)
    else for (const [key, each] of Object.entries(value as object)) made.getMap(root).set(key, each)
  }
  const doc = new Y.Doc()
  const draft = createDraft(doc, form, subject) // first: what comes over the wire comes later
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(made), 'remote')
  return draft
}

function told(draft: Draft) {
  const answers: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  const texts: Record<string, string> = {}
  const issues: unknown[] = []
  for (const { id, kind, comment } of draft.form.sections.flatMap((each) => each.questions)) {
    const value = draft.answer(id).get()
    if (value !== undefined) answers[id] = value
    const theirs = draft.others(id).get()
    if (theirs.size > 0) others[id] = Object.fromEntries(theirs)
    const text = kind === 'text' || comment ? draft.text(id).toString() : ''
    if (text !== '') texts[id] = text
    issues.push(...draft.issues(id).get())
  }
  return { answers, others, texts, issues }
}

test.each(vectors)('$name', (vector) => {
  const draft = open(vector)
  const { answers, others, texts, issues } = told(draft)
  expect(answers).toEqual(vector.answers)
  expect(others).toEqual(vector.others)
  expect(texts).toEqual(vector.texts)
  const { share, ...counts } = vector.progress
  expect(draft.progress.get()).toMatchObject(counts)
  expect(draft.progress.get().share).toBeCloseTo(share, 9)
  // A page shows what is wrong with the answer that it shows: one's own, or everybody's.
  const questions = new Map(vector.form.sections.flatMap((s) => s.questions.map((q) => [q.id, q])))
  const shown = vector.issues.filter(({ question, subject }) => {
    const asked = questions.get(question)
    return asked !== undefined && subject === (asked.shared ? null : vector.subject)
  })
  expect(issues.map(withoutMessage)).toEqual(shown)
})

function withoutMessage(issue: unknown) {
  const { question, subject, code } = issue as Issue
  return { question, subject, code }
}
