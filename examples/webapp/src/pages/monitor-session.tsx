/** One session, live: who is there, how far they are, how events get to them, and what happens. */

import { useState } from 'react'
import { type FollowedSession, useSession } from '../hooks'
import * as messages from '../i18n/monitor'
import type {
  Connection,
  PresentConnection,
  PresentMember,
  Session,
  SessionStatus,
} from '../lib/types'
import { Ago } from '../ui/ago'
import { useSeconds } from '../ui/clock'
import { Feed } from '../ui/feed'
import { Sparkline } from '../ui/sparkline'
import { useLocale, useWords } from '../ui/words'
import {
  editRate,
  editsOf,
  figuresOf,
  latencyOver,
  type MatrixCell,
  matrixOf,
  milliseconds,
  percent,
  type Sample,
  sampleOf,
  withSample,
} from './monitor-model'
import { Active, Cell, Figure, QuantileFigures, State, useArrival } from './monitor-parts'

export function MonitoredSession({ id }: { id: string }) {
  const words = useWords(messages)
  const { channel, view, connection } = useSession(id, { status: true })
  const { session, status } = view
  const arrived = useArrival(status)
  return (
    <>
      <Head id={id} session={session} status={status} arrived={arrived} />
      <Trouble connection={connection} arrived={arrived} view={view} />
      <div className="monitor-columns">
        <div className="monitor-main">
          {status === null ? (
            <p role="status">{words.waiting}</p>
          ) : (
            <>
              <Figures status={status} arrived={arrived} />
              <People status={status} arrived={arrived} />
              <ProgressTable status={status} arrived={arrived} />
            </>
          )}
        </div>
        {channel !== null && (
          <aside className="monitor-feed">
            <Feed channel={channel} />
          </aside>
        )}
      </div>
    </>
  )
}

interface LiveProps {
  status: SessionStatus
  /** When it came. */
  arrived: number
}

/** What to add to this device's clock to have that of the service. */
function skewOf({ status, arrived }: LiveProps): number {
  return Date.parse(status.time) - arrived
}

interface HeadProps {
  id: string
  session: Session | null
  status: SessionStatus | null
  arrived: number
}

function Head({ id, session, status, arrived }: HeadProps) {
  const words = useWords(messages)
  const state = status?.state ?? session?.state
  const title = session?.title ?? id
  return (
    <header className="monitor-head">
      <div>
        <p className="monitor-back">
          <a href="#/monitor">← {words.title}</a>
        </p>
        <h1>{title}</h1>
        <p className="monitor-small">
          {session !== null && session.project !== title && `${session.project} · `}
          {id}
        </p>
      </div>
      <div className="monitor-head-side">
        {state !== undefined && <State state={state} />}
        <Active
          seconds={status?.active_seconds ?? session?.active_seconds ?? 0}
          since={state === 'running' && status !== null ? arrived : null}
        />
        <a className="button" href={`#/s/${encodeURIComponent(id)}`}>
          {words.evaluate}
        </a>
      </div>
    </header>
  )
}

interface TroubleProps {
  connection: Connection
  arrived: number
  view: FollowedSession['view']
}

/** Figures that come no more are never shown as if they were live. */
function Trouble({ connection, arrived, view: { status, problem } }: TroubleProps) {
  const words = useWords(messages)
  if (connection.status === 'denied') {
    return (
      <p className="banner banner-warn" role="alert">
        {words.denied(connection.verdict?.reason ?? problem ?? '')}
      </p>
    )
  }
  if (connection.status !== 'offline' || status === null) return null
  return (
    <p className="banner banner-warn" role="status">
      {words.offline}
      <Ago at={arrived} />
    </p>
  )
}

// -- figures and charts

function Figures({ status, arrived }: LiveProps) {
  const words = useWords(messages)
  const locale = useLocale()
  const here = status.members.filter((each) => each.online).length
  const { completed, expected } = matrixOf(status)
  const { delivery } = status
  return (
    <section className="monitor-section" aria-label={words.figures}>
      <dl className="monitor-figures">
        <Figure name={words.online}>{words.onlineOf(here, status.members.length)}</Figure>
        <Figure name={words.connections}>{status.connections}</Figure>
        <Figure name={words.drafts}>{words.completeOf(completed, expected)}</Figure>
        <Figure name={words.edits}>{editsOf(status).toLocaleString(locale)}</Figure>
        <Figure name={words.events}>{status.top.toLocaleString(locale)}</Figure>
        <Figure name={words.success}>
          {delivery === null ? words.nobody : percent(delivery.success, locale)}
        </Figure>
      </dl>
      <Charts status={status} arrived={arrived} />
      {delivery !== null && (
        <div className="monitor-quantiles">
          <QuantileFigures name={words.delivery} of={delivery.latency_ms} />
        </div>
      )}
    </section>
  )
}

