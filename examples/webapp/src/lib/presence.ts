/**
 * Who has a document open, and where they are in it: Yjs awareness, with types.
 *
 * What others say of themselves is checked, for anything may be in it.
 */
import type { Awareness } from 'y-protocols/awareness'
import { Cell, type Readable } from './readable'
import type { Identity, Peer, Role } from './types'

/** Between two changes that are told. Milliseconds. */
const EVERY = 100
const LONGEST_NAME = 256

/** All legible under white text: a contrast of at least 4.5 to 1. */
const COLORS = [
  '#b42318',
  '#b54708',
  '#8a6100',
  '#3f7214',
  '#087443',
  '#0e7090',
  '#175cd3',
  '#444ce7',
  '#7839ee',
  '#ba24d5',
  '#c11574',
] as const

/** The colour of a person, the same everywhere. */
export function colorOf(subject: string): string {
  let hash = 2_166_136_261 // FNV-1a
  for (const byte of new TextEncoder().encode(subject)) {
    hash = Math.imul(hash ^ byte, 16_777_619)
  }
  return COLORS[(hash >>> 0) % COLORS.length] ?? COLORS[0]
}

type Selection = Peer['selection']

/** What is said of oneself. */
interface Shown {
  readonly user: { subject: string; name: string; color: string; role: Role | null }
  readonly field: string | null
  readonly selection: Selection
}

export class Presence {
  readonly #awareness: Awareness
  readonly #page: EventTarget | undefined
  readonly #peers = new Cell<readonly Peer[]>([])
  #user: Shown['user'] | null = null
  #field: string | null = null
  #selection: Selection = null
  #hidden = false
  #timer: ReturnType<typeof setTimeout> | undefined
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(awareness: Awareness, page: EventTarget | undefined) {
    this.#awareness = awareness
    this.#page = page
    awareness.setLocalState(null) // until it is known who we are
    awareness.on('change', this.#onChange)
    page?.addEventListener('pagehide', this.#hide)
    page?.addEventListener('pageshow', this.#reveal)
  }

  get peers(): Readable<readonly Peer[]> {
    return this.#peers
  }

  /** Say who we are. */
  introduce({ subject, name }: Identity, role: Role | null): void {
    this.#user = { subject, name, color: colorOf(subject), role }
    this.#show()
  }

  at(field: string | null, selection: Selection): void {
    if (field === this.#field && sameSelection(selection, this.#selection)) return
    this.#field = field
    this.#selection = selection
    this.#show()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#awareness.off('change', this.#onChange)
    this.#page?.removeEventListener('pagehide', this.#hide)
    this.#page?.removeEventListener('pageshow', this.#reveal)
    this.#awareness.setLocalState(null)
  }

  #show(): void {
    if (this.#user === null || this.#hidden) return
    const shown: Shown = { user: this.#user, field: this.#field, selection: this.#selection }
    this.#awareness.setLocalState({ ...shown })
  }

  #hide = (): void => {
    this.#hidden = true
    this.#awareness.setLocalState(null)
  }

  /** The page is shown again out of the browser's cache. */
  #reveal = (): void => {
    if (!this.#hidden) return
    this.#hidden = false
    this.#show()
  }

  #onChange = (): void => {
    if (this.#timer !== undefined) return
    const wait = Math.max(0, this.#toldAt + EVERY - Date.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#toldAt = Date.now()
      this.#peers.set(this.#read())
    }, wait)
  }

  /** Peers in the order of their client ids; the objects of those that did not change stay. */
  #read(): readonly Peer[] {
    const before = new Map(this.#peers.get().map((peer) => [peer.clientId, peer]))
    const peers: Peer[] = []
    for (const [clientId, state] of this.#awareness.getStates()) {
      const peer = readPeer(clientId, state, clientId === this.#awareness.clientID)
      const known = before.get(clientId)
      if (peer !== null) peers.push(known !== undefined && samePeer(known, peer) ? known : peer)
    }
    peers.sort((a, b) => a.clientId - b.clientId)
    const old = this.#peers.get()
    const same = old.length === peers.length && old.every((peer, n) => peer === peers[n])
    return same ? old : peers
  }
}

const ROLES: readonly unknown[] = ['observer', 'evaluator', 'lead'] satisfies Role[]

function readPeer(clientId: number, state: unknown, self: boolean): Peer | null {
  if (!isRecord(state) || !isRecord(state.user)) return null
  const { subject, name, role } = state.user
  if (typeof subject !== 'string' || subject === '') return null
  return {
    clientId,
    subject,
    name: (typeof name === 'string' && name !== '' ? name : subject).slice(0, LONGEST_NAME),
    color: colorOf(subject),
    role: ROLES.includes(role) ? (role as Role) : null,
    field: typeof state.field === 'string' ? state.field : null,
    selection: readSelection(state.selection),
    self,
  }
}

function readSelection(value: unknown): Selection {
  if (!isRecord(value)) return null
  const { anchor, head } = value
  return isOffset(anchor) && isOffset(head) ? { anchor, head } : null
}

function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function samePeer(a: Peer, b: Peer): boolean {
  return (
    a.subject === b.subject &&
    a.name === b.name &&
    a.role === b.role &&
    a.field === b.field &&
    sameSelection(a.selection, b.selection)
  )
}

function sameSelection(a: Selection, b: Selection): boolean {
  return a === b || (a?.anchor === b?.anchor && a?.head === b?.head)
}
