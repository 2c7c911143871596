/**
 * Tabs of one person that have one document open, while they cannot reach the service.
 *
 * They exchange edits over a BroadcastChannel whose name holds the service, the subject and the
 * document: two people of one browser never share one (y-websocket's own channel would let them).
 *
 * Decided: a tab hands on its own edits only while it is not online; online, the service does that.
 * Whatever arrives here counts as an edit that waits *in this tab too*, which sends it to the service
 * as soon as it can: the tab that made it may be gone by then, and a tab that shows an edit which the
 * service lacks must not say 'saved'. Two tabs that bring the same edit change nothing twice.
 */
import * as Y from 'yjs'

type Message =
  /** Who lacks something of what the sender has, or has something that it lacks. */
  | { readonly kind: 'state'; readonly vector: Uint8Array; readonly answer: boolean }
  | { readonly kind: 'update'; readonly update: Uint8Array }

export interface TabsOptions {
  readonly name: string
  readonly doc: Y.Doc
  /** False while the service hands on what is edited. */
  readonly isNeeded: () => boolean
  readonly BroadcastChannel?: typeof BroadcastChannel | undefined
}

export class Tabs {
  readonly #options: TabsOptions
  readonly #channel: BroadcastChannel | null

  constructor(options: TabsOptions) {
    this.#options = options
    const Channel =
      'BroadcastChannel' in options ? options.BroadcastChannel : globalThis.BroadcastChannel
    this.#channel = Channel === undefined ? null : new Channel(options.name)
    if (this.#channel === null) return
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#hear(data)
    options.doc.on('update', this.#onUpdate)
    this.meet()
  }

  /** Exchange everything with the others: at the start, and when the service was lost. */
  meet(): void {
    this.#say({ kind: 'state', vector: Y.encodeStateVector(this.#options.doc), answer: true })
  }

  close(): void {
    this.#options.doc.off('update', this.#onUpdate)
    this.#channel?.close()
  }

  #onUpdate = (update: Uint8Array, origin: unknown): void => {
    if (origin !== this && this.#options.isNeeded()) this.#say({ kind: 'update', update })
  }

  #hear(message: Message): void {
    const { doc, isNeeded } = this.#options
    if (message.kind === 'update') {
      Y.applyUpdate(doc, message.update, this)
      return
    }
    // Deletions are in every diff, so that one is sent even where the vectors are the same.
    const update = Y.encodeStateAsUpdate(doc, message.vector)
    if (isNeeded() || message.answer) this.#say({ kind: 'update', update })
    if (!message.answer) return
    this.#say({ kind: 'state', vector: Y.encodeStateVector(doc), answer: false })
  }

  #say(message: Message): void {
    this.#channel?.postMessage(message)
  }
}
