/**
 * The HTTP API of the service, as far as pages need it.
 *
 * Commands carry an `Idempotency-Key`, the same one when they are sent again, so that a step whose
 * answer was lost is taken once. Everything rejects with {@link ApiError} and nothing else.
 */
import type { Tokens } from './token'
import {
  ApiError,
  Denied,
  type Fault,
  type NewSession,
  type Session,
  type SessionEvent,
  type SessionState,
  type SessionStatus,
  type SessionStep,
  type SessionSummary,
  type SessionsApi,
} from './types'
import { uuid } from './uuid'

/** For one answer: the service itself waits up to 10 s for its disk. */
const ANSWER_MS = 12_000
/** Between attempts; there are as many again as there are pauses. */
const PAUSES_MS = [200, 600, 1_500]
/** The longest pause that a service may ask for and get; a person waits for the answer. */
const LONGEST_PAUSE_MS = 2_000
/** The service, or a proxy before it, is away for a moment. */
const AWAY = [502, 503, 504]
/** Sessions in a page of a list, and pages that are read. */
const PAGE = 200
const MOST_PAGES = 25

export interface ApiOptions {
  /** Of the service: `http://host:port`. */
  readonly url: string
  readonly tokens: Pick<Tokens, 'current' | 'refused'>
  readonly fetch?: typeof fetch
}

interface Ask {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: unknown
  /** Of a command. */
  readonly key?: string
}

/** Where a session stands in the API. */
const at = (id: string, rest = ''): string => `/api/v1/sessions/${encodeURIComponent(id)}${rest}`

export function createApi(options: ApiOptions): SessionsApi {
  const requests = new Requests(options)
  const get = <T>(path: string): Promise<T> => requests.send<T>({ method: 'GET', path })
  const post = <T>(path: string, body: unknown, key: string = uuid()): Promise<T> =>
    requests.send<T>({ method: 'POST', path, body, key })

  return {
    list: (state) => list(get, state),
    get: (id) => get<Session>(at(id)),
    create: (session: NewSession) => post<Session>('/api/v1/sessions', session),
    step: (id, step, key) => post<Session>(at(id, `/${step}`), undefined, key),
    complete: (id, testCase, done, subject, key) => {
      const verb = done ? 'complete' : 'reopen'
      const path = at(id, `/drafts/${encodeURIComponent(testCase)}/${verb}`)
      return post<Session>(path, subject === undefined ? {} : { subject }, key)
    },
    events: async (id, { after = 0, limit = 100, kind }) => {
      const query = new URLSearchParams({ after: `${after}`, limit: `${limit}` })
      if (kind !== undefined) query.set('kind', kind)
      const page = await get<{ events: SessionEvent[] }>(at(id, `/events?${query}`))
      return page.events
    },
    status: (id) => get<SessionStatus>(at(id, '/status')),
    service: () => get('/api/v1/status'),
    connections: () => get('/api/v1/connections'),
  }
}

async function list(
  get: <T>(path: string) => Promise<T>,
  state: SessionState | undefined,
): Promise<readonly SessionSummary[]> {
  const found: SessionSummary[] = []
  let after: number | null = 0
  for (let pages = 0; after !== null && pages < MOST_PAGES; pages += 1) {
    const query = new URLSearchParams({ after: `${after}`, limit: `${PAGE}` })
    if (state !== undefined) query.set('state', state)
    const page: { sessions: SessionSummary[]; next: number | null } = await get(
      `/api/v1/sessions?${query}`,
    )
    found.push(...page.sessions)
    after = page.next
  }
  return found
}

/** Requests that are made again where that may help. */
class Requests {
  readonly #url: string
  readonly #tokens: Pick<Tokens, 'current' | 'refused'>
  readonly #fetch: typeof fetch

  constructor({ url, tokens, fetch = globalThis.fetch }: ApiOptions) {
    this.#url = url.replace(/\/+$/, '')
    this.#tokens = tokens
    this.#fetch = (input, init) => fetch(input, init) // not as a method: browsers refuse that
  }

