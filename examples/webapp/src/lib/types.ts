/**
 * The words of the client library: everything that a page sees of it.
 *
 * All values are immutable, and the same object until something changed. Times are milliseconds
 * since the Unix epoch, as `Date.now()` gives them, or ISO 8601 texts where the service sent them.
 */

import type { Awareness } from 'y-protocols/awareness'
import type * as Y from 'yjs'
import type { FormDefinition, IssueCode, Progress } from './form-types'
import type { Readable } from './readable'

export type { FormDefinition, IssueCode, Progress } from './form-types'

// -- who

/** What a role in a session may do comes from the token: observe, join or lead. */
export type Role = 'observer' | 'evaluator' | 'lead'

/** Whom a token is for, and what it grants; read from its claims, which the service verifies. */
export interface Identity {
  readonly subject: string
  readonly name: string
  readonly administrator: boolean
  readonly expires: number
  /** What may be done with a document: the most specific pattern wins. */
  documentAccess(document: string): 'none' | 'read' | 'write'
  /** The role that it gives in a session. */
  sessionRole(session: string): Role | null
  /** The same by pattern, as the token has them: to suggest ids of new sessions (engineer M). */
  readonly sessionPatterns: ReadonlyMap<string, Role>
}

/**
 * Where tokens come from. Called for the first token, before one expires, and when the service said
 * that one has expired. Rejects with {@link Denied} when there will never be one (sign in again),
 * with anything else when it may work later (offline): it is asked again with back-off.
 */
export type TokenSource = (stale: string | null) => Promise<string>

// -- connection

export type ConnectionStatus = 'connecting' | 'online' | 'offline' | 'denied'

/** Why a connection was refused for good. `code` is a close code of the service's (4400–4499). */
export interface Verdict {
  readonly code: number
  readonly reason: string
}

/** One connection: of a document, or of a session's events. */
export interface Connection {
  readonly status: ConnectionStatus
  /** With `denied`. */
  readonly verdict: Verdict | null
  /** Since when it has this status. */
  readonly since: number
  /** Of the last round trip, in milliseconds; null before the first. */
  readonly latency: number | null
  readonly sent: number
  readonly received: number
  /** Attempts to connect since it was last online. */
  readonly retries: number
  /** When the next attempt will be made; null when none is waiting. */
  readonly retryAt: number | null
}

/** A connection that was not made yet. */
export const NOT_CONNECTED: Connection = {
  status: 'connecting',
  verdict: null,
  since: 0,
  latency: null,
  sent: 0,
  received: 0,
  retries: 0,
  retryAt: null,
}

// -- saved

/**
 * What is known about the edits made here. `saved` is said only when the service has committed
 * everything to disk (the answer to a barrier, message 102); never while an edit is on its way.
 *
 * - `unsaved`: edits wait on this device (offline, denied, or refused);
 * - `saving`: they were sent, and the answer is awaited;
 * - `saved`: there is nothing that the service has not committed.
 * - `loading`: what this device has is not known yet.
 */
export interface Saving {
  readonly state: 'loading' | 'unsaved' | 'saving' | 'saved'
  /** Edits made here that are not committed yet. */
  readonly waiting: number
  /** When all was last known to be committed; null: never in this page, nor in one before it. */
  readonly savedAt: number | null
  /** Edits are kept on this device (IndexedDB); false where the browser does not let us. */
  readonly keptHere: boolean
  /** Why the service takes no edits: `read-only`, or a verdict's reason; null when it does. */
  readonly refused: string | null
}

// -- presence

/** Somebody who has the same document open, by Yjs awareness. */
export interface Peer {
  readonly clientId: number
  readonly subject: string
  readonly name: string
  /** CSS colour, the same for a subject everywhere. */
  readonly color: string
  readonly role: Role | null
  /** The question in which they are; null: none. */
  readonly field: string | null
  /** In a text: where their selection begins and ends, as offsets in UTF-16 code units. */
  readonly selection: { readonly anchor: number; readonly head: number } | null
  /** This very page. */
  readonly self: boolean
}

// -- sessions (as the HTTP API and the events channel tell them)

