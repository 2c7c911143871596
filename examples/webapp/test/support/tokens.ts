/** Tokens of one person, without a source that could fail; tests renew them as they like. */
import { Cell } from '../../src/lib/readable'
import type { Identity, Role } from '../../src/lib/types'

export class FakeTokens {
  readonly identity: Cell<Identity | null>
  readonly refusals: string[] = []
  token: string
  /** What `current` rejects with; null: it does not. */
  failure: Error | null = null
  /** Called when a token was refused: to have another one from now on. */
  onRefused: () => void = () => {}
  readonly #listeners = new Set<(token: string) => void>()

  constructor(subject: string, token = 'token-1') {
    this.token = token
    this.identity = new Cell<Identity | null>(identity(subject))
  }

  async current(): Promise<string> {
    if (this.failure !== null) throw this.failure
    return this.token
  }

  refused(token: string): void {
    this.refusals.push(token)
    this.onRefused()
  }

  onRenewed(listener: (token: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  renew(token: string): void {
    this.token = token
    for (const each of [...this.#listeners]) each(token)
  }
}

function identity(subject: string): Identity {
  return {
    subject,
    name: subject,
    administrator: false,
    expires: Date.now() + 3_600_000,
    documentAccess: () => 'write',
    sessionRole: (): Role => 'lead',
    sessionPatterns: new Map(),
  }
}
