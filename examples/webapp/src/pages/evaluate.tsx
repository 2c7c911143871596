/** Where people evaluate: the test cases of a session, the form of one, and who else is there. */

import './evaluate.css'
import { type KeyboardEvent, type ReactNode, useEffect, useMemo, useRef, useState } from 'react'
import type { Form } from '../form/context'
import { DraftForm } from '../form/draft-form'
import {
  type OpenDraft,
  useClient,
  useConnection,
  useDraft,
  useIdentity,
  useReadable,
  useSession,
} from '../hooks'
import * as messages from '../i18n/evaluate'
import { same } from '../lib/draft'
import type { FormDefinition } from '../lib/form-types'
import type { Connection, Draft, Session, SessionChannel, SessionStatus } from '../lib/types'
import { addressOf } from '../route'
import { Brand } from '../ui/brand'
import { Feed } from '../ui/feed'
import { Icon } from '../ui/icons'
import { toast } from '../ui/toasts'
import { useWords } from '../ui/words'
import { watchUnsent } from '../unsent'
import {
  Announcer,
  Banners,
  ConnectionIndicator,
  SavingIndicator,
  useLeavingWarning,
} from './evaluate-indicators'
import { Cases, Header, People, useCommand } from './evaluate-parts'

interface EvaluatePageProps {
  session: string
  testCase: string | null
  preferences: ReactNode
}

export function EvaluatePage({ session: id, testCase, preferences }: EvaluatePageProps) {
  const { channel, view, connection } = useSession(id, { status: true })
  const { session, stale } = view
  // What went on before the connection was lost is not what goes on now.
  const status = connection.status === 'online' ? view.status : null
  const identity = useIdentity()
  const wanted = testCase ?? session?.test_cases[0]?.id ?? null
  useEffect(() => {
    // The first test case, in the address as well, and no step back to where none was chosen.
    if (testCase === null && wanted !== null) location.replace(addressOf(id, wanted))
  }, [id, testCase, wanted])
  if (channel === null || session === null || identity === null) {
    return <Opening connection={connection} problem={view.problem} preferences={preferences} />
  }
  return (
    <SessionPage
      session={session}
      stale={stale}
      status={status}
      channel={channel}
      subject={identity.subject}
      testCase={wanted}
      preferences={preferences}
    />
  )
}

interface OpeningProps {
  connection: Connection
  problem: string | null
  preferences: ReactNode
}

const EXPIRED = 4401 // of which all is said

function Opening({ connection, problem, preferences }: OpeningProps) {
  const words = useWords(messages)
  const { status, verdict } = connection
  const text =
    status === 'denied'
      ? words.denied(verdict?.code ?? 0)
      : status === 'offline'
        ? words.offlineStep
        : words.loading
  return (
    <>
      <header className="topbar">
        <Brand />
        <div className="topbar-slot" />
        <ConnectionIndicator connection={connection} />
        {preferences}
      </header>
      <main className="notice" id="main" aria-busy={status === 'connecting'}>
        <h1>{words.connection[status]}</h1>
        <p role="status">{text}</p>
        {problem !== null && status !== 'connecting' && verdict?.code !== EXPIRED && (
          <p>{problem}</p>
        )}
      </main>
    </>
  )
}

interface SessionPageProps {
  session: Session
  stale: boolean
  status: SessionStatus | null
  channel: SessionChannel
  subject: string
  testCase: string | null
  preferences: ReactNode
}

const NOBODY: readonly never[] = []

function SessionPage(props: SessionPageProps) {
  const { session, stale, status, channel, subject, testCase, preferences } = props
  const words = useWords(messages)
  const nameOf = useNames(session)
  const [peers, setPeers] = useState<Form['document']['peers'] | null>(null)
  const here = useReadable(peers ?? NO_PEERS)
  const known = session.test_cases.find((each) => each.id === testCase)
  useJoining(session, channel, subject)
  useGuidance(session, channel, subject, nameOf)
  useEffect(() => {
    const [before, title] = [document.title, session.title ?? session.id]
    document.title = `${known?.title ?? title} · draftsync`
    return () => {
      document.title = before
    }
  }, [known, session.title, session.id])
  const note =
    session.test_cases.length === 0
      ? words.noCases
      : known === undefined
        ? words.unknownCase
        : words.noForm
  return (
    <>
      <Header session={session} channel={channel} peers={here} preferences={preferences} />
      <div className="evaluate">
        <Cases session={session} status={status} current={testCase} nameOf={nameOf} />
        <main className="evaluate-main" id="main" tabIndex={-1}>
          {known !== undefined && session.form !== null ? (
            <DraftPage
              key={known.id}
              session={session}
              stale={stale}
              channel={channel}
              subject={subject}
              testCase={known.id}
              form={session.form}
              nameOf={nameOf}
              onPeers={setPeers}
            />
          ) : (
            <p className="evaluate-empty">{note}</p>
          )}
        </main>
        <aside className="evaluate-side" aria-label={words.side}>
          <h2>{words.people}</h2>
          <People session={session} status={status} peers={here} />
          <Feed channel={channel} testCase={testCase} />
        </aside>
      </div>
    </>
  )
}