export type SessionState = 'created' | 'running' | 'paused' | 'stopped'
export type SessionStep = 'join' | 'leave' | 'start' | 'pause' | 'resume' | 'stop'

export interface TestCase {
  readonly id: string
  readonly title: string | null
}

export interface Member {
  readonly subject: string
  readonly name: string
  readonly role: Role
  /** null: invited, and not there yet. */
  readonly joined_at: string | null
  /** Offset of the last event that they have received. */
  readonly acknowledged: number
}

export interface Completion {
  readonly case: string
  readonly subject: string
  readonly at: string
}

export interface Session {
  readonly id: string
  readonly state: SessionState
  readonly project: string
  readonly title: string | null
  readonly test_cases: readonly TestCase[]
  readonly members: readonly Member[]
  readonly epoch: string
  readonly top: number
  readonly truncated_before: number | null
  readonly open_steps: readonly SessionStep[]
  readonly created_by: string
  readonly created_at: string
  readonly started_at: string | null
  readonly stopped_at: string | null
  readonly active_seconds: number
  readonly completed: readonly Completion[]
  readonly form: FormDefinition | null
}

/** As a list of sessions has it. */
export type SessionSummary = Omit<Session, 'form'>

export interface NewSession {
  readonly id?: string
  readonly project: string
  readonly title?: string
  readonly test_cases: readonly (string | { id: string; title?: string })[]
  readonly members?: readonly { subject: string; role: Role }[]
  readonly form?: unknown
}

/**
 * Something that happened. Kinds beginning with `session.` and `draft.` are the service's own;
 * {@link KnownEvents} says what their `data` is, and that of ours.
 */
export interface SessionEvent<K extends string = string> {
  readonly offset: number
  readonly id: string
  readonly kind: K
  /** Subject of whoever did it; the session's members have the name. */
  readonly actor: string
  readonly time: string
  readonly data: K extends keyof KnownEvents ? KnownEvents[K] : Readonly<Record<string, unknown>>
}

/** Kinds whose data is known. */
export interface KnownEvents {
  /** Advice to all evaluators, or about one test case. Published by people. */
  readonly 'guidance.message': { readonly text: string; readonly case?: string }
  readonly 'session.created': {
    readonly project: string
    readonly title: string | null
    readonly test_cases: readonly TestCase[]
    readonly members: readonly { readonly subject: string; readonly role: Role }[]
  }
  readonly 'session.joined': {
    readonly subject: string
    readonly name: string
    readonly role: Role
  }
  readonly 'session.left': { readonly subject: string }
  readonly 'session.started': { readonly state: SessionState }
  readonly 'session.paused': { readonly state: SessionState }
  readonly 'session.resumed': { readonly state: SessionState }
  readonly 'session.stopped': { readonly state: SessionState }
  readonly 'draft.completed': { readonly case: string; readonly subject: string }
  readonly 'draft.reopened': { readonly case: string; readonly subject: string }
}

/** An event published here that is not in the log yet. */
export interface Outgoing {
  readonly id: string
  readonly kind: string
  readonly data: Readonly<Record<string, unknown>>
  readonly at: number
  readonly attempts: number
  /** Why the service will never take it; null: it will be sent (again). */
  readonly failed: string | null
}

/** What is known of a session here. */
export interface SessionView {
  /** The last word of the service, or what this device kept from before; null: neither. */
  readonly session: Session | null
  /** Comes from this device, and was not confirmed since the page was opened. */
  readonly stale: boolean
  /** The last events (some hundreds), by offset, without gaps between them. */
  readonly events: readonly SessionEvent[]
  /** There are older events than these ({@link SessionChannel.older} loads them). */
  readonly older: boolean
  /** Published here, and not in the log yet, in order. */
  readonly outbox: readonly Outgoing[]
  /** The last thing that went wrong and that people should read; null: nothing. */
  readonly problem: string | null
  /** What goes on now, where it was asked for. */
  readonly status: SessionStatus | null
}

// -- live status (`GET /api/v1/sessions/{id}/status`, and `status` messages)

/** One connection of somebody: to a draft, or to the session's events. */
export interface PresentConnection {
  readonly kind: 'document' | 'events' | 'stream'
  readonly document: string | null
  readonly access: 'write' | 'read' | null
  readonly since: string
  readonly last_seen: string
  /** Edits or events of theirs that are not on disk yet. */
  readonly unsaved: number
  readonly latency_ms: number | null
}

