/** One question: its words, its field, who is in it, what others answered, and what is not right. */

import { memo, useCallback, useId, useSyncExternalStore } from 'react'
import { useAnswer, useIssues, useOthers } from '../hooks'
import * as messages from '../i18n/evaluate'
import type { Question } from '../lib/form-types'
import type { AnswerValue } from '../lib/types'
import { isBlank } from '../lib/validation'
import { Avatar, personStyle } from '../ui/avatar'
import { useLocale, useWords } from '../ui/words'
import { byPerson, useFieldPeers, useForm } from './context'
import { BooleanField, ChoiceField, ScoreField, stepsOf, TagsField } from './fields'
import { TextArea } from './text-area'

export const Field = memo(function Field({ question }: { question: Question }) {
  return question.kind === 'text' ? (
    <TextQuestion question={question} />
  ) : (
    <AnswerQuestion question={question} />
  )
})

function AnswerQuestion({ question }: { question: Exclude<Question, { kind: 'text' }> }) {
  const words = useWords(messages)
  const { document } = useForm()
  const id = useId()
  const peers = useFieldPeers(question)
  const one = oneOf(question)
  return (
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: a radiogroup has aria-required
    <fieldset
      className="question"
      data-question={question.id}
      data-visited={peers.length > 0}
      style={visitedBy(peers[0]?.subject)}
      role={one ? 'radiogroup' : 'group'}
      aria-labelledby={`${id}-label`}
      aria-describedby={`${id}-help ${id}-issues`}
      aria-required={one && question.required ? true : undefined}
      onFocus={(event) => {
        if (event.target.tagName !== 'TEXTAREA') document.setPresence(question.id)
      }}
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) document.setPresence(null)
      }}
    >
      <legend className="question-head">
        <span id={`${id}-label`} className="question-label">
          {question.label}
        </span>
        <Marks question={question} />
        <Here question={question} />
      </legend>
      <Help question={question} id={`${id}-help`} />
      <Answer question={question} />
      <Clear question={question} />
      <Others question={question} />
      <Issues question={question} id={`${id}-issues`} />
      {question.comment && (
        <TextArea
          question={question}
          className="note"
          placeholder={words.notePlaceholder}
          labels={{ 'aria-label': words.noteOn(question.label) }}
        />
      )}
    </fieldset>
  )
}

/** Radios: one of several. */
function oneOf(question: Question): boolean {
  if (question.kind === 'score') return stepsOf(question) !== null
  return question.kind === 'boolean' || (question.kind === 'choice' && !question.multiple)
}

function visitedBy(subject: string | undefined) {
  return subject === undefined ? undefined : personStyle(subject)
}

function Answer({ question }: { question: Exclude<Question, { kind: 'text' }> }) {
  switch (question.kind) {
    case 'score':
      return <ScoreField question={question} />
    case 'choice':
      return <ChoiceField question={question} />
    case 'boolean':
      return <BooleanField question={question} />
    case 'tags':
      return <TagsField question={question} />
  }
}

function TextQuestion({ question }: { question: Extract<Question, { kind: 'text' }> }) {
  const id = useId()
  const peers = useFieldPeers(question)
  const missing = useMissingText(question)
  return (
    <div
      className="question"
      data-question={question.id}
      data-visited={peers.length > 0}
      style={visitedBy(peers[0]?.subject)}
    >
      <div className="question-head">
        <label className="question-label" htmlFor={`${id}-text`}>
          {question.label}
        </label>
        <Marks question={question} />
        <Here question={question} />
      </div>
      <Help question={question} id={`${id}-help`} />
      <TextArea
        question={question}
        className="prose"
        labels={{
          id: `${id}-text`,
          'aria-describedby': `${id}-help ${id}-issues`,
          'aria-required': question.required ? true : undefined,
          'aria-invalid': missing ? true : undefined,
        }}
      />
      <div id={`${id}-issues`}>{missing && <MissingText />}</div>
    </div>
  )
}

function MissingText() {
  const words = useWords(messages)
  return (
    <p className="issue" data-testid="issue">
      {words.issues.required}
    </p>
  )
}

