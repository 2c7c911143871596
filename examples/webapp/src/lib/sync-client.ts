/**
 * The client library: one object for the service and one person. Framework-free.
 *
 * ```ts
 * const client = createClient({ url: 'http://localhost:3001', token: async () => token })
 * const draft = client.document('drafts/42')
 * draft.doc.getMap('form').set('verdict', 'pass')
 * await draft.saved() // the service has committed it to its disk
 * draft.release()
 * ```
 */
import { createApi } from './api'
import { type ClosableDocument, openDocument } from './document'
import { type OpenSession, openSession } from './session-channel'
import { Shared } from './shared'
import { Tokens } from './token'
import type { Client, TokenSource } from './types'

export interface ClientOptions {
  /** Of the service: `http://host:port`. */
  readonly url: string
  readonly token: TokenSource
  /** Exchange edits with other tabs of the same person while the service is out of reach: true. */
  readonly broadcast?: boolean
  readonly WebSocket?: typeof WebSocket
  /** Where `online`, `offline`, `pagehide` and the like are heard: the window. */
  readonly page?: EventTarget | undefined
  readonly random?: () => number
}

export function createClient(options: ClientOptions): Client {
  const { token, random } = options
  const url = options.url.replace(/\/+$/, '')
  const page = 'page' in options ? options.page : globalThis.window
  const around = {
    page,
    ...(options.WebSocket === undefined ? {} : { WebSocket: options.WebSocket }),
    ...(random === undefined ? {} : { random }),
  }
  const tokens = new Tokens({ source: token, ...around })
  const api = createApi({ url, tokens })
  const closing = new Set<Promise<void>>()
  const end = (each: { close(): Promise<void> }): void => {
    const closed = each.close().finally(() => closing.delete(closed))
    closing.add(closed)
  }
  const documents = new Shared<ClosableDocument>((name) => {
    const release = (): void => documents.release(name)
    return openDocument({ name, url, tokens, release, broadcast: options.broadcast, ...around })
  }, end)
  const sessions = new Shared<OpenSession>((id) => {
    const release = (): void => sessions.release(id)
    return openSession({ id, url, tokens, api, release, ...around })
  }, end)
  return {
    url,
    identity: tokens.identity,
    api,
    document: (name) => documents.acquire(name),
    session: (id) => sessions.acquire(id),
    close: async () => {
      documents.closeAll()
      sessions.closeAll()
      await Promise.all(closing)
      tokens.close()
    },
  }
}
