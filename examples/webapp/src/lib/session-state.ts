/**
 * What an event makes of a session, by the rules of the service's own machine
 * (`sync/core/session.py`): pages change at once, without asking for the session again.
 *
 * Law: applied to the session before it, an event gives what the service's snapshot after it would
 * say. Two things only a snapshot knows: what members have acknowledged meanwhile, and the exact
 * `active_seconds`, which here are measured by when events arrive.
 */
import type { KnownEvents, Session, SessionEvent, SessionState, SessionStep } from './types'

const MOVES: Readonly<Record<SessionState, readonly SessionStep[]>> = {
  created: ['start'],
  running: ['pause', 'stop'],
  paused: ['resume', 'stop'],
  stopped: [],
}

/** What can be done to a session in a state, by those who may. */
export function openSteps(state: SessionState): readonly SessionStep[] {
  return state === 'stopped' ? [] : ['join', 'leave', ...MOVES[state]]
}

/**
 * The session after an event; the same one for an event that it contains already.
 *
 * `elapsed`: seconds since `session.active_seconds` was true.
 */
export function after(session: Session, event: SessionEvent, elapsed: number): Session {
  if (event.offset <= session.top) return session
  return { ...session, ...change(session, event, elapsed), top: event.offset }
}

function change(session: Session, event: SessionEvent, elapsed: number): Partial<Session> {
  switch (event.kind) {
    case 'session.joined':
      return joined(session, event.data as KnownEvents['session.joined'], event.time)
    case 'session.left': {
      const { subject } = event.data as KnownEvents['session.left']
      return { members: session.members.filter((each) => each.subject !== subject) }
    }
    case 'session.started':
    case 'session.paused':
    case 'session.resumed':
    case 'session.stopped':
      return moved(session, event as SessionEvent<Move>, elapsed)
    case 'draft.completed': {
      const { case: testCase, subject } = event.data as KnownEvents['draft.completed']
      const others = withoutCompletion(session, testCase, subject)
      return { completed: [...others, { case: testCase, subject, at: event.time }] }
    }
    case 'draft.reopened': {
      const { case: testCase, subject } = event.data as KnownEvents['draft.reopened']
      return { completed: withoutCompletion(session, testCase, subject) }
    }
    default: // what people publish changes nothing of the session, nor does its creation
      return {}
  }
}

type Move = 'session.started' | 'session.paused' | 'session.resumed' | 'session.stopped'

function joined(
  session: Session,
  { subject, name, role }: KnownEvents['session.joined'],
  time: string,
): Partial<Session> {
  const others = session.members.filter((each) => each.subject !== subject)
  const known = session.members.find((each) => each.subject === subject)
  const acknowledged = known?.acknowledged ?? 0
  return { members: [...others, { subject, name, role, joined_at: time, acknowledged }] }
}

function moved(session: Session, event: SessionEvent<Move>, elapsed: number): Partial<Session> {
  const { state } = event.data
  const ran = session.state === 'running' ? Math.max(0, elapsed) : 0
  return {
    state,
    open_steps: openSteps(state),
    active_seconds: session.active_seconds + ran,
    ...(event.kind === 'session.started' ? { started_at: event.time } : {}),
    ...(event.kind === 'session.stopped' ? { stopped_at: event.time } : {}),
  }
}

function withoutCompletion(
  session: Session,
  testCase: string,
  subject: string,
): Session['completed'] {
  return session.completed.filter((each) => each.case !== testCase || each.subject !== subject)
}