function useSamples({ status, arrived }: LiveProps): readonly Sample[] {
  const [kept, setKept] = useState({
    of: status,
    samples: [sampleOf(status, arrived)] as readonly Sample[],
  })
  if (kept.of === status) return kept.samples
  const samples = withSample(kept.samples, sampleOf(status, arrived))
  setKept({ of: status, samples })
  return samples
}

function Charts(live: LiveProps) {
  const words = useWords(messages)
  const locale = useLocale()
  const samples = useSamples(live)
  const now = useSeconds()
  const rates = editRate(samples, now)
  const latencies = latencyOver(samples, now)
  const rate = `${milliseconds(rates.at(-1) ?? 0, locale)} ${words.perSecond}`
  const last = latencies.at(-1) ?? null
  const latency = last === null ? words.none : `${milliseconds(last, locale)} ${words.ms}`
  return (
    <div className="monitor-charts">
      <Chart name={words.editRate} now={rate} points={rates} />
      <Chart name={words.latency} now={latency} points={latencies} />
    </div>
  )
}

interface ChartProps {
  name: string
  now: string
  points: readonly (number | null)[]
}

function Chart({ name, now, points }: ChartProps) {
  const words = useWords(messages)
  return (
    <figure className="monitor-chart">
      <figcaption>
        <span>{name}</span> <b>{now}</b>
      </figcaption>
      <Sparkline points={points} label={`${name}, ${words.lastMinutes}; ${words.now} ${now}`} />
      <p className="monitor-small">{words.lastMinutes}</p>
    </figure>
  )
}

// -- people

