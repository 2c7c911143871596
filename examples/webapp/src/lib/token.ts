/**
 * The token that everything is asked with: who one is, and a new one before it expires.
 *
 * The service verifies tokens; here their claims are only read. Laws:
 *
 * 1. One request to the source at a time, whoever needs the token.
 * 2. A token is renewed before it expires, by the clock and not by a timer alone: timers stand still
 *    while a computer sleeps. One that is known to have expired, or that the service refused, is
 *    never given out.
 * 3. {@link Denied} from the source is final once the token that is here has expired. Anything else
 *    is tried again, after pauses that grow, with jitter.
 * 4. Who one is stays known after the token has expired: offline work goes on.
 */
import { Cell, type Readable } from './readable'
import { Denied, type Identity, type Role, type TokenSource } from './types'

/** How long before its expiry a token is renewed. Milliseconds, as all that follows. */
const EARLIEST = 60_000
const LATEST = 5_000
/** Of its lifetime, between these. */
const REMAINING = 0.2
/** The clock is looked at this often, for computers that sleep. */
const LOOK_EVERY = 30_000
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 10_000

export interface TokensOptions {
  readonly source: TokenSource
  /** Where `online`, `focus` and `visibilitychange` are heard: the window. */
  readonly page?: EventTarget | undefined
  readonly random?: () => number
}

/** A token that is here. */
interface Held {
  readonly token: string
  readonly renewAt: number
  readonly expires: number
  refused: boolean
}

const WAKING = ['online', 'focus', 'visibilitychange', 'pageshow']

export class Tokens {
  readonly #source: TokenSource
  readonly #page: EventTarget | undefined
  readonly #random: () => number
  readonly #identity = new Cell<Identity | null>(null)
  readonly #listeners = new Set<(token: string) => void>()
  #held: Held | null = null
  #asking: Promise<string> | null = null
  #denied: Denied | null = null
  #failures = 0
  #failure: { readonly error: unknown; readonly until: number } | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(options: TokensOptions) {
    this.#source = options.source
    this.#page = 'page' in options ? options.page : globalThis.window
    this.#random = options.random ?? Math.random
    for (const each of WAKING) this.#page?.addEventListener(each, this.#wake)
    this.#ask().catch(() => {}) // so that one knows who one is
  }

  /** Whom the last token is for; null before the first. */
  get identity(): Readable<Identity | null> {
    return this.#identity
  }

  /** A token that has not expired. Rejects with {@link Denied}, or when there is none for now. */
  async current(): Promise<string> {
    const held = this.#held
    if (held !== null && usable(held)) return held.token
    if (this.#denied !== null) throw this.#denied
    if (this.#failure !== null && this.#asking === null && Date.now() < this.#failure.until) {
      throw this.#failure.error
    }
    return this.#ask()
  }

  /** Call a listener with every new token that replaces one. Gives what ends that. */
  onRenewed(listener: (token: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The service says that a token has expired: its clock is the one that counts. */
  refused(token: string): void {
    if (this.#held?.token !== token || this.#held.refused) return
    this.#held.refused = true
    this.#renew()
  }

  /** Do not wait for the end of a pause: somebody wants it now. */
  hurry(): void {
    this.#failures = 0
    this.#failure = null
    this.#look()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#listeners.clear()
    for (const each of WAKING) this.#page?.removeEventListener(each, this.#wake)
  }

  #wake = (event: Event): void => {
    if (event.type === 'online') this.hurry()
    else this.#look()
  }

  /** Renew if it is time to, and look again when it will be. */
  #look = (): void => {
    clearTimeout(this.#timer)
    if (this.#closed || this.#asking !== null || this.#denied !== null) return
    const now = Date.now()
    const due = this.#held === null || this.#held.refused ? now : this.#held.renewAt
    const at = Math.max(due, this.#failure?.until ?? 0)
    if (at <= now) this.#renew()
    else this.#timer = setTimeout(this.#look, Math.min(at - now, LOOK_EVERY))
  }

  #renew(): void {
    if (this.#failure === null || Date.now() >= this.#failure.until) this.#ask().catch(() => {})
    else this.#look()
  }

  #ask(): Promise<string> {
    this.#asking ??= this.#request().finally(() => {
      this.#asking = null
      this.#look()
    })
    return this.#asking
  }

  async #request(): Promise<string> {
    try {
      const first = this.#held === null
      let held = this.#held ?? this.#adopt(await this.#source(null), null)
      if (!first || !usable(held)) held = this.#adopt(await this.#source(held.token), held.token)
      this.#failures = 0
      this.#failure = null
      return held.token
    } catch (error) {
      if (error instanceof Denied) this.#denied = error
      else this.#pause(error)
      throw error
    }
  }

  #pause(error: unknown): void {
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures)
    this.#failures += 1
    this.#failure = { error, until: Date.now() + longest * (0.5 + this.#random() / 2) }
  }

  #adopt(token: string, stale: string | null): Held {
    if (token === stale) {
      throw new Error('The token source gave the old token again: expected a new one.')
    }
    const claims = claimsOf(token)
    const now = Date.now()
    const stated = claims.exp * 1_000
    const lifetime = claims.iat === undefined ? stated - now : stated - claims.iat * 1_000
    // A token that was made just now and has expired: it is our clock that is wrong.
    const expires = stale !== null && stated <= now ? now + Math.max(0, lifetime) : stated
    const lead = Math.min(Math.max(lifetime * REMAINING, LATEST), EARLIEST, lifetime / 2)
    const held: Held = { token, expires, renewAt: expires - lead, refused: false }
    this.#held = held
    this.#identity.set(identityOf(claims))
    if (stale !== null) for (const listener of [...this.#listeners]) listener(token)
    return held
  }
}

