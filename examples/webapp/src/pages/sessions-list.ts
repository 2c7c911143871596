/** The list of sessions: asked for now and then, and kept on this device for when it is offline. */

import { useCallback, useEffect, useRef, useState } from 'react'
import { useClient, useIdentity } from '../hooks'
import { ApiError, type SessionSummary } from '../lib/types'

/** A list that was kept, and when. */
export interface KeptList {
  readonly at: number
  readonly sessions: readonly SessionSummary[]
}

const MOST_KEPT = 200 // of the newest: storage is small

/** Where one person's list of one service is kept. */
export function listKey(url: string, subject: string): string {
  return `draftsync/session-list/${url}/${subject}`
}

export function keepList(storage: Storage, key: string, list: KeptList): void {
  try {
    const sessions = list.sessions.slice(-MOST_KEPT)
    storage.setItem(key, JSON.stringify({ at: list.at, sessions }))
  } catch {
    // No room, or no storage in this browser: the list is just not there when offline.
  }
}

export function keptList(storage: Storage, key: string): KeptList | null {
  try {
    const told = JSON.parse(storage.getItem(key) ?? 'null') as KeptList | null
    return told !== null && Array.isArray(told.sessions) ? told : null
  } catch {
    return null
  }
}

export interface SessionsList {
  /** In the order of their creation; null: not known yet. */
  readonly sessions: readonly SessionSummary[] | null
  /** When the service told them. */
  readonly at: number
  /** Why the service did not tell them anew; null: it did. */
  readonly problem: ApiError | null
  refresh(): void
}

const EVERY = 20_000 // milliseconds: nothing tells a page that a session was created

/** All sessions that one may observe. Asked for again while the page is looked at. */
export function useSessionsList(): SessionsList {
  const client = useClient()
  const subject = useIdentity()?.subject
  const [list, setList] = useState<KeptList | null>(null)
  const [problem, setProblem] = useState<ApiError | null>(null)
  const asking = useRef(false)
  const key = subject === undefined ? null : listKey(client.url, subject)

  const refresh = useCallback(() => {
    if (key === null || asking.current) return
    asking.current = true
    client.api
      .list()
      .then(
        (sessions) => {
          const told = { at: Date.now(), sessions }
          keepList(localStorage, key, told)
          setList(told)
          setProblem(null)
        },
        (error: unknown) => {
          setList((known) => known ?? keptList(localStorage, key))
          setProblem(error instanceof ApiError ? error : new ApiError(0, String(error)))
        },
      )
      .finally(() => {
        asking.current = false
      })
  }, [client, key])

  useEffect(() => {
    refresh()
    const look = () => {
      if (document.visibilityState === 'visible') refresh()
    }
    const timer = setInterval(look, EVERY)
    window.addEventListener('online', look)
    document.addEventListener('visibilitychange', look)
    return () => {
      clearInterval(timer)
      window.removeEventListener('online', look)
      document.removeEventListener('visibilitychange', look)
    }
  }, [refresh])

  return { sessions: list?.sessions ?? null, at: list?.at ?? 0, problem, refresh }
}

// -- looked at

export type StateFilter = 'all' | SessionSummary['state']

/** Those of a state: first what goes on, then what is to come, then what is over; newest first. */
export function shown(
  sessions: readonly SessionSummary[],
  filter: StateFilter,
): readonly SessionSummary[] {
  return sessions
    .filter(({ state }) => filter === 'all' || state === filter)
    .toSorted((a, b) => ORDER[a.state] - ORDER[b.state] || newest(b) - newest(a))
}

const ORDER = { running: 0, paused: 1, created: 2, stopped: 3 } as const

function newest({ created_at, started_at, stopped_at }: SessionSummary): number {
  return Date.parse(stopped_at ?? started_at ?? created_at)
}

export function counts(sessions: readonly SessionSummary[]): Readonly<Record<StateFilter, number>> {
  const found = { all: sessions.length, created: 0, running: 0, paused: 0, stopped: 0 }
  for (const { state } of sessions) found[state] += 1
  return found
}

/** Drafts that are complete, of those that evaluators are expected to complete. */
export function completion(session: SessionSummary): { done: number; all: number } {
  const evaluators = new Set(
    session.members.filter((each) => each.role === 'evaluator').map((each) => each.subject),
  )
  const done = session.completed.filter((each) => evaluators.has(each.subject)).length
  return { done, all: evaluators.size * session.test_cases.length }
}
