/**
 * The client library in React. Everything stands on `useSyncExternalStore`: no render is lost
 * between a change and its subscription, and each component renders for what it reads, only.
 */

import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { createDraft, same } from '../lib/draft'
import type { FormDefinition } from '../lib/form-types'
import { Cell, type Readable } from '../lib/readable'
import type {
  AnswerValue,
  Client,
  Connection,
  Draft,
  Identity,
  Issue,
  OpenDocument,
  Peer,
  Saving,
  SessionChannel,
  SessionView,
} from '../lib/types'
import { NOT_CONNECTED } from '../lib/types'

/** The value now, and a render whenever it is another one. */
export function useReadable<T>(readable: Readable<T>): T {
  return useSyncExternalStore(readable.subscribe, readable.get, readable.get)
}

const ClientContext = createContext<Client | null>(null)

/** For everything inside: the client to use. */
export function ClientProvider({ client, children }: { client: Client; children: ReactNode }) {
  return <ClientContext value={client}>{children}</ClientContext>
}

export function useClient(): Client {
  const client = useContext(ClientContext)
  if (client === null) throw new Error('put this component inside <ClientProvider client={…}>')
  return client
}

/** Who one is; null until there is a token. */
export function useIdentity(): Identity | null {
  return useReadable(useClient().identity)
}

// -- a draft

/** A draft that is open as long as the component is there; null in the very first render. */
export interface OpenDraft {
  readonly document: OpenDocument
  readonly draft: Draft
}

/**
 * Open a document and read it as a form. `loaded` (of {@link OpenDocument}) tells when what this
 * device kept is in it.
 */
export function useDraft(name: string, form: FormDefinition, subject: string): OpenDraft | null {
  const client = useClient()
  const definition = useStable(form)
  const [open, setOpen] = useState<OpenDraft | null>(null)
  useEffect(() => {
    const document = client.document(name)
    const writable = () => document.access.get() === 'write'
    const draft = createDraft(document.doc, definition, subject, { writable })
    setOpen({ document, draft })
    return () => {
      setOpen(null)
      draft.destroy()
      document.release()
    }
  }, [client, name, definition, subject])
  return open?.document.name === name ? open : null
}

/** The same object for as long as it says the same. */
function useStable<T>(value: T): T {
  const kept = useRef(value)
  if (!same(kept.current, value)) kept.current = value
  return kept.current
}

export function useAnswer(draft: Draft, question: string): AnswerValue | undefined {
  return useReadable(draft.answer(question))
}

export function useOthers(draft: Draft, question: string): ReadonlyMap<string, AnswerValue> {
  return useReadable(draft.others(question))
}

export function useIssues(draft: Draft, question: string): readonly Issue[] {
  return useReadable(draft.issues(question))
}

// -- what goes on around it

export function useConnection(source: { readonly connection: Readable<Connection> }): Connection {
  return useReadable(source.connection)
}

export function useSaving(document: OpenDocument): Saving {
  return useReadable(document.saving)
}

/** Who has it open, this page included. */
export function usePresence(document: OpenDocument): readonly Peer[] {
  return useReadable(document.peers)
}

// -- a session

const NOTHING: SessionView = {
  session: null,
  stale: true,
  events: [],
  older: false,
  outbox: [],
  status: null,
  problem: null,
}
const NO_VIEW = new Cell(NOTHING)
const NO_CONNECTION = new Cell(NOT_CONNECTED)

export interface FollowedSession {
  /** null in the very first render. */
  readonly channel: SessionChannel | null
  readonly view: SessionView
  readonly connection: Connection
}

/** Follow a session; with `status`, what goes on in it now as well. */
export function useSession(id: string, options: { status?: boolean } = {}): FollowedSession {
  const client = useClient()
  const [channel, setChannel] = useState<SessionChannel | null>(null)
  useEffect(() => {
    const opened = client.session(id)
    setChannel(opened)
    return () => {
      setChannel(null)
      opened.release()
    }
  }, [client, id])
  const followed = channel?.id === id ? channel : null
  const watching = options.status === true
  useEffect(() => (watching ? followed?.watchStatus() : undefined), [followed, watching])
  const view = useReadable(followed?.view ?? NO_VIEW)
  const connection = useReadable(followed?.connection ?? NO_CONNECTION)
  return { channel: followed, view, connection }
}
