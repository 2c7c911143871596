/** The form in which a session is created. What is wrong is said at its place. */

import { type FormEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react'
import { helpDeskForm } from '../forms/help-desk'
import { useClient } from '../hooks'
import * as messages from '../i18n/start'
import { ApiError, type Identity, type Role, type Session } from '../lib/types'
import { useWords } from '../ui/words'
import {
  type Complaint,
  casesOf,
  complaintsOf,
  type Field,
  newSession,
  suggestedId,
  type Typed,
} from './create-model'
import { lineOf } from './json-place'

interface CreateProps {
  identity: Identity
  /** Ids of sessions that are there already. */
  used: ReadonlySet<string>
  onCreated: (session: Session) => void
  onClose: () => void
}

const NOTHING: Typed = { project: '', title: '', id: '', cases: '', members: [], form: null }

export function Create({ identity, used, onCreated, onClose }: CreateProps) {
  const words = useWords(messages)
  const client = useClient()
  const [typed, setTyped] = useState(NOTHING)
  const [ownId, setOwnId] = useState(false) // typed, and not suggested
  const [complaints, setComplaints] = useState<readonly Complaint[]>([])
  const [problem, setProblem] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  const suggested = suggestedId(identity, typed.title || typed.project, used, new Date())
  const now: Typed = { ...typed, id: ownId ? typed.id : suggested }
  const set = (change: Partial<Typed>) => setTyped((before) => ({ ...before, ...change }))

  const complain = (found: readonly Complaint[], others: string | null) => {
    setComplaints(found)
    setProblem(others ?? (found.length > 0 ? words.mend : null))
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever there are other ones
  useEffect(() => {
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus()
  }, [complaints])

  const refused = (error: unknown) => {
    if (!(error instanceof ApiError)) return complain([], words.notCreated(String(error)))
    if (error.status === 0) return complain([], words.notCreatedOffline)
    const { complaints, others } = complaintsOf(error.faults, now)
    const rest = others.length > 0 ? others.join(' ') : complaints.length > 0 ? null : error.message
    complain(complaints, rest === null ? null : words.notCreated(rest))
  }

  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (busy) return
    const { session, complaints } = newSession(now, helpDeskForm, identity, words)
    complain(complaints, null)
    if (session === null) return
    setBusy(true)
    client.api
      .create(session)
      .then(onCreated, refused)
      .finally(() => setBusy(false))
  }

  const at = (field: Field) => complaints.find((each) => each.field === field)
  return (
    <form ref={form} className="create" onSubmit={submit} noValidate aria-label={words.createTitle}>
      <header className="create-head">
        <h2>{words.createTitle}</h2>
        <button type="button" className="button" onClick={onClose}>
          {words.close}
        </button>
      </header>
      <div className="create-grid">
        <TextField
          label={words.project}
          hint={words.projectHint}
          complaint={at('project')}
          value={now.project}
          onChange={(project) => set({ project })}
          required
          focused
        />
        <TextField
          label={words.name}
          hint={words.nameHint}
          complaint={at('title')}
          value={now.title}
          onChange={(title) => set({ title })}
        />
        <TextField
          label={words.id}
          hint={words.idHint}
          complaint={at('id')}
          value={now.id}
          onChange={(id) => {
            setOwnId(id !== '')
            set({ id })
          }}
          required
          spelled={false}
        />
      </div>
      <CasesField text={now.cases} complaint={at('cases')} onChange={(cases) => set({ cases })} />
      <MembersField
        members={now.members}
        complaint={at('members')}
        onChange={(members) => set({ members })}
      />
      <FormField text={now.form} complaint={at('form')} onChange={(form) => set({ form })} />
      <footer className="create-foot">
        {problem !== null && (
          <p className="create-problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="button button-primary" disabled={busy}>
          {busy ? words.submitting : words.submit}
        </button>
      </footer>
    </form>
  )
}

// -- fields

interface LabelledProps {
  label: string
  hint: string
  complaint: Complaint | undefined
  children: (given: {
    id: string
    'aria-describedby': string
    'aria-invalid': boolean
  }) => ReactNode
}

/** A field with its label, what is expected, and what is wrong with it. */
function Labelled({ label, hint, complaint, children }: LabelledProps) {
  const id = useId()
  return (
    <div className="create-field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        'aria-describedby': `${id}-error ${id}-hint`,
        'aria-invalid': complaint !== undefined,
      })}
      <p id={`${id}-error`} className="create-error">
        {complaint?.message}
      </p>
      <p id={`${id}-hint`} className="create-hint">
        {hint}
      </p>
    </div>
  )
}

interface TextFieldProps extends Omit<LabelledProps, 'children'> {
  value: string
  onChange: (value: string) => void
  required?: boolean
  spelled?: boolean
  focused?: boolean
}

