import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createApi } from '../../src/lib/api'
import { ApiError, Denied, type SessionsApi } from '../../src/lib/types'
import { FakeTokens } from '../support/tokens'

interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: unknown
}

type Answer = Response | Error | 'never'

let asked: Asked[]
let answers: Answer[]
let tokens: FakeTokens
let api: SessionsApi

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers })

const problem = (status: number, detail: string, more: object = {}, headers = {}): Response =>
  json({ type: 'about:blank', title: 't', status, detail, ...more }, status, headers)

/** A network that gives what was laid out, in order, and writes down what was asked. */
const network: typeof fetch = (input, init) => {
  const { pathname, search } = new URL(String(input))
  asked.push({
    method: init?.method ?? 'GET',
    path: pathname + search,
    headers: init?.headers as Record<string, string>,
    body: init?.body === undefined ? undefined : JSON.parse(String(init.body)),
  })
  const answer = answers.shift()
  if (answer instanceof Response) return Promise.resolve(answer)
  if (answer instanceof Error) return Promise.reject(answer)
  return new Promise((_, reject) => {
    init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))
  })
}

const lost = (): Error => new TypeError('Failed to fetch')
const keys = (): (string | undefined)[] => asked.map((each) => each.headers['Idempotency-Key'])

beforeEach(() => {
  vi.useFakeTimers()
  asked = []
  answers = []
  tokens = new FakeTokens('bob')
  api = createApi({ url: 'http://x/', tokens, fetch: network })
})

afterEach(() => {
  expect(answers).toEqual([]) // everything that was laid out was asked for
  vi.useRealTimers()
})

/** What comes of a request, with all pauses made short. */
async function outcome<T>(request: Promise<T>): Promise<T | ApiError> {
  const caught = request.catch((error: unknown) => {
    expect(error).toBeInstanceOf(ApiError)
    return error as ApiError
  })
  await vi.runAllTimersAsync()
  return caught
}

describe('requests', () => {
  test('are what the service expects', async () => {
    const session = { id: 's' }
    answers = [
      ...[json(session), json(session, 201), json(session), json(session), json(session)],
      ...[json({ events: [{ offset: 1 }] }), json({ state: 'running' }), json({}), json({})],
    ]
    await api.get('a b')
    await api.create({ project: 'p', test_cases: ['a'] })
    await api.step('s', 'start')
    await api.complete('s', 'a/b', true)
    await api.complete('s', 'a', false, 'ann')
    expect(await api.events('s', { after: 3, limit: 10, kind: 'note.*' })).toEqual([{ offset: 1 }])
    await api.status('s')
    await api.service()
    await api.connections()
    expect(asked.map(({ method, path, body }) => [method, path, body])).toEqual([
      ['GET', '/api/v1/sessions/a%20b', undefined],
      ['POST', '/api/v1/sessions', { project: 'p', test_cases: ['a'] }],
      ['POST', '/api/v1/sessions/s/start', undefined],
      ['POST', '/api/v1/sessions/s/drafts/a%2Fb/complete', {}],
      ['POST', '/api/v1/sessions/s/drafts/a/reopen', { subject: 'ann' }],
      ['GET', '/api/v1/sessions/s/events?after=3&limit=10&kind=note.*', undefined],
      ['GET', '/api/v1/sessions/s/status', undefined],
      ['GET', '/api/v1/status', undefined],
      ['GET', '/api/v1/connections', undefined],
    ])
    expect(asked.every((each) => each.headers.Authorization === 'Bearer token-1')).toBe(true)
    const commands = asked.filter((each) => each.method === 'POST')
    expect(new Set(commands.map((each) => each.headers['Idempotency-Key'])).size).toBe(4)
    expect(asked.filter((each) => 'Idempotency-Key' in each.headers)).toEqual(commands)
  })

  test('a list is read page by page', async () => {
    answers = [
      json({ sessions: [{ id: 'a' }], next: 7 }),
      json({ sessions: [{ id: 'b' }], next: null }),
    ]
    expect(await api.list('running')).toEqual([{ id: 'a' }, { id: 'b' }])
    expect(asked.map((each) => each.path)).toEqual([
      '/api/v1/sessions?after=0&limit=200&state=running',
      '/api/v1/sessions?after=7&limit=200&state=running',
    ])
  })
})

