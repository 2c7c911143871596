/** What goes on, for those who lead: all sessions, one session, and for administrators the service. */

import './monitor.css'
import { useEffect, useState } from 'react'
import { useClient, useIdentity, useSession } from '../hooks'
import * as messages from '../i18n/monitor'
import type { SessionStatus, SessionSummary } from '../lib/types'
import { Ago } from '../ui/ago'
import { useLocale, useWords } from '../ui/words'
import { leads } from './create-model'
import { bytes, duration, milliseconds, percent, serviceFigures } from './monitor-model'
import { Active, Cell, Figure, QuantileFigures, State, useArrival } from './monitor-parts'
import { MonitoredSession } from './monitor-session'
import { completion, shown, useSessionsList } from './sessions-list'

/** `session`: the one to look at; null: all. */
export function MonitorPage({ session }: { session: string | null }) {
  const words = useWords(messages)
  const identity = useIdentity()
  if (identity === null) {
    return (
      <main className="monitor" id="main">
        <p role="status">{words.loading}</p>
      </main>
    )
  }
  const may =
    session === null ? leads(identity).length > 0 : identity.sessionRole(session) === 'lead'
  if (!may) {
    return (
      <main className="monitor" id="main">
        <h1>{words.notYours}</h1>
        <p>{words.notYoursHint}</p>
        <p>
          <a href="#/">{words.back}</a>
        </p>
      </main>
    )
  }
  return (
    <main className="monitor" id="main">
      {session === null ? (
        <All administrator={identity.administrator} />
      ) : (
        <MonitoredSession key={session} id={session} />
      )}
    </main>
  )
}

// -- all sessions

const MOST_LIVE = 24 // sessions that are followed at once: each is a connection

function All({ administrator }: { administrator: boolean }) {
  const words = useWords(messages)
  const identity = useIdentity()
  const { sessions, problem, at, refresh } = useSessionsList()
  const [stoppedToo, setStoppedToo] = useState(false)
  const led = (sessions ?? []).filter((each) => identity?.sessionRole(each.id) === 'lead')
  const found = shown(led, 'all').filter((each) => stoppedToo || each.state !== 'stopped')
  return (
    <>
      <header className="monitor-head">
        <div>
          <p className="monitor-back">
            <a href="#/">← {words.back}</a>
          </p>
          <h1>{words.title}</h1>
          <p>{words.intro}</p>
        </div>
      </header>
      {problem !== null && (
        <div className="banner banner-warn" role="status">
          <p>
            {problem.status === 0 && sessions !== null ? (
              <>
                {words.offline}
                <Ago at={at} />
              </>
            ) : (
              words.failed(problem.message)
            )}
          </p>
          <button type="button" className="button" onClick={refresh}>
            {words.again}
          </button>
        </div>
      )}
      {administrator && <Service />}
      <section className="monitor-section" aria-labelledby="monitor-sessions">
        <div className="monitor-section-head">
          <h2 id="monitor-sessions">{words.sessions}</h2>
          <label>
            <input
              type="checkbox"
              checked={stoppedToo}
              onChange={(event) => setStoppedToo(event.target.checked)}
            />{' '}
            {words.showStopped}
          </label>
        </div>
        {sessions === null && problem === null && <p role="status">{words.loading}</p>}
        {sessions !== null && found.length === 0 && <p>{words.noSessions}</p>}
        {found.length > 0 && <SessionsTable sessions={found} />}
      </section>
    </>
  )
}

function SessionsTable({ sessions }: { sessions: readonly SessionSummary[] }) {
  const words = useWords(messages)
  return (
    <table className="monitor-table">
      <thead>
        <tr>
          <th scope="col">{words.session}</th>
          <th scope="col">{words.state}</th>
          <th scope="col">{words.active}</th>
          <th scope="col">{words.online}</th>
          <th scope="col">{words.connections}</th>
          <th scope="col">{words.drafts}</th>
          <th scope="col">{words.edits}</th>
          <th scope="col">{words.events}</th>
        </tr>
      </thead>
      <tbody>
        {sessions.map((each, n) =>
          each.state !== 'stopped' && n < MOST_LIVE ? (
            <LiveRow key={each.id} summary={each} />
          ) : (
            <SessionRow key={each.id} summary={each} status={null} arrived={0} />
          ),
        )}
      </tbody>
    </table>
  )
}

/** The session's own channel tells when something changes: nothing is asked for again and again. */
function LiveRow({ summary }: { summary: SessionSummary }) {
  const { view } = useSession(summary.id, { status: true })
  const arrived = useArrival(view.status)
  return <SessionRow summary={view.session ?? summary} status={view.status} arrived={arrived} />
}

interface RowProps {
  summary: SessionSummary
  status: SessionStatus | null
  arrived: number
}

