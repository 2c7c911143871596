/** What is around the form: the session, its steps, its test cases, and its people. */

import { type CSSProperties, type ReactNode, useState } from 'react'
import { useIdentity } from '../hooks'
import * as messages from '../i18n/evaluate'
import {
  ApiError,
  type Peer,
  type Progress,
  type Session,
  type SessionChannel,
  type SessionStatus,
} from '../lib/types'
import { addressOf } from '../route'
import { Avatar } from '../ui/avatar'
import { Brand } from '../ui/brand'
import { Dialog } from '../ui/dialog'
import { Icon } from '../ui/icons'
import { toast } from '../ui/toasts'
import { useWords } from '../ui/words'

/** Do something with the service, and say so when it fails. Gives whether it is on its way. */
export function useCommand(): readonly [boolean, (command: () => Promise<unknown>) => void] {
  const words = useWords(messages)
  const [busy, setBusy] = useState(false)
  const run = (command: () => Promise<unknown>) => {
    setBusy(true)
    command()
      .catch((error: unknown) => {
        const offline = error instanceof ApiError && error.status === 0
        const reason = error instanceof Error ? error.message : String(error)
        toast(words.failed, offline ? words.offlineStep : reason, 'danger')
      })
      .finally(() => setBusy(false))
  }
  return [busy, run]
}

interface HeaderProps {
  session: Session
  channel: SessionChannel
  peers: readonly Peer[]
  preferences: ReactNode
}

export function Header({ session, channel, peers, preferences }: HeaderProps) {
  const words = useWords(messages)
  const leads = useIdentity()?.sessionRole(session.id) === 'lead'
  return (
    <header className="topbar evaluate-header">
      <Brand />
      <div className="topbar-slot">
        <div className="evaluate-title">
          <h1>{session.title ?? session.id}</h1>
          {session.project !== session.title && (
            <p className="evaluate-project">{session.project}</p>
          )}
        </div>
        <HereNow peers={peers} />
        <span className="pill" data-state={session.state} data-testid="state">
          {words.states[session.state]}
        </span>
        {leads && <Steps session={session} channel={channel} />}
        {leads && (
          <a
            className="button button-quiet button-icon"
            href={`#/monitor/${encodeURIComponent(session.id)}`}
            aria-label={words.monitor}
            title={words.monitor}
          >
            <Icon name="monitor" />
          </a>
        )}
      </div>
      {preferences}
    </header>
  )
}

function HereNow({ peers }: { peers: readonly Peer[] }) {
  const words = useWords(messages)
  const people = new Map(peers.map((peer) => [peer.subject, peer]))
  for (const peer of peers) if (peer.self) people.set(peer.subject, peer)
  if (people.size === 0) return null
  return (
    <ul className="avatars" aria-label={words.here}>
      {[...people.values()].map(({ subject, name, self }) => (
        <li key={subject}>
          <Avatar subject={subject} name={name} label={self ? words.you(name) : name} />
        </li>
      ))}
    </ul>
  )
}

function Steps({ session, channel }: { session: Session; channel: SessionChannel }) {
  const words = useWords(messages)
  const [busy, run] = useCommand()
  const [stopping, setStopping] = useState(false)
  const open = new Set(session.open_steps)
  const steps = [
    ['start', 'play'],
    ['resume', 'play'],
    ['pause', 'pause'],
  ] as const
  return (
    <div className="evaluate-steps">
      {steps
        .filter(([step]) => open.has(step))
        .map(([step, icon]) => (
          <button
            key={step}
            type="button"
            className={step === 'start' ? 'button button-primary' : 'button'}
            disabled={busy}
            title={words[step]}
            onClick={() => run(() => channel.step(step))}
          >
            <Icon name={icon} />
            <span>{words[step]}</span>
          </button>
        ))}
      {open.has('stop') && (
        <button
          type="button"
          className="button"
          disabled={busy}
          title={words.stop}
          onClick={() => setStopping(true)}
        >
          <Icon name="stop" />
          <span>{words.stop}</span>
        </button>
      )}
      {stopping && (
        <Dialog
          title={words.stopTitle}
          onClose={() => setStopping(false)}
          actions={
            <>
              <button type="button" className="button" onClick={() => setStopping(false)}>
                {words.keep}
              </button>
              <button
                type="button"
                className="button button-danger"
                onClick={() => {
                  setStopping(false)
                  run(() => channel.step('stop'))
                }}
              >
                {words.stop}
              </button>
            </>
          }
        >
          <p>{words.stopText}</p>
        </Dialog>
      )}
    </div>
  )
}

interface CasesProps {
  session: Session
  status: SessionStatus | null
  current: string | null
  nameOf: (subject: string) => string
}

export function Cases({ session, status, current, nameOf }: CasesProps) {
  const words = useWords(messages)
  const self = useIdentity()?.subject
  const doneBy = (id: string) =>
    session.completed.filter((each) => each.case === id).map((each) => each.subject)
  return (
    <nav className="evaluate-cases" aria-label={words.cases}>
      <h2>{words.cases}</h2>
      <ol className="case-list">
        {session.test_cases.map(({ id, title }) => {
          const subjects = doneBy(id)
          const done = self !== undefined && subjects.includes(self)
          const others = subjects.filter((each) => each !== self)
          const progress = progressOf(status, id, self)
          return (
            <li key={id}>
              <a
                className="case-link"
                href={addressOf(session.id, id)}
                aria-current={id === current ? 'page' : undefined}
              >
                <span
                  className="case-mark"
                  data-done={done}
                  style={{ '--share': progress?.share ?? 0 } as CSSProperties}
                >
                  <Icon name="check" />
                </span>
                <span>
                  {title ?? id}
                  <span className="visually-hidden">
                    {done && `, ${words.caseDone}`}
                    {!done &&
                      progress !== null &&
                      `, ${words.progressText(progress.answered, progress.required)}`}
                  </span>
                </span>
                <span className="avatars">
                  {others.map((each) => (
                    <Avatar
                      key={each}
                      subject={each}
                      name={nameOf(each)}
                      label={words.caseDoneBy(nameOf(each))}
                      small
                    />
                  ))}
                </span>
              </a>
            </li>
          )
        })}
      </ol>
    </nav>
  )
}

/** How far somebody has come with a test case, as the service last told; null: it did not. */
function progressOf(
  status: SessionStatus | null,
  testCase: string,
  subject: string | undefined,
): Progress | null {
  const told = status?.test_cases.find((each) => each.id === testCase)
  return told?.evaluators.find((each) => each.subject === subject)?.progress ?? null
}

interface PeopleProps {
  session: Session
  /** Who is connected to the session, whatever they look at; null: it is not known. */
  status: SessionStatus | null
  /** Who has the same draft open. */
  peers: readonly Peer[]
}

export function People({ session, status, peers }: PeopleProps) {
  const words = useWords(messages)
  const self = useIdentity()?.subject
  const online = (status?.members ?? []).filter((each) => each.online)
  const here = new Set([...peers, ...online].map(({ subject }) => subject))
  return (
    <ul className="people" aria-label={words.people}>
      {session.members.map(({ subject, name, role, joined_at }) => (
        <li key={subject} className="person" data-here={here.has(subject)}>
          <Avatar subject={subject} name={name} />
          <span className="person-name">{subject === self ? words.you(name) : name}</span>
          <span className="person-role">
            {words.roles[role]}
            {joined_at === null && ` · ${words.invited}`}
            {here.has(subject) && <span className="visually-hidden">, {words.present}</span>}
          </span>
        </li>
      ))}
    </ul>
  )
}
