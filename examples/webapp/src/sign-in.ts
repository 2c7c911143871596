/**
 * Who one is in this tab, and the tokens that say so.
 *
 * A link brings a token in its fragment, which no server sees; it is taken out of the address at
 * once. Tokens are kept by person (localStorage), and which person this tab is by tab
 * (sessionStorage): four links of the demo can be open in four tabs as four people.
 *
 * A deployment that signs its people in otherwise replaces {@link tokenSource}.
 */

import { Denied, type TokenSource } from './lib/types'

const TAB = 'draftsync.subject'
const PERSON = 'draftsync.person:'
const NOBODY = '' // the tab was left: ask, even where only one person is known
/** A token of another tab is taken when it holds for so long at least. Milliseconds. */
const HOLDS = 5_000

export interface Person {
  readonly subject: string
  readonly name: string
  readonly token: string
  readonly expires: number
}

/** What a link says, beside who one is. */
interface Arrival {
  readonly token: string
  readonly hash: string
}

/** Take a token out of the address, if there is one. Returns whether it could be used. */
export function arrive(): 'signed-in' | 'bad-link' | 'no-link' {
  const arrival = readLink(location.hash)
  if (arrival === null) return 'no-link'
  history.replaceState(history.state, '', arrival.hash)
  const person = personOf(arrival.token)
  if (person === null) return 'bad-link'
  keep(person)
  return 'signed-in'
}

export function readLink(hash: string): Arrival | null {
  const said = new URLSearchParams(hash.replace(/^#\/?/, ''))
  const token = said.get('token')
  if (token === null) return null
  const [session, testCase] = [said.get('session'), said.get('case')]
  if (said.get('page') === 'monitor') return { token, hash: '#/monitor' }
  if (session === null) return { token, hash: '#/' }
  const rest = testCase === null ? '' : `/${encodeURIComponent(testCase)}`
  return { token, hash: `#/s/${encodeURIComponent(session)}${rest}` }
}

/** Who this tab is; null: it is not known. */
export function currentPerson(): Person | null {
  const subject = tab.get(TAB)
  if (subject !== null) return personNamed(subject)
  const known = knownPeople()
  const [only] = known
  if (only === undefined || known.length > 1) return null
  tab.set(TAB, only.subject)
  return only
}

/** Everybody who has come in with a link in this browser. */
export function knownPeople(): readonly Person[] {
  return device
    .keys()
    .filter((key) => key.startsWith(PERSON))
    .flatMap((key) => personNamed(key.slice(PERSON.length)) ?? [])
    .sort((a, b) => a.name.localeCompare(b.name))
}

export function continueAs(person: Person): void {
  tab.set(TAB, person.subject)
}

/** This tab is nobody any more; what is kept of the person stays. */
export function leaveTab(): void {
  tab.set(TAB, NOBODY)
}

/** The token that is kept, and new ones from the service for old ones. */
export function tokenSource(subject: string): TokenSource {
  return async (stale) => {
    const kept = personNamed(subject)
    if (kept === null) throw new Denied('you are not signed in: open your link again')
    if (stale === null) return kept.token
    // Another tab of the same person may have renewed it already.
    if (kept.token !== stale && kept.expires > Date.now() + HOLDS) return kept.token
    const token = await renewed(stale)
    const person = personOf(token)
    if (person === null) throw new Error('the service gave something that is not a token')
    keep(person)
    return token
  }
}

async function renewed(token: string): Promise<string> {
  const answer = await fetch('/demo/token', {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
  })
  if (answer.ok) {
    const { token } = (await answer.json()) as { token: string }
    return token
  }
  if ([401, 403].includes(answer.status)) {
    throw new Denied('your link has expired or was withdrawn: ask for a new one')
  }
  if ([404, 405].includes(answer.status)) {
    throw new Denied('this service does not renew tokens: ask for a new link')
  }
  throw new Error(`no new token now: the service answered ${answer.status}`)
}

function keep(person: Person): void {
  device.set(PERSON + person.subject, JSON.stringify(person))
  tab.set(TAB, person.subject)
}

function personNamed(subject: string): Person | null {
  try {
    const kept = JSON.parse(device.get(PERSON + subject) ?? 'null') as Partial<Person> | null
    return typeof kept?.token === 'string' ? personOf(kept.token) : null
  } catch {
    return null
  }
}

/** Whom a token is for, from its claims; the service verifies them, here they are only read. */
export function personOf(token: string): Person | null {
  try {
    const [, payload = ''] = token.split('.')
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (each) =>
      each.charCodeAt(0),
    )
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
    const { sub, name, exp } = claims
    if (typeof sub !== 'string' || sub === '' || typeof exp !== 'number') return null
    const called = typeof name === 'string' && name !== '' ? name : sub
    return { subject: sub, name: called, token, expires: exp * 1_000 }
  } catch {
    return null
  }
}

// -- storage, or memory where a browser refuses it: then it holds for this page only

class Kept {
  readonly #memory = new Map<string, string>()
  readonly #storage: () => Storage

  constructor(storage: () => Storage) {
    this.#storage = storage
  }

  get(key: string): string | null {
    return this.#memory.get(key) ?? this.#try((storage) => storage.getItem(key)) ?? null
  }

  set(key: string, value: string): void {
    const set = this.#try((storage) => {
      storage.setItem(key, value)
      return true
    })
    if (set) this.#memory.delete(key)
    else this.#memory.set(key, value)
  }

  keys(): readonly string[] {
    const stored = this.#try((storage) => Object.keys(storage)) ?? []
    return [...new Set([...stored, ...this.#memory.keys()])]
  }

  #try<T>(use: (storage: Storage) => T): T | undefined {
    try {
      return use(this.#storage())
    } catch {
      return undefined // refused by the browser, or full
    }
  }
}

const device = new Kept(() => localStorage)
const tab = new Kept(() => sessionStorage)