function People({ status, arrived }: LiveProps) {
  const words = useWords(messages)
  const skew = skewOf({ status, arrived })
  return (
    <section className="monitor-section" aria-labelledby="monitor-people">
      <h2 id="monitor-people">{words.people}</h2>
      {status.members.length === 0 ? (
        <p>{words.nobodyHere}</p>
      ) : (
        <table className="monitor-table">
          <thead>
            <tr>
              <th scope="col">{words.person}</th>
              <th scope="col">{words.open}</th>
              <th scope="col">{words.latency}</th>
              <th scope="col">{words.unsaved}</th>
              <th scope="col">{words.lastSeen}</th>
              <th scope="col">{words.received}</th>
            </tr>
          </thead>
          <tbody>
            {status.members.map((each) => (
              <PersonRow key={each.subject} member={each} status={status} skew={skew} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

const FAR_BEHIND = 10 // events: fewer are on their way

interface PersonProps {
  member: PresentMember
  status: SessionStatus
  skew: number
}

function PersonRow({ member, status, skew }: PersonProps) {
  const words = useWords(messages)
  const locale = useLocale()
  const { unsaved, latency, lastSeen, behind, open } = figuresOf(member, status.session, status.top)
  const titles = new Map(status.test_cases.map((each) => [each.id, each.title ?? each.id]))
  return (
    <tr>
      <th scope="row">
        <span className="monitor-person">
          <span
            className="monitor-dot"
            data-online={member.online}
            role="img"
            aria-label={member.online ? words.here : words.away}
          />
          {member.name}
        </span>
        <span className="monitor-small">{standing(member, words)}</span>
        <Connections member={member} skew={skew} />
      </th>
      <Cell label={words.open}>
        {open.length === 0
          ? words.openNothing
          : open.map((each) => titles.get(each) ?? each).join(', ')}
      </Cell>
      <Cell label={words.latency}>
        {latency === null ? words.none : `${milliseconds(latency, locale)} ${words.ms}`}
      </Cell>
      <Cell label={words.unsaved}>
        <span className={unsaved > 0 ? 'monitor-warn' : undefined}>{unsaved}</span>
      </Cell>
      <Cell label={words.lastSeen}>
        {lastSeen === null ? words.none : <Ago at={lastSeen} skew={skew} />}
      </Cell>
      <Cell label={words.received}>
        <span className={behind > FAR_BEHIND && member.online ? 'monitor-warn' : undefined}>
          {words.receivedOf(member.acknowledged, status.top)}
        </span>
      </Cell>
    </tr>
  )
}

function standing(member: PresentMember, words: typeof messages.en): string {
  const role = member.role === null ? words.guest : words.role[member.role]
  return member.member && member.joined_at === null ? `${role} · ${words.invited}` : role
}

function Connections({ member, skew }: { member: PresentMember; skew: number }) {
  const words = useWords(messages)
  const { connections } = member
  if (connections.length === 0) return null
  return (
    <details className="monitor-connections">
      <summary>{words.connection(connections.length)}</summary>
      <ul>
        {connections.map((each, n) => (
          <li key={n}>
            <ConnectionLine connection={each} skew={skew} />
          </li>
        ))}
      </ul>
    </details>
  )
}

function ConnectionLine({ connection, skew }: { connection: PresentConnection; skew: number }) {
  const words = useWords(messages)
  const locale = useLocale()
  const { kind, document, access, since, latency_ms: latency } = connection
  return (
    <>
      {words.connectionKind[kind]}
      {document !== null && ` ${document.split('/').slice(2).join('/')}`}
      {access === 'read' && ` · ${words.readOnly}`}
      {latency !== null && ` · ${milliseconds(latency, locale)} ${words.ms}`}
      {' · '}
      {words.since}
      <Ago at={since} skew={skew} />
    </>
  )
}

// -- progress

function ProgressTable({ status, arrived }: LiveProps) {
  const words = useWords(messages)
  const skew = skewOf({ status, arrived })
  const { people, rows } = matrixOf(status)
  return (
    <section className="monitor-section" aria-labelledby="monitor-progress">
      <h2 id="monitor-progress">{words.progress}</h2>
      {rows.length === 0 && <p>{words.noCases}</p>}
      {rows.length > 0 && people.length === 0 && <p>{words.noEvaluators}</p>}
      {rows.length > 0 && (
        <div className="monitor-scroll">
          <table className="monitor-table monitor-matrix">
            <thead>
              <tr>
                <th scope="col">{words.testCase}</th>
                {people.map(({ subject, name }) => (
                  <th key={subject} scope="col">
                    {name}
                  </th>
                ))}
                <th scope="col">{words.edits}</th>
                <th scope="col">{words.lastEdit}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.id}>
                  <th scope="row">
                    {row.title}
                    {row.title !== row.id && <span className="monitor-small">{row.id}</span>}
                    {row.notes.map((note) => (
                      <span key={note} className="monitor-small monitor-warn">
                        {words.note}
                        {note}
                      </span>
                    ))}
                  </th>
                  {row.cells.map((cell, n) => (
                    <Cell key={people[n]?.subject} label={people[n]?.name ?? ''}>
                      <Share cell={cell} name={people[n]?.name ?? ''} />
                    </Cell>
                  ))}
                  <Cell label={words.edits}>{row.edits}</Cell>
                  <Cell label={words.lastEdit}>
                    {row.lastEdit === null ? (
                      words.none
                    ) : (
                      <>
                        <Ago at={row.lastEdit.at} skew={skew} />
                        <span className="monitor-small">{words.by(row.lastEdit.name)}</span>
                      </>
                    )}
                  </Cell>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}

/** How far somebody is with a test case: a bar, its number, and whether they are at it now. */
function Share({ cell, name }: { cell: MatrixCell | null; name: string }) {
  const words = useWords(messages)
  const locale = useLocale()
  if (cell === null) return <span title={words.notExpected}>{words.none}</span>
  const { progress, completedAt, open } = cell
  return (
    <span className="monitor-share" data-complete={completedAt !== null}>
      {progress === null ? (
        <span className="monitor-small">{words.unknown}</span>
      ) : (
        // biome-ignore lint/a11y/useSemanticElements: browsers draw <meter> each in its own way
        <span
          className="monitor-bar"
          role="meter"
          aria-label={words.cell(name, progress.answered, progress.required)}
          aria-valuemin={0}
          aria-valuemax={1}
          aria-valuenow={progress.share}
          aria-valuetext={percent(progress.share, locale)}
        >
          <span style={{ inlineSize: `${progress.share * 100}%` }} />
        </span>
      )}
      <span className="monitor-share-text">
        {progress !== null && <span>{percent(progress.share, locale)}</span>}
        {completedAt !== null && <b className="monitor-complete">✓ {words.complete}</b>}
        {open && <span className="monitor-open">{words.openNow}</span>}
      </span>
    </span>
  )
}