export interface PresentMember {
  readonly subject: string
  readonly name: string
  readonly role: Role | null
  /** false: connected without having joined. */
  readonly member: boolean
  readonly joined_at: string | null
  readonly acknowledged: number
  readonly online: boolean
  readonly connections: readonly PresentConnection[]
  readonly last_committed: {
    readonly document: string
    readonly position: number
    readonly at: string
  } | null
}

export interface LastEdit {
  readonly at: string
  readonly by: string
  readonly position: number
}

export interface DraftStatus {
  readonly document: string
  /** Whose own it is; null: everybody's. */
  readonly evaluator: string | null
  /** Subjects who have it open. */
  readonly open: readonly string[]
  readonly edits: number
  readonly last_edit: LastEdit | null
  /** What is wrong with it; null: nothing. */
  readonly note: string | null
}

export interface CaseStatus {
  readonly id: string
  readonly title: string | null
  readonly documents: readonly DraftStatus[]
  readonly open: readonly string[]
  readonly edits: number
  readonly last_edit: LastEdit | null
  readonly evaluators: readonly {
    readonly subject: string
    /** null: it is not known. */
    readonly progress: Progress | null
    readonly completed: boolean
    readonly completed_at: string | null
  }[]
}

export interface SessionStatus {
  readonly session: string
  readonly state: SessionState
  readonly epoch: string
  readonly top: number
  readonly time: string
  readonly active_seconds: number
  readonly connections: number
  readonly members: readonly PresentMember[]
  readonly test_cases: readonly CaseStatus[]
  readonly other_documents: readonly DraftStatus[]
  readonly delivery: {
    readonly delivered: number
    readonly success: number
    readonly latency_ms: {
      readonly p50: number | null
      readonly p95: number | null
      readonly p99: number | null
    }
  } | null
}

// -- the parts of a client

/** The service, for one person. One for a page; `close` it when they sign out. */
export interface Client {
  /** Of the service: `http://host:port`. */
  readonly url: string
  /** null until there is a token. */
  readonly identity: Readable<Identity | null>
  readonly api: SessionsApi
  /**
   * Open a document, or the one that is open already: each `open` needs its `release`. What this
   * device has of it is there when `ready` resolves, the service's part when it is online.
   */
  document(name: string): OpenDocument
  /** Follow a session, or the one that is followed already: each needs its `release`. */
  session(id: string): SessionChannel
  close(): Promise<void>
}

/** One Yjs document: synced by y-websocket, kept on this device by y-indexeddb. */
export interface OpenDocument {
  readonly name: string
  readonly doc: Y.Doc
  readonly awareness: Awareness
  /** Resolves when what this device kept is in `doc`; also where nothing can be kept. */
  readonly ready: Promise<void>
  /** The same as a value: false until then. */
  readonly loaded: Readable<boolean>
  readonly connection: Readable<Connection>
  readonly saving: Readable<Saving>
  /** `read` where the token, or the state of the session, lets nobody write. */
  readonly access: Readable<'write' | 'read' | 'none'>
  /** Everybody who has it open, this page included; at most ten changes a second. */
  readonly peers: Readable<readonly Peer[]>
  /** Say where we are: the question, and the selection in a text. */
  setPresence(field: string | null, selection?: { anchor: number; head: number } | null): void
  /** Resolves when everything edited up to now is committed; rejects when it is refused for good. */
  saved(): Promise<void>
  /** Connect again now, without waiting for the back-off. After `denied` too. */
  reconnect(): void
  release(): void
}