const NO_PEERS = { get: () => NOBODY, subscribe: () => () => {} }

/** What people are called; another function only when somebody is called otherwise. */
function useNames(session: Session): (subject: string) => string {
  const names = new Map(session.members.map((each) => [each.subject, each.name]))
  const kept = useRef(names)
  if (!same(kept.current, names)) kept.current = names
  const stable = kept.current
  return useMemo(() => (subject: string) => stable.get(subject) ?? subject, [stable])
}

/**
 * Whoever opens the page of a session to work in it, joins it: once in a tab, so that leaving it
 * elsewhere holds. Administrators look in without becoming members.
 */
function useJoining(session: Session, channel: SessionChannel, subject: string): void {
  const identity = useIdentity()
  const { status } = useConnection(channel)
  const member = session.members.find((each) => each.subject === subject)
  const may = identity?.sessionRole(session.id) != null && identity.administrator === false
  const wanted = may && member?.joined_at == null && session.open_steps.includes('join')
  const tried = useRef(false)
  useEffect(() => {
    if (!wanted || status !== 'online' || tried.current) return
    tried.current = true
    channel.step('join').catch(() => {}) // the feed offers it, and says why it fails
  }, [wanted, status, channel])
}

/** News for whoever evaluates: guidance from others. */
function useGuidance(
  session: Session,
  channel: SessionChannel,
  subject: string,
  nameOf: (subject: string) => string,
): void {
  const words = useWords(messages)
  const now = useRef({ session, words, nameOf })
  now.current = { session, words, nameOf }
  useEffect(
    () =>
      channel.onEvent((event) => {
        if (event.kind !== 'guidance.message' || event.actor === subject) return
        const { text, case: about } = event.data as { text?: unknown; case?: unknown }
        if (typeof text !== 'string') return
        const { session, words, nameOf } = now.current
        const found = session.test_cases.find((each) => each.id === about)
        const name = nameOf(event.actor)
        const title = found?.title ?? found?.id
        toast(title === undefined ? words.guidance(name) : words.guidanceOn(name, title), text)
      }),
    [channel, subject],
  )
}

// -- the draft of a test case

interface DraftPageProps {
  session: Session
  stale: boolean
  channel: SessionChannel
  subject: string
  testCase: string
  form: FormDefinition
  nameOf: (subject: string) => string
  onPeers: (peers: Form['document']['peers'] | null) => void
}

function DraftPage(props: DraftPageProps) {
  const words = useWords(messages)
  const { session, testCase, form, subject, onPeers } = props
  const client = useClient()
  const open = useDraft(`drafts/${session.id}/${testCase}`, form, subject)
  useEffect(() => {
    onPeers(open?.document.peers ?? null)
    return () => onPeers(null)
  }, [open, onPeers])
  useLeavingWarning(open?.document ?? null)
  useEffect(
    () => (open === null ? undefined : watchUnsent(client, subject, open.document)),
    [client, subject, open],
  )
  if (open === null) return <p className="evaluate-empty">{words.openingDraft}</p>
  return <OpenDraftPage {...props} open={open} />
}