/** Whether a text is asked for, and is not there. */
function useMissingText({ id, required }: Question): boolean {
  const { draft, asked } = useForm()
  const wanted = asked && required
  const subscribe = useCallback(
    (listener: () => void) => {
      const text = draft.text(id)
      text.observe(listener)
      return () => text.unobserve(listener)
    },
    [draft, id],
  )
  return useSyncExternalStore(subscribe, () => wanted && isBlank(draft.text(id).toString()))
}

function Marks({ question }: { question: Question }) {
  const words = useWords(messages)
  const all = question.kind === 'text' ? words.sharedText : question.shared ? words.shared : null
  return (
    <span className="question-marks">
      {question.required && <span className="question-required">{words.required}</span>}
      {all !== null && <span>{all}</span>}
    </span>
  )
}

/** Who is in it now. */
function Here({ question }: { question: Question }) {
  const words = useWords(messages)
  const people = byPerson(useFieldPeers(question))
  return (
    <span className="field-peers avatars">
      {people.map(({ subject, name }) => (
        <Avatar key={subject} subject={subject} name={name} label={words.isHere(name)} small />
      ))}
    </span>
  )
}

function Help({ question, id }: { question: Question; id: string }) {
  return (
    <p id={id} className="question-help">
      {question.help}
    </p>
  )
}

/** A scale or a choice of one cannot be unchosen otherwise. */
function Clear({ question }: { question: Question }) {
  const words = useWords(messages)
  const { draft, readOnly } = useForm()
  const answer = useAnswer(draft, question.id)
  if (readOnly || answer === undefined || !oneOf(question)) return null
  return (
    <button
      type="button"
      className="link-button question-clear"
      aria-label={words.clearOf(question.label)}
      onClick={(event) => {
        const group = event.currentTarget.closest('fieldset')
        draft.setAnswer(question.id, undefined)
        group?.querySelector('input')?.focus() // this button is gone now
      }}
    >
      {words.clear}
    </button>
  )
}

/** What others answered: seen once one has answered oneself, so that nobody is led. */
function Others({ question }: { question: Exclude<Question, { kind: 'text' }> }) {
  const words = useWords(messages)
  const locale = useLocale()
  const { draft, revealed, nameOf } = useForm()
  const answered = useAnswer(draft, question.id) !== undefined
  const others = useOthers(draft, question.id)
  if (others.size === 0) return null
  const shown = revealed || answered
  return (
    <ul className="others" aria-label={words.othersOf(question.label)}>
      {[...others].map(([subject, value]) => {
        const name = nameOf(subject)
        const said = shown ? spoken(question, value, words, locale) : words.hasAnswered(name)
        return (
          <li key={subject} title={shown ? undefined : words.othersHidden}>
            <Avatar subject={subject} name={name} small />
            {shown && <span className="muted">{name}: </span>}
            <span className={shown ? undefined : 'visually-hidden'}>{said}</span>
          </li>
        )
      })}
      {!shown && (
        <li className="muted" aria-hidden="true">
          {words.othersHidden}
        </li>
      )}
    </ul>
  )
}

function spoken(
  question: Question,
  value: AnswerValue,
  words: (typeof messages)['en'],
  locale: string,
): string {
  const named = (id: string) =>
    question.kind === 'choice' ? (question.options.find((each) => each.id === id)?.label ?? id) : id
  if (typeof value === 'number') return new Intl.NumberFormat(locale).format(value)
  if (typeof value === 'boolean') return value ? words.yes : words.no
  if (typeof value === 'string') return named(value)
  if (!Array.isArray(value)) return JSON.stringify(value) // not ours: shown as it is
  return new Intl.ListFormat(locale).format(value.map((each) => named(`${each}`)))
}

function Issues({ question, id }: { question: Question; id: string }) {
  const words = useWords(messages)
  const { draft, asked } = useForm()
  const issues = useIssues(draft, question.id)
  const answered = useAnswer(draft, question.id) !== undefined
  const codes = issues.map((each) => each.code)
  const missing = asked && question.required && !answered
  return (
    <div id={id}>
      {(missing ? ['required' as const, ...codes] : codes).map((code) => (
        <p key={code} className="issue" data-testid="issue">
          {words.issues[code]}
        </p>
      ))}
    </div>
  )
}