describe('a command that is sent again', () => {
  test('has the same key, however the first one was lost', async () => {
    const later = problem(503, 'restarting', {}, { 'Retry-After': '2' })
    answers = [lost(), later, new Response('bad gateway', { status: 502 }), json({ id: 's' })]
    expect(await outcome(api.step('s', 'start'))).toEqual({ id: 's' })
    expect(keys()[0]).toMatch(/^[0-9a-f-]{36}$/)
    expect(new Set(keys()).size).toBe(1)
  })

  test('has the key that it was given', async () => {
    answers = [lost(), json({})]
    await outcome(api.step('s', 'start', 'mine'))
    expect(keys()).toEqual(['mine', 'mine'])
  })

  test('is given up after three more', async () => {
    answers = [lost(), lost(), lost(), lost()]
    expect(await outcome(api.step('s', 'start'))).toMatchObject({
      status: 0,
      message: 'the service cannot be reached: check the connection, and try again',
    })
  })

  test('waits for as long as the service says, but nobody waits for long', async () => {
    const later = (seconds: string) => problem(503, 'later', {}, { 'Retry-After': seconds })
    answers = [later('1'), later('60'), json({})]
    const request = api.get('s')
    await vi.advanceTimersByTimeAsync(999)
    expect(asked).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(asked).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(1_999)
    expect(asked).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(1)
    expect(await request).toEqual({})
  })

  for (const status of [400, 403, 404, 409, 413, 422, 429, 500]) {
    test(`is not sent again after ${status}`, async () => {
      answers = [problem(status, 'no')]
      expect(await outcome(api.step('s', 'start'))).toMatchObject({ status, message: 'no' })
    })
  }

  test('is not sent again to who does not answer', async () => {
    answers = ['never']
    const told = await outcome(api.step('s', 'start'))
    expect(told).toMatchObject({ status: 0, message: expect.stringMatching(/within 12 s/) })
    expect(asked).toHaveLength(1)
  })

  test('nothing is tried again while the browser says that it is offline', async () => {
    vi.stubGlobal('navigator', { onLine: false })
    answers = [lost()]
    expect(await outcome(api.get('s'))).toMatchObject({ status: 0 })
    vi.unstubAllGlobals()
  })
})

describe('a refusal', () => {
  test('says which steps are open', async () => {
    answers = [problem(409, 'not open', { open_steps: ['join', 'leave'] })]
    expect(await outcome(api.step('s', 'start'))).toMatchObject({
      status: 409,
      message: 'not open',
      openSteps: ['join', 'leave'],
    })
  })

  test('says what is wrong, and where', async () => {
    const errors = [{ detail: 'Field required', pointer: '/project' }]
    answers = [problem(422, '/project: Field required', { errors })]
    const told = await outcome(api.create({ project: '', test_cases: [] }))
    expect(told).toMatchObject({ status: 422, faults: errors })
  })

  test('that is no problem document says at least what it is', async () => {
    answers = [new Response('<html>', { status: 500, statusText: 'Internal Server Error' })]
    expect(await outcome(api.get('s'))).toMatchObject({
      message: 'the service answered 500 Internal Server Error: try again later',
    })
  })

  test('so does an answer that is no JSON: of a captive portal, it may be', async () => {
    answers = [new Response('<html>', { status: 200 })]
    expect(await outcome(api.get('s'))).toMatchObject({ message: expect.stringMatching(/no JSON/) })
  })
})

describe('a token', () => {
  const expired = () => problem(401, 'token-expired: get a new token and connect again')

  test('that has expired is renewed, once', async () => {
    tokens.onRefused = () => {
      tokens.token = 'token-2'
    }
    answers = [expired(), json({})]
    await outcome(api.step('s', 'start'))
    expect(tokens.refusals).toEqual(['token-1'])
    expect(asked.map((each) => each.headers.Authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ])
    expect(new Set(keys()).size).toBe(1)
    answers = [expired(), expired()]
    expect(await outcome(api.get('s'))).toMatchObject({ status: 401 })
  })

  test('that is bad otherwise is not', async () => {
    answers = [problem(401, 'the token was revoked')]
    expect(await outcome(api.get('s'))).toMatchObject({ status: 401 })
    expect(tokens.refusals).toEqual([])
  })

  test('that cannot be had is an ApiError too', async () => {
    tokens.failure = new Denied('sign in again')
    expect(await outcome(api.get('s'))).toMatchObject({ status: 401, message: 'sign in again' })
    tokens.failure = new Error('offline')
    expect(await outcome(api.get('s'))).toMatchObject({ status: 0 })
  })
})