/** A session: its state, its log, what is published into it, and the steps of its life. */
export interface SessionChannel {
  readonly id: string
  readonly view: Readable<SessionView>
  readonly connection: Readable<Connection>
  /** Called for every event once, in order of offsets, from the moment of the call on. */
  onEvent(listener: (event: SessionEvent) => void): () => void
  /**
   * Publish an event. It is kept on this device until the service has committed it, over reloads
   * and hours offline, and sent in order. Resolves with its offset; rejects when it is refused.
   */
  publish<K extends string>(
    kind: K,
    data: K extends keyof KnownEvents ? KnownEvents[K] : Readonly<Record<string, unknown>>,
  ): Promise<number>
  /** Forget an event that the service refuses (`failed`), or that was not sent yet. */
  discard(id: string): void
  /** Load events before those that are here. */
  older(): Promise<void>
  /** Ask for live status from now on; the function returned ends that. */
  watchStatus(): () => void
  /** Take a step of the session's life. Rejects with ApiError. */
  step(step: SessionStep): Promise<Session>
  /** Declare a test case complete for oneself (or, as a lead, for somebody), or open it again. */
  complete(testCase: string, done: boolean, subject?: string): Promise<Session>
  reconnect(): void
  release(): void
}

/** The HTTP API, as far as pages need it. Everything rejects with {@link ApiError}. */
export interface SessionsApi {
  list(state?: SessionState): Promise<readonly SessionSummary[]>
  get(id: string): Promise<Session>
  create(session: NewSession): Promise<Session>
  step(id: string, step: SessionStep, key?: string): Promise<Session>
  complete(
    id: string,
    testCase: string,
    done: boolean,
    subject?: string,
    key?: string,
  ): Promise<Session>
  events(
    id: string,
    options: { after?: number; limit?: number; kind?: string },
  ): Promise<readonly SessionEvent[]>
  status(id: string): Promise<SessionStatus>
  /** `GET /api/v1/status`; administrators. */
  service(): Promise<Readonly<Record<string, unknown>>>
  /** `GET /api/v1/connections`; administrators. */
  connections(): Promise<Readonly<Record<string, unknown>>>
}

// -- a draft: a form in a document (`draft.ts`)

export type AnswerValue = number | boolean | string | readonly string[]

/** What a form and an evaluator make of a document; every part is read, and told, by itself. */
export interface Draft {
  readonly form: FormDefinition
  readonly subject: string
  /** The answer to a question: one's own, or the shared one. undefined: none. */
  answer(question: string): Readable<AnswerValue | undefined>
  /** Answers of the others to a question that everybody answers for themselves, by subject. */
  others(question: string): Readable<ReadonlyMap<string, AnswerValue>>
  /** What is wrong with the answer; empty: nothing. Nothing is ever dropped for it. */
  issues(question: string): Readable<readonly Issue[]>
  /** The text of a question of kind text, or the note beside another one. */
  text(question: string): Y.Text
  /** undefined removes the answer. */
  setAnswer(question: string, value: AnswerValue | undefined): void
  addTag(question: string, tag: string): void
  removeTag(question: string, tag: string): void
  /** Replace a part of a text: what a text field did. Offsets in UTF-16 code units. */
  editText(question: string, at: number, remove: number, insert: string): void
  readonly progress: Readable<Progress>
  /** One's own edits of this page, undone and redone. */
  readonly undo: Readable<{ readonly canUndo: boolean; readonly canRedo: boolean }>
  undoLast(): void
  redoLast(): void
  destroy(): void
}

/** Something that is not as the form wants it; the page has the words for its code. */
export interface Issue {
  readonly question: string
  /** Whose answer; null: everybody's. */
  readonly subject: string | null
  readonly code: IssueCode
}

// -- errors

/** Something that will not succeed by being tried again. */
export class Denied extends Error {
  override readonly name = 'Denied'
}

/** What the HTTP API answered instead: problem details (RFC 9457). */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status; 0 when there was no answer (offline). */
  readonly status: number
  /** Steps that are open instead, with 409. */
  readonly openSteps: readonly SessionStep[]
  /** What is wrong, and where in the body, with 422: `errors` of the problem (engineer M). */
  readonly faults: readonly Fault[]

  constructor(
    status: number,
    detail: string,
    openSteps: readonly SessionStep[] = [],
    faults: readonly Fault[] = [],
  ) {
    super(detail)
    this.status = status
    this.openSteps = openSteps
    this.faults = faults
  }
}

/** One thing that is wrong with a request. */
export interface Fault {
  readonly detail: string
  /** A JSON pointer (RFC 6901) into the body. */
  readonly pointer?: string
  /** Which parameter or header, else. */
  readonly parameter?: string
}
