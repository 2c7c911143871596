/**
 * What is not as the form wants it, and what counts as an answer: the same rules as `sync.forms` in
 * Python, held together by `tests/forms/vectors.json`. Nothing is ever dropped: edits are flagged.
 */

import type { IssueCode, Question } from './form-types'

/** White space to Python's `str.isspace` and not to JavaScript's `trim`. */
const ALSO_SPACE = new Set(['\x1c', '\x1d', '\x1e', '\x1f', '\x85'])

/** Blank: nothing but white space, as Python's `str.isspace` has it. */
export function isBlank(text: string): boolean {
  for (const each of text) if (!isSpace(each)) return false
  return true
}

function isSpace(character: string): boolean {
  return character !== '\ufeff' && (character.trim() === '' || ALSO_SPACE.has(character))
}

/** Zero and false are answers; blanks are none. */
export function isAnswer(value: unknown): boolean {
  if (value === null || value === undefined) return false
  if (typeof value === 'string') return !isBlank(value)
  if (Array.isArray(value)) return value.length > 0
  return typeof value !== 'object' || Object.keys(value).length > 0
}

/** What is wrong with an answer to a question; empty for none at all. */
export function flaws(question: Question, value: unknown): readonly IssueCode[] {
  if (!isAnswer(value)) return []
  switch (question.kind) {
    case 'score':
      return scoreFlaws(question, value)
    case 'choice':
      return question.multiple
        ? listFlaws(value, (each) => isOption(question.options, each))
        : optionFlaws(question.options, value)
    case 'boolean':
      return typeof value === 'boolean' ? [] : ['not-a-boolean']
    case 'tags':
      return listFlaws(value, () => true)
    case 'text':
      return typeof value === 'string' ? [] : ['not-text']
  }
}

type Score = Extract<Question, { kind: 'score' }>
type Options = Extract<Question, { kind: 'choice' }>['options']

function scoreFlaws({ min, max, step }: Score, value: unknown): readonly IssueCode[] {
  if (typeof value !== 'number' || !Number.isFinite(value)) return ['not-a-number']
  if (value < min || value > max) return ['out-of-range']
  return step === undefined || isWhole((value - min) / step) ? [] : ['off-step']
}

/** As `math.isclose` has it, with a relative tolerance of 1e-9. */
function isWhole(steps: number): boolean {
  const nearest = Math.round(steps)
  return Math.abs(steps - nearest) <= 1e-9 * Math.max(Math.abs(steps), Math.abs(nearest))
}

function isOption(options: Options, value: string): boolean {
  return options.some((each) => each.id === value)
}

function optionFlaws(options: Options, value: unknown): readonly IssueCode[] {
  if (typeof value !== 'string') return ['not-text']
  return isOption(options, value) ? [] : ['unknown-option']
}

function listFlaws(value: unknown, known: (each: string) => boolean): readonly IssueCode[] {
  if (!Array.isArray(value)) return ['not-a-list']
  const texts = value.filter((each): each is string => typeof each === 'string')
  const found: IssueCode[] = []
  if (texts.length < value.length) found.push('not-text')
  if (!texts.every(known)) found.push('unknown-option')
  if (new Set(texts).size < texts.length) found.push('duplicate')
  return found
}
