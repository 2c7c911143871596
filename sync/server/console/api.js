/**
 * The service, as the console asks it: with the administrator's token, and errors in words.
 *
 * The token lies in this tab's session storage and nowhere else. It goes out as a header only, so
 * that no address and no log has it.
 */

const KEY = 'draftsync-console-token'
const BASE = '/api/v1'
const PATIENCE_SECONDS = 15
/** That an answer may take for which the whole history of a document is replayed. */
export const REPLAY_SECONDS = 60
const SILENCE_SECONDS = 40 // of a stream, in which a comment comes every 15 s: it is dead
const AWAY = new Set([502, 503, 504]) // of the service, or of a proxy before it

/** The service refused: `status`, and why in its own words. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail)
    this.status = status
  }
}

/** The service does not answer, or says that it cannot now: worth another try. */
export class Away extends Error {}

export const token = {
  read: () => sessionStorage.getItem(KEY),
  keep: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
}

/** What a token says of itself, unchecked: for the page to show. Null for what is none. */
export function claims(text) {
  try {
    const part = text.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')
    const letters = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(letters))
  } catch {
    return null
  }
}

let onSignedOut = () => {}
/** Who is told when the service takes the token no longer; given why. */
export const whenSignedOut = (told) => {
  onSignedOut = told
}

/**
 * Ask below /api/v1; answer with the response, whatever 2xx or 304 it is, when all of it is here.
 * `patience`: seconds that it may take. Throws Refused, Away, and what an aborted signal says.
 */
export async function ask(path, { method = 'GET', body, headers = {}, signal, as, patience = PATIENCE_SECONDS } = {}) {
  const given = as ?? token.read()
  const sent = { Authorization: `Bearer ${given}`, ...headers }
  if (body !== undefined) sent['Content-Type'] = 'application/json'
  const late = AbortSignal.timeout(patience * 1_000)
  let answer
  let content
  try {
    answer = await fetch(BASE + path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, late]) : late,
      cache: 'no-store',
      credentials: 'omit',
    })
    content = await answer.blob() // it may die in the middle of an answer
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Away(late.aborted ? `it does not answer within ${patience} s` : 'it cannot be reached')
  }
  const whole = new Response(content.size ? content : null, answer)
  if (answer.ok || answer.status === 304) return whole
  const detail = await told(whole)
  if (AWAY.has(answer.status)) throw new Away(detail)
  if (answer.status === 401 && as === undefined && token.read() === given) onSignedOut(detail)
  throw new Refused(answer.status, detail)
}

async function told(answer) {
  try {
    const problem = await answer.json()
    const faults = (problem.errors ?? []).map((each) => each.detail)
    return [problem.detail ?? problem.title, ...faults].join('; ')
  } catch {
    return `it answered ${answer.status}`
  }
}

/** The JSON of an answer; null for one without a body. */
export async function read(path, options) {
  const answer = await ask(path, options)
  if (answer.status === 204) return null
  try {
    return await answer.json()
  } catch {
    throw new Away('what answers is not the service') // but a proxy, or a page of a network's
  }
}

/** A path of names and numbers: each is encoded, slashes within names too. */
export const path = (...parts) => parts.map((part) => `/${encodeURIComponent(part)}`).join('')

/** `?a=1&b=2` of what is neither empty nor null; nothing of nothing. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '')
  return given.length ? `?${new URLSearchParams(given)}` : ''
}

/**
 * Follow a session's log as server-sent events, until the signal ends it: `take` is given each
 * message's event name and data. Returns when the stream ends; throws as `ask` does.
 */
export async function stream(path, take, signal) {
  const silent = new AbortController()
  let watch
  const heard = () => {
    clearTimeout(watch)
    watch = setTimeout(() => silent.abort(), SILENCE_SECONDS * 1_000)
  }
  const broken = (error) => {
    throw signal.aborted ? error : new Away('the connection broke off')
  }
  heard()
  try {
    const answer = await fetch(BASE + path, {
      headers: { Authorization: `Bearer ${token.read()}`, Accept: 'text/event-stream' },
      signal: AbortSignal.any([signal, silent.signal]),
      cache: 'no-store',
      credentials: 'omit',
    }).catch(broken)
    if (!answer.ok) {
      const detail = await told(answer)
      throw AWAY.has(answer.status) ? new Away(detail) : new Refused(answer.status, detail)
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let waiting = ''
    for (;;) {
      const part = await reader.read().catch(broken)
      if (part.done) return
      heard()
      const messages = (waiting + part.value).split('\n\n')
      waiting = messages.pop()
      messages.forEach((message) => give(message, take))
    }
  } finally {
    clearTimeout(watch)
  }
}

function give(message, take) {
  const fields = Object.fromEntries(
    message.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  )
  if (fields.data) take(fields.event ?? 'message', JSON.parse(fields.data))
}

/** Give the reader a file. */
export function save(name, blob) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