function TextField({ value, onChange, required, spelled, focused, ...labelled }: TextFieldProps) {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (focused) input.current?.focus()
  }, [focused])
  return (
    <Labelled {...labelled}>
      {(given) => (
        <input
          {...given}
          ref={input}
          className="input"
          type="text"
          value={value}
          required={required}
          spellCheck={spelled}
          autoComplete="off"
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Labelled>
  )
}

interface CasesProps {
  text: string
  complaint: Complaint | undefined
  onChange: (text: string) => void
}

function CasesField({ text, complaint, onChange }: CasesProps) {
  const words = useWords(messages)
  const field = useRef<HTMLTextAreaElement>(null)
  useSelection(field, complaint)
  const cases = casesOf(text)
  return (
    <Labelled
      label={words.testCases}
      hint={cases.length === 0 ? words.testCasesHint : words.caseCount(cases.length)}
      complaint={complaint}
    >
      {(given) => (
        <textarea
          {...given}
          ref={field}
          className="input"
          rows={5}
          required
          placeholder={'refund | Refund after 30 days\nAngry customer'}
          value={text}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Labelled>
  )
}

interface MembersProps {
  members: Typed['members']
  complaint: Complaint | undefined
  onChange: (members: Typed['members']) => void
}

const ROLES: readonly Role[] = ['evaluator', 'observer', 'lead']

function MembersField({ members, complaint, onChange }: MembersProps) {
  const words = useWords(messages)
  const id = useId()
  const rows = useRef<HTMLFieldSetElement>(null)
  const change = (row: number, to: Partial<Typed['members'][number]>) =>
    onChange(members.map((each, n) => (n === row ? { ...each, ...to } : each)))
  const add = () => {
    onChange([...members, { subject: '', role: 'evaluator' }])
    // The row is there after React has rendered.
    requestAnimationFrame(() =>
      rows.current?.querySelector<HTMLElement>('li:last-child input')?.focus(),
    )
  }
  return (
    <fieldset ref={rows} className="create-field create-members" aria-describedby={`${id}-hint`}>
      <legend>{words.invited}</legend>
      {members.length > 0 && (
        <ul>
          {members.map(({ subject, role }, row) => (
            <li key={row}>
              <input
                type="text"
                className="input"
                aria-label={words.person(row + 1)}
                aria-invalid={complaint?.row === row}
                aria-describedby={complaint?.row === row ? `${id}-error` : undefined}
                value={subject}
                spellCheck={false}
                autoComplete="off"
                onChange={(event) => change(row, { subject: event.target.value })}
              />
              <select
                className="input"
                aria-label={words.personRole(row + 1)}
                value={role}
                onChange={(event) => change(row, { role: event.target.value as Role })}
              >
                {ROLES.map((each) => (
                  <option key={each} value={each}>
                    {words.role[each]}
                  </option>
                ))}
              </select>
              <button
                type="button"
                className="button"
                aria-label={words.remove(row + 1)}
                onClick={() => onChange(members.filter((_, n) => n !== row))}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      <p id={`${id}-error`} className="create-error">
        {complaint?.message}
      </p>
      <button type="button" className="button" onClick={add}>
        {words.add}
      </button>
      <p id={`${id}-hint`} className="create-hint">
        {words.invitedHint}
      </p>
    </fieldset>
  )
}

interface FormFieldProps {
  /** JSON; null: the sample. */
  text: string | null
  complaint: Complaint | undefined
  onChange: (text: string | null) => void
}

function FormField({ text, complaint, onChange }: FormFieldProps) {
  const words = useWords(messages)
  const name = useId()
  const kept = useRef('') // while the sample is chosen
  const choose = (own: boolean) => {
    if (!own) kept.current = text ?? ''
    onChange(own ? kept.current : null)
  }
  return (
    <fieldset className="create-field create-form">
      <legend>{words.form}</legend>
      <label className="create-radio">
        <input type="radio" name={name} checked={text === null} onChange={() => choose(false)} />
        <span>
          {words.formSample}: {helpDeskForm.title}
        </span>
      </label>
      <label className="create-radio">
        <input type="radio" name={name} checked={text !== null} onChange={() => choose(true)} />
        <span>{words.formOwn}</span>
      </label>
      {text !== null && <OwnForm text={text} complaint={complaint} onChange={onChange} />}
    </fieldset>
  )
}

function OwnForm({ text, complaint, onChange }: FormFieldProps & { text: string }) {
  const words = useWords(messages)
  const field = useRef<HTMLTextAreaElement>(null)
  const [unreadable, setUnreadable] = useState(false)
  useSelection(field, complaint)
  const load = async (file: File | undefined) => {
    if (file === undefined) return
    try {
      onChange(await file.text())
      setUnreadable(false)
    } catch {
      setUnreadable(true)
    }
  }
  return (
    <>
      <Labelled
        label={words.formJson}
        hint={words.formHint}
        complaint={placed(complaint, text, words)}
      >
        {(given) => (
          <textarea
            {...given}
            ref={field}
            className="input create-json"
            rows={12}
            spellCheck={false}
            value={text}
            onChange={(event) => onChange(event.target.value)}
          />
        )}
      </Labelled>
      <label className="create-file">
        <span>{words.formFile}</span>{' '}
        <input
          type="file"
          accept=".json,application/json"
          onChange={(event) => void load(event.target.files?.[0])}
        />
      </label>
      {unreadable && (
        <p className="create-error" role="alert">
          {words.fileFailed}
        </p>
      )}
    </>
  )
}

/** With the line in front, where the complaint is about a part of it. */
function placed(
  complaint: Complaint | undefined,
  text: string,
  words: typeof messages.en,
): Complaint | undefined {
  if (complaint?.span === undefined) return complaint
  const { line } = lineOf(text, complaint.span.from)
  return { ...complaint, message: `${words.formAt(line)} – ${complaint.message}` }
}

/** Select what a complaint is about, and bring it into view. */
function useSelection(
  field: { readonly current: HTMLTextAreaElement | null },
  complaint: Complaint | undefined,
) {
  useEffect(() => {
    const element = field.current
    const span = complaint?.span
    if (element === null || span === undefined) return
    element.focus()
    element.setSelectionRange(span.from, span.to)
    const lines = element.value.split('\n').length
    const { line } = lineOf(element.value, span.from)
    element.scrollTop = ((line - 3) / lines) * element.scrollHeight
  }, [field, complaint])
}
