/** Fields for the kinds of questions, but for texts. */

import { type KeyboardEvent, useId, useState } from 'react'
import { useAnswer } from '../hooks'
import * as messages from '../i18n/evaluate'
import type { ChoiceQuestion, Question, ScoreQuestion, TagsQuestion } from '../lib/form-types'
import type { AnswerValue } from '../lib/types'
import { Icon } from '../ui/icons'
import { useLocale, useWords } from '../ui/words'
import { useForm } from './context'

/** A scale with more steps than these is a field for a number. */
const MOST_STEPS = 11

interface OptionProps {
  id: string
  label: string
  value: AnswerValue
}

/** One of several: a scale, a choice, yes or no. */
function OneOf({
  question,
  options,
  className,
}: {
  question: Question
  options: readonly OptionProps[]
  className: string
}) {
  const { draft, readOnly } = useForm()
  const answer = useAnswer(draft, question.id)
  const group = useId()
  return (
    <div className={className}>
      {options.map((each) => (
        <label key={each.id} className="option">
          <input
            type="radio"
            name={group}
            checked={answer === each.value}
            disabled={readOnly}
            onChange={() => draft.setAnswer(question.id, each.value)}
          />
          <span>{each.label}</span>
        </label>
      ))}
    </div>
  )
}

export function stepsOf({ min, max, step }: ScoreQuestion): readonly number[] | null {
  if (step === undefined) return null
  const count = Math.floor((max - min) / step + 1e-9) + 1
  if (count > MOST_STEPS) return null
  return Array.from({ length: count }, (_, n) => Number((min + n * step).toPrecision(12)))
}

export function ScoreField({ question }: { question: ScoreQuestion }) {
  const { draft, readOnly } = useForm()
  const locale = useLocale()
  const steps = stepsOf(question)
  if (steps === null) return <NumberField question={question} />
  const format = new Intl.NumberFormat(locale)
  const options = steps.map((value) => ({ id: `${value}`, label: format.format(value), value }))
  const onKeyDown = (event: KeyboardEvent) => {
    if (readOnly || event.ctrlKey || event.metaKey || event.altKey) return
    const value = digit(event.key, steps)
    if (value === null) return
    event.preventDefault()
    draft.setAnswer(question.id, value)
    // The radio that is chosen now is the one to be focused: arrows go on from there.
    const radios = event.currentTarget.querySelectorAll('input')
    radios[steps.indexOf(value)]?.focus()
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys of the radios in it
    <div className="field-keys" onKeyDown={onKeyDown}>
      <OneOf question={question} options={options} className="scale" />
    </div>
  )
}

/** What a key stands for on a scale; 0 is 10 where there is no 0. */
function digit(key: string, steps: readonly number[]): number | null {
  if (!/^\d$/.test(key)) return null
  if (steps.includes(Number(key))) return Number(key)
  return key === '0' && steps.includes(10) ? 10 : null
}

function NumberField({ question }: { question: ScoreQuestion }) {
  const words = useWords(messages)
  const { draft, readOnly } = useForm()
  const answer = useAnswer(draft, question.id)
  const [typed, setTyped] = useState<string | null>(null)
  const { min, max, step } = question
  return (
    <p className="number">
      <input
        className="input"
        type="number"
        aria-label={question.label}
        min={min}
        max={max}
        step={step ?? 'any'}
        readOnly={readOnly}
        value={typed ?? (typeof answer === 'number' ? answer : '')}
        onChange={(event) => {
          const { value, valueAsNumber } = event.target
          setTyped(value)
          draft.setAnswer(question.id, Number.isFinite(valueAsNumber) ? valueAsNumber : undefined)
        }}
        onBlur={() => setTyped(null)}
      />
      <span className="muted">{words.range(`${min}`, `${max}`)}</span>
    </p>
  )
}

export function BooleanField({ question }: { question: Question }) {
  const words = useWords(messages)
  const options = [
    { id: 'yes', label: words.yes, value: true },
    { id: 'no', label: words.no, value: false },
  ]
  return <OneOf question={question} options={options} className="segments" />
}

/** Few short options stand side by side. */
function layoutOf({ options }: ChoiceQuestion): string {
  const short = options.length <= 4 && options.every((each) => each.label.length <= 14)
  return short ? 'segments' : 'options'
}

export function ChoiceField({ question }: { question: ChoiceQuestion }) {
  const options = question.options.map(({ id, label }) => ({ id, label, value: id }))
  if (question.multiple) return <ManyOf question={question} />
  return <OneOf question={question} options={options} className={layoutOf(question)} />
}

function ManyOf({ question }: { question: ChoiceQuestion }) {
  const { draft, readOnly } = useForm()
  const answer = useAnswer(draft, question.id)
  const chosen: readonly string[] = Array.isArray(answer) ? answer : []
  const toggle = (id: string) => {
    const wanted = chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]
    draft.setAnswer(question.id, wanted.length > 0 ? wanted : undefined)
  }
  return (
    <div className="options">
      {question.options.map((each) => (
        <label key={each.id} className="option">
          <input
            type="checkbox"
            checked={chosen.includes(each.id)}
            disabled={readOnly}
            onChange={() => toggle(each.id)}
          />
          <span>{each.label}</span>
        </label>
      ))}
    </div>
  )
}

export function TagsField({ question }: { question: TagsQuestion }) {
  const words = useWords(messages)
  const { draft, readOnly } = useForm()
  const answer = useAnswer(draft, question.id)
  const tags: readonly string[] = Array.isArray(answer) ? answer : []
  const [typed, setTyped] = useState('')
  const hint = useId()

  const add = (text: string) => {
    const wanted = text
      .split(/[,，、\n]/)
      .map((each) => each.trim())
      .filter((each) => each !== '')
    for (const each of wanted) draft.addTag(question.id, each)
    setTyped('')
  }
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    // While an input method composes, Enter chooses a word. Safari says so with key code 229 only.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return
    const last = tags.at(-1)
    if (event.key === 'Enter') {
      event.preventDefault()
      add(typed)
    } else if (event.key === 'Backspace' && typed === '' && last !== undefined) {
      event.preventDefault()
      draft.removeTag(question.id, last)
    }
  }
  return (
    <div className="tags">
      {tags.length > 0 && (
        <ul className="tags-list" aria-label={words.tagsOf(question.label)}>
          {tags.map((tag) => (
            <li key={tag} className="tag">
              {tag}
              {!readOnly && (
                <button
                  type="button"
                  aria-label={words.removeTag(tag)}
                  onClick={() => draft.removeTag(question.id, tag)}
                >
                  <Icon name="close" />
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {!readOnly && (
        <input
          className="tags-input"
          aria-label={words.addTag(question.label)}
          aria-describedby={hint}
          placeholder={words.addTagHint}
          value={typed}
          onChange={(event) => {
            const { value } = event.target
            const composing = (event.nativeEvent as InputEvent).isComposing
            if (!composing && /[,，、]/.test(value)) add(value)
            else setTyped(value)
          }}
          onKeyDown={onKeyDown}
          onBlur={() => add(typed)}
        />
      )}
      <span id={hint} className="visually-hidden">
        {words.addTagHint}
      </span>
    </div>
  )
}