function SessionRow({ summary, status, arrived }: RowProps) {
  const words = useWords(messages)
  const { done, all } = completion(summary)
  const here = status?.members.filter((each) => each.online).length ?? null
  const edits = status?.test_cases.reduce((sum, each) => sum + each.edits, 0) ?? null
  const state = status?.state ?? summary.state
  return (
    <tr>
      <th scope="row">
        <a href={`#/monitor/${encodeURIComponent(summary.id)}`}>{summary.title ?? summary.id}</a>
        <span className="monitor-small">{summary.id}</span>
      </th>
      <Cell label={words.state}>
        <State state={state} />
      </Cell>
      <Cell label={words.active}>
        <Active
          seconds={status?.active_seconds ?? summary.active_seconds}
          since={state === 'running' && status !== null ? arrived : null}
        />
      </Cell>
      <Cell label={words.online}>
        {here === null ? words.none : words.onlineOf(here, status?.members.length ?? 0)}
      </Cell>
      <Cell label={words.connections}>{status?.connections ?? words.none}</Cell>
      <Cell label={words.drafts}>{words.completeOf(done, all)}</Cell>
      <Cell label={words.edits}>{edits ?? words.none}</Cell>
      <Cell label={words.events}>{status?.top ?? summary.top}</Cell>
    </tr>
  )
}

// -- the service

const EVERY = 5_000 // milliseconds: no channel tells the service's figures

type Told = { readonly figures: unknown } | { readonly problem: string } | null

function useService(): Told {
  const { api } = useClient()
  const [told, setTold] = useState<Told>(null)
  useEffect(() => {
    let ended = false
    const ask = () => {
      if (document.visibilityState === 'hidden') return
      api.service().then(
        (figures) => ended || setTold({ figures }),
        (error: Error) => ended || setTold({ problem: error.message }),
      )
    }
    ask()
    const timer = setInterval(ask, EVERY)
    return () => {
      ended = true
      clearInterval(timer)
    }
  }, [api])
  return told
}

function Service() {
  const words = useWords(messages)
  const told = useService()
  return (
    <section className="monitor-section" aria-labelledby="monitor-service">
      <h2 id="monitor-service">{words.service}</h2>
      {told === null && <p role="status">{words.loading}</p>}
      {told !== null && 'problem' in told && <p role="status">{words.failed(told.problem)}</p>}
      {told !== null && 'figures' in told && <ServiceFigures told={told.figures} />}
    </section>
  )
}

function ServiceFigures({ told }: { told: unknown }) {
  const words = useWords(messages)
  const locale = useLocale()
  const figures = serviceFigures(told)
  const number = (value: number | null, format = (each: number) => each.toLocaleString(locale)) =>
    value === null ? words.none : format(value)
  const rate = (value: number | null) =>
    number(value, (each) => `${milliseconds(each, locale)} ${words.perSecond}`)
  const states: Readonly<Record<string, string>> = words.serviceState
  return (
    <>
      {figures.failing.map((reason) => (
        <p key={reason} className="banner banner-warn" role="alert">
          {reason}
        </p>
      ))}
      <dl className="monitor-figures">
        <Figure name={words.state}>
          <span className="monitor-service" data-state={figures.state}>
            {states[figures.state] ?? figures.state}
          </span>
        </Figure>
        <Figure name={words.uptime}>{number(figures.uptime, duration)}</Figure>
        <Figure name={words.sessionsRunning}>{number(figures.sessions.running)}</Figure>
        <Figure name={words.members}>{number(figures.members)}</Figure>
        <Figure name={words.connections}>{number(figures.connections)}</Figure>
        <Figure name={words.rooms}>{number(figures.rooms)}</Figure>
        <Figure name={words.editRate}>{rate(figures.editRate)}</Figure>
        <Figure name={words.eventRate}>{rate(figures.eventRate)}</Figure>
        <Figure name={words.unsavedBytes}>
          {number(figures.unsavedBytes, (each) => bytes(each, locale))}
        </Figure>
        <Figure name={words.success}>
          {number(figures.deliverySuccess, (each) => percent(each, locale))}
        </Figure>
        <Figure name={words.memory}>{number(figures.memory, (each) => bytes(each, locale))}</Figure>
      </dl>
      <div className="monitor-quantiles">
        <QuantileFigures name={words.commit} of={figures.editCommit} />
        <QuantileFigures name={words.eventCommit} of={figures.eventCommit} />
        <QuantileFigures name={words.deliveryTime} of={figures.deliveryLatency} />
        <QuantileFigures name={words.roundTrip} of={figures.roundTrip} />
        <QuantileFigures name={words.loopLag} of={figures.loopLag} />
      </div>
      {figures.webhooks.length > 0 && (
        <table className="monitor-table">
          <caption>{words.webhooks}</caption>
          <thead>
            <tr>
              <th scope="col">{words.webhook}</th>
              <th scope="col">{words.delivered}</th>
              <th scope="col">{words.waitingFor}</th>
              <th scope="col">{words.dead}</th>
              <th scope="col">{words.failing}</th>
            </tr>
          </thead>
          <tbody>
            {figures.webhooks.map((each) => (
              <tr key={each.name}>
                <th scope="row">{each.name}</th>
                <Cell label={words.delivered}>{number(each.delivered)}</Cell>
                <Cell label={words.waitingFor}>{number(each.waiting)}</Cell>
                <Cell label={words.dead}>{number(each.dead)}</Cell>
                <Cell label={words.failing}>{each.failing ?? words.noTrouble}</Cell>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  )
}