function OpenDraftPage({ open, ...props }: DraftPageProps & { open: OpenDraft }) {
  const { session, stale, subject, nameOf } = props
  const words = useWords(messages)
  const { document, draft } = open
  const loaded = useReadable(document.loaded)
  const access = useReadable(document.access)
  const [asked, setAsked] = useState(false)
  const readOnly = access !== 'write' || session.state === 'stopped' || !loaded
  const role = session.members.find((each) => each.subject === subject)?.role ?? null
  const revealed = session.state === 'stopped' || role === 'observer' || access === 'read'
  const form = useMemo<Form>(
    () => ({ draft, document, readOnly, asked, revealed, nameOf }),
    [draft, document, readOnly, asked, revealed, nameOf],
  )
  const onKeyDown = useUndoKeys(draft)
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys of the fields in it
    <div className="evaluate-column" onKeyDown={onKeyDown}>
      <Toolbar {...props} open={open} readOnly={readOnly} onAsked={setAsked} />
      <Banners document={document} session={session} stale={stale} />
      <Announcer document={document} />
      {loaded ? <DraftForm form={form} /> : <p className="evaluate-empty">{words.openingDraft}</p>}
    </div>
  )
}

/** Ctrl or Cmd with Z undoes one's own edits; the browser's own undo would undo those of others. */
function useUndoKeys(draft: Draft) {
  return (event: KeyboardEvent) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return
    const key = event.key.toLowerCase()
    const redo = (key === 'z' && event.shiftKey) || (key === 'y' && !event.shiftKey)
    if (!redo && key !== 'z') return
    event.preventDefault()
    if (redo) draft.redoLast()
    else draft.undoLast()
  }
}

interface ToolbarProps extends DraftPageProps {
  open: OpenDraft
  readOnly: boolean
  onAsked: (asked: boolean) => void
}

function Toolbar(props: ToolbarProps) {
  const { session, testCase, open, readOnly } = props
  const words = useWords(messages)
  const { draft, document } = open
  const connection = useConnection(document)
  const undo = useReadable(draft.undo)
  const title = session.test_cases.find((each) => each.id === testCase)?.title ?? testCase
  return (
    <div className="toolbar">
      <div className="toolbar-row">
        <h2>{title}</h2>
        <div className="toolbar-actions">
          <button
            type="button"
            className="button button-quiet button-icon"
            aria-label={words.undo}
            title={`${words.undo} (Ctrl+Z)`}
            disabled={!undo.canUndo || readOnly}
            onClick={draft.undoLast}
          >
            <Icon name="undo" />
          </button>
          <button
            type="button"
            className="button button-quiet button-icon"
            aria-label={words.redo}
            title={`${words.redo} (Shift+Ctrl+Z)`}
            disabled={!undo.canRedo || readOnly}
            onClick={draft.redoLast}
          >
            <Icon name="redo" />
          </button>
          <Completing {...props} />
        </div>
      </div>
      <div className="toolbar-row">
        <ConnectionIndicator connection={connection} />
        <SavingIndicator document={document} />
        <ProgressBar draft={draft} />
      </div>
    </div>
  )
}

function ProgressBar({ draft }: { draft: Draft }) {
  const words = useWords(messages)
  const { answered, required, share } = useReadable(draft.progress)
  return (
    <div className="progress">
      <span>{words.progressText(answered, required)}</span>
      <progress aria-label={words.progress} max={1} value={share} />
    </div>
  )
}

function Completing({ session, channel, subject, testCase, open, onAsked }: ToolbarProps) {
  const words = useWords(messages)
  const [busy, run] = useCommand()
  const { draft, document } = open
  const role = session.members.find((each) => each.subject === subject)?.role
  const done = session.completed.some((each) => each.case === testCase && each.subject === subject)
  const closed = session.state === 'stopped' || session.state === 'created'
  if (role !== 'evaluator' && role !== 'lead') return null
  const complete = () => {
    const { answered, required } = draft.progress.get()
    onAsked(answered < required)
    if (answered < required) {
      toast(words.missing(required - answered), words.missingText, 'danger')
      // Once they are marked: to the first of them.
      requestAnimationFrame(() => {
        const first = window.document.querySelector('#main .issue')?.closest('[data-question]')
        first?.scrollIntoView({ block: 'center' })
        first?.querySelector<HTMLElement>('input, textarea')?.focus({ preventScroll: true })
      })
      return
    }
    if (document.connection.get().status !== 'online') {
      toast(words.failed, words.offlineStep, 'danger')
      return
    }
    run(() => document.saved().then(() => channel.complete(testCase, true)))
  }
  return (
    <button
      type="button"
      className={done ? 'button' : 'button button-primary'}
      disabled={busy || closed}
      title={session.state === 'created' ? words.notStartedComplete : undefined}
      onClick={done ? () => run(() => channel.complete(testCase, false)) : complete}
    >
      {done ? words.reopen : words.complete}
    </button>
  )
}
