/** Where one arrives: who one is, the sessions that one may work in, and a form for a new one. */

import './start.css'
import { useState } from 'react'
import { useIdentity } from '../hooks'
import * as messages from '../i18n/start'
import type { Identity, Session, SessionSummary } from '../lib/types'
import { Ago } from '../ui/ago'
import { useWords } from '../ui/words'
import { Create } from './create'
import { leads } from './create-model'
import {
  completion,
  counts,
  type SessionsList,
  type StateFilter,
  shown,
  useSessionsList,
} from './sessions-list'

export function StartPage() {
  const words = useWords(messages)
  const identity = useIdentity()
  const list = useSessionsList()
  const [creating, setCreating] = useState(false)
  const mayLead = identity !== null && leads(identity).length > 0
  const opened = (session: Session) => {
    window.location.hash = `#/s/${encodeURIComponent(session.id)}`
  }
  return (
    <main className="start" id="main">
      <header className="start-head">
        <div>
          <h1>{words.title}</h1>
          {identity !== null && <Who identity={identity} />}
        </div>
        <div className="start-actions">
          {mayLead && (
            <a className="button" href="#/monitor">
              {words.monitorAll}
            </a>
          )}
          {mayLead && !creating && (
            <button
              type="button"
              className="button button-primary"
              onClick={() => setCreating(true)}
            >
              {words.create}
            </button>
          )}
        </div>
      </header>
      {creating && identity !== null && (
        <Create
          identity={identity}
          used={new Set(list.sessions?.map((each) => each.id))}
          onCreated={opened}
          onClose={() => setCreating(false)}
        />
      )}
      <Sessions list={list} identity={identity} mayLead={mayLead} />
    </main>
  )
}

function Who({ identity }: { identity: Identity }) {
  const words = useWords(messages)
  return (
    <p className="start-who">
      {words.hello(identity.name)}
      <span className="start-subject">{words.subject(identity.subject)}</span>
      {identity.administrator && <span className="pill">{words.administrator}</span>}
    </p>
  )
}

// -- the list

interface SessionsProps {
  list: SessionsList
  identity: Identity | null
  mayLead: boolean
}

function Sessions({ list, identity, mayLead }: SessionsProps) {
  const words = useWords(messages)
  const [filter, setFilter] = useState<StateFilter>('all')
  const { sessions, problem } = list
  if (sessions === null && problem === null) {
    return (
      <p className="start-empty" role="status">
        {words.loading}
      </p>
    )
  }
  const all = sessions ?? []
  const found = shown(all, filter)
  return (
    <section aria-label={words.sessionList}>
      {problem !== null && <Trouble list={list} />}
      {all.length > 0 && <Filter sessions={all} filter={filter} onChange={setFilter} />}
      {found.length > 0 && (
        <ul className="start-list">
          {found.map((session) => (
            <Row key={session.id} session={session} identity={identity} />
          ))}
        </ul>
      )}
      {all.length > 0 && found.length === 0 && <p className="start-empty">{words.emptyFilter}</p>}
      {sessions !== null && all.length === 0 && (
        <div className="start-empty">
          <h2>{words.empty}</h2>
          <p>{mayLead ? words.emptyLead : words.emptyHint}</p>
        </div>
      )}
    </section>
  )
}

/** The service did not tell the list: what is shown is from before, or nothing. */
function Trouble({ list: { problem, sessions, at, refresh } }: { list: SessionsList }) {
  const words = useWords(messages)
  if (problem === null) return null
  return (
    <div className="banner banner-warn" role="status">
      <p>
        <strong>{problem.status === 0 ? words.offline : words.failed(problem.message)}</strong>{' '}
        {sessions !== null && (
          <>
            {words.kept}
            <Ago at={at} />. {words.keptHint}
          </>
        )}
      </p>
      <button type="button" className="button" onClick={refresh}>
        {words.again}
      </button>
    </div>
  )
}

const STATES = ['all', 'running', 'paused', 'created', 'stopped'] as const

interface FilterProps {
  sessions: readonly SessionSummary[]
  filter: StateFilter
  onChange: (filter: StateFilter) => void
}

function Filter({ sessions, filter, onChange }: FilterProps) {
  const words = useWords(messages)
  const count = counts(sessions)
  return (
    <fieldset className="start-filter">
      <legend>{words.filter}</legend>
      {STATES.map((state) => (
        <label key={state}>
          <input
            type="radio"
            name="state"
            checked={filter === state}
            onChange={() => onChange(state)}
          />
          <span>
            {words[state]} <b>{count[state]}</b>
          </span>
        </label>
      ))}
    </fieldset>
  )
}

function Row({ session, identity }: { session: SessionSummary; identity: Identity | null }) {
  const words = useWords(messages)
  const role = identity?.sessionRole(session.id) ?? null
  const { done, all } = completion(session)
  const at = encodeURIComponent(session.id)
  const title = session.title ?? session.project
  return (
    <li className="start-row">
      <div className="start-row-main">
        <h2>
          <a className="start-open" href={`#/s/${at}`}>
            {title}
          </a>
        </h2>
        <p className="start-row-facts">
          {session.project !== title && <span>{session.project}</span>}
          <span className="start-id">{session.id}</span>
          <span>{words.cases(session.test_cases.length)}</span>
          <span>{words.members(session.members.length)}</span>
          {all > 0 && session.state !== 'created' && <span>{words.complete(done, all)}</span>}
        </p>
        <People session={session} />
      </div>
      <div className="start-row-side">
        <span className="pill" data-state={session.state}>
          {words[session.state]}
        </span>
        <When session={session} />
        <span className="start-row-links">
          {role !== null && <span className="pill">{words.role[role]}</span>}
          {role === 'lead' && (
            <a href={`#/monitor/${at}`} aria-label={`${words.monitor}: ${title}`}>
              {words.monitor}
            </a>
          )}
        </span>
      </div>
    </li>
  )
}

const MOST_NAMES = 5

function People({ session: { members } }: { session: SessionSummary }) {
  if (members.length === 0) return null
  const names = members.slice(0, MOST_NAMES).map((each) => each.name)
  const more = members.length - names.length
  return (
    <p className="start-row-people">
      {names.join(' · ')}
      {more > 0 && ` +${more}`}
    </p>
  )
}

function When({ session }: { session: SessionSummary }) {
  const words = useWords(messages)
  const [said, at] =
    session.stopped_at !== null
      ? [words.stoppedAt, session.stopped_at]
      : session.started_at !== null
        ? [words.startedAt, session.started_at]
        : [words.createdAt, session.created_at]
  return (
    <span className="start-when">
      {said}
      <Ago at={at} />
    </span>
  )
}