function usable(held: Held): boolean {
  return !held.refused && Date.now() < held.expires
}

// -- claims

interface Claims {
  readonly sub: string
  readonly name?: string
  readonly role?: string
  readonly exp: number
  readonly iat?: number
  readonly docs?: Readonly<Record<string, string>>
  readonly sessions?: Readonly<Record<string, string>>
}

const ROLES: ReadonlyMap<string, Role> = new Map([
  ['observe', 'observer'],
  ['join', 'evaluator'],
  ['lead', 'lead'],
])
const ACCESS: ReadonlyMap<string, 'read' | 'write'> = new Map([
  ['read', 'read'],
  ['write', 'write'],
])

/** What a token says of its bearer. Throws {@link Denied} when it is none of the service's. */
export function readIdentity(token: string): Identity {
  return identityOf(claimsOf(token))
}

function identityOf(claims: Claims): Identity {
  const administrator = claims.role === 'admin'
  const documents = grants(claims.docs, ACCESS)
  const sessions = grants(claims.sessions, ROLES)
  return {
    subject: claims.sub,
    name: typeof claims.name === 'string' ? claims.name : claims.sub,
    administrator,
    expires: claims.exp * 1_000,
    documentAccess: (document) =>
      administrator ? 'write' : (mostSpecific(documents, document) ?? 'none'),
    sessionRole: (session) => (administrator ? 'lead' : (mostSpecific(sessions, session) ?? null)),
    sessionPatterns: sessions,
  }
}

function claimsOf(token: string): Claims {
  let claims: Partial<Claims>
  try {
    claims = JSON.parse(decodeBase64Url(token.split('.')[1] ?? ''))
  } catch {
    throw new Denied('The token cannot be read: expected a JSON Web Token. Sign in again.')
  }
  if (typeof claims?.sub !== 'string' || typeof claims.exp !== 'number') {
    throw new Denied('The token lacks sub or exp: expected one of this service. Sign in again.')
  }
  return claims as Claims
}

function decodeBase64Url(text: string): string {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return new TextDecoder().decode(Uint8Array.from(binary, (each) => each.charCodeAt(0)))
}

function grants<T>(
  claimed: Readonly<Record<string, string>> | undefined,
  words: ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  const found = new Map<string, T>()
  for (const [pattern, word] of Object.entries(claimed ?? {})) {
    const level = words.get(word)
    if (level !== undefined) found.set(pattern, level)
  }
  return found
}

/** The exact name before any prefix, a longer prefix before a shorter one. */
function mostSpecific<T>(levels: ReadonlyMap<string, T>, name: string): T | undefined {
  const exact = name.endsWith('*') ? undefined : levels.get(name)
  if (exact !== undefined) return exact
  let best = -1
  let level: T | undefined
  for (const [pattern, each] of levels) {
    const length = pattern.length - 1
    if (length <= best || !pattern.endsWith('*') || !name.startsWith(pattern.slice(0, -1))) continue
    best = length
    level = each
  }
  return level
}