  async send<T>(ask: Ask): Promise<T> {
    let renewed = false
    for (let failures = 0; ; ) {
      const token = await this.#token()
      const answer = await this.#attempt(ask, token)
      if (answer instanceof Response && answer.ok) return await content<T>(answer)
      const error = answer instanceof Response ? await problem(answer) : answer
      if (isExpired(error) && !renewed) {
        renewed = true
        this.#tokens.refused(token)
        continue
      }
      const pause = pauseAfter(error, answer, failures)
      if (pause === null) throw error
      failures += 1
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  async #token(): Promise<string> {
    try {
      return await this.#tokens.current()
    } catch (error) {
      if (error instanceof Denied) throw new ApiError(401, error.message)
      throw new ApiError(0, 'there is no token now to ask the service with: try again when online')
    }
  }

  /** One try: the answer, or why there is none. */
  async #attempt(ask: Ask, token: string): Promise<Response | ApiError> {
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(), ANSWER_MS)
    try {
      const answer = await this.#fetch(this.#url + ask.path, {
        method: ask.method,
        headers: headers(ask, token),
        signal: stop.signal,
        cache: 'no-store',
        ...(ask.body === undefined ? {} : { body: JSON.stringify(ask.body) }),
      })
      return await whole(answer)
    } catch {
      return stop.signal.aborted ? tooLate() : unreachable()
    } finally {
      clearTimeout(timer)
    }
  }
}

function headers(ask: Ask, token: string): Record<string, string> {
  return {
    Accept: 'application/json',
    Authorization: `Bearer ${token}`,
    ...(ask.body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...(ask.key === undefined ? {} : { 'Idempotency-Key': ask.key }),
  }
}

/** The answer with its body, which may break off as well as the answer itself. */
async function whole(answer: Response): Promise<Response> {
  const { status, statusText, headers } = answer
  const body = status === 204 || status === 304 ? null : await answer.arrayBuffer()
  return new Response(body, { status, statusText, headers })
}

async function content<T>(answer: Response): Promise<T> {
  try {
    return (await answer.json()) as T
  } catch {
    throw new ApiError(
      answer.status,
      'the answer is no JSON: is this the address of a draftsync service?',
    )
  }
}

/** When to try again, in milliseconds; null: never. */
function pauseAfter(error: ApiError, answer: Response | ApiError, failures: number): number | null {
  const pause = PAUSES_MS[failures]
  if (pause === undefined || error instanceof TooLate) return null
  if (error.status === 0) return globalThis.navigator?.onLine === false ? null : pause
  if (!AWAY.includes(error.status) || !(answer instanceof Response)) return null
  const told = Number(answer.headers.get('Retry-After') ?? Number.NaN) * 1_000
  return Number.isFinite(told) ? Math.min(Math.max(told, pause), LONGEST_PAUSE_MS) : pause
}

const isExpired = (error: ApiError): boolean =>
  error.status === 401 && error.message.startsWith('token-expired')

/** What a refusal says. */
async function problem(answer: Response): Promise<ApiError> {
  const told: Record<string, unknown> | null = await answer.json().catch(() => null)
  const { detail, open_steps: openSteps, errors } = told ?? {}
  return new ApiError(
    answer.status,
    typeof detail === 'string' ? detail : bare(answer),
    Array.isArray(openSteps) ? (openSteps as SessionStep[]) : [],
    Array.isArray(errors) ? (errors as Fault[]) : [],
  )
}

const bare = (answer: Response): string =>
  `the service answered ${`${answer.status} ${answer.statusText}`.trim()}: try again later`

const unreachable = (): ApiError =>
  new ApiError(0, 'the service cannot be reached: check the connection, and try again')

/** The service has the request and does not answer: asking again would only add to that. */
class TooLate extends ApiError {
  constructor() {
    super(0, `the service did not answer within ${ANSWER_MS / 1_000} s: look whether it was done`)
  }
}

const tooLate = (): ApiError => new TooLate()
