// One person in a session: HTTP by fetch, events over the WebSocket channel and as server-sent events.
import { WebSocket } from 'ws'
import { Failure } from './failure.mjs'
import { changed, until, untilTrue } from './until.mjs'

const PAGE = 3 // so that a short history has pages, too

export class Session {
  /** @param {{name: string, url: string, session: string, token: string}} options `url`: of the service, http */
  constructor ({ name, url, session, token }) {
    Object.assign(this, { name, url, session, token })
    this.socket = null
    this.forget()
  }

  /** Know nothing of the log any more. */
  forget () {
    this.events = []
    this.answers = new Map()
    this.errors = []
    this.subscribed = null
    this.closed = null
  }

  // ---------------------------------------------------------------------------------------- HTTP

  /** One request; `path` follows the session's own. */
  async http ({ method = 'GET', path = '', body, headers = {} }) {
    const response = await this.#fetch(path, {
      method, headers: { ...headers, ...json(body) }, body: body === undefined ? undefined : JSON.stringify(body)
    })
    const type = response.headers.get('content-type')
    return { status: response.status, type, body: type?.includes('json') ? await response.json() : null }
  }

  #fetch (path, { headers = {}, ...options } = {}) {
    return fetch(`${this.url}/api/v1/sessions/${this.session}${path}`, {
      ...options, headers: { authorization: `Bearer ${this.token}`, ...headers }
    })
  }

  /** The whole log, page by page. */
  async history () {
    const found = []
    for (;;) {
      const { status, body } = await this.http({ path: `/events?after=${found.length}&limit=${PAGE}` })
      if (status !== 200) throw new Failure(`history: ${status} ${JSON.stringify(body)}`)
      if (body.events.length === 0) return found
      found.push(...body.events)
    }
  }

  /**
   * The log up to `top` as an EventSource gets it: from the beginning, or, as one that comes back,
   * from behind the message with the id `last`. Resolves with the events and the id of the last.
   */
  async stream ({ last, top, within }) {
    const signal = AbortSignal.timeout(within * 1000)
    const headers = { accept: 'text/event-stream', ...(last === null ? {} : { 'last-event-id': last }) }
    const response = await this.#fetch('/events?after=0', { headers, signal })
    if (response.status !== 200) throw new Failure(`stream: ${response.status} ${await response.text()}`)
    const events = []
    for await (const { id, event, data } of messages(response.body)) {
      if (event !== undefined) continue // `subscribed`, for example, which onmessage does not see
      events.push(JSON.parse(data))
      if (events.at(-1).offset >= top) return { events, last: id } // and the request is cancelled
    }
    throw new Failure(`the stream has ended behind ${JSON.stringify(events).slice(-400)}`)
  }

  // ------------------------------------------------------------------------------------- WebSocket

  /** Connect and subscribe, by `from` (`{epoch, after}`) or to what comes next; resolves with the answer. */
  async subscribe ({ from = {}, within }) {
    this.subscribed = this.closed = null
    const token = encodeURIComponent(this.token)
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/sessions/${this.session}/events?token=${token}`)
    this.socket = socket
    socket.on('open', () => this.#send({ type: 'subscribe', ...from }))
    socket.on('message', (data, binary) => this.#take(data, binary))
    socket.on('error', (error) => this.errors.push({ code: 'socket', message: String(error) }))
    socket.on('close', (code, reason) => {
      if (this.socket === socket) this.closed = { code, reason: String(reason) }
      changed()
    })
    return await this.#until(() => this.subscribed ?? undefined, within, 'no answer to subscribe')
  }

  #send (message) {
    if (this.socket === null) throw new Failure(`${this.name} has not subscribed`)
    this.socket.send(JSON.stringify(message))
  }

  #take (data, binary) {
    const message = binary ? { type: 'binary' } : JSON.parse(data)
    switch (message.type) {
      case 'subscribed': this.subscribed = message; break
      case 'event': this.events.push(message); break
      case 'published': this.answers.set(message.id, message.offset); break
      case 'ping': this.#send({ type: 'pong' }); break
      case 'error': this.errors.push(message); break
      default: this.errors.push({ code: 'unknown', message: `no such message: ${message.type}` })
    }
    changed()
  }

  /** Publish, and resolve with the offset once the event is on disk. */
  async publish ({ event: id = crypto.randomUUID(), kind, data, within }) {
    this.answers.delete(id)
    this.#send({ type: 'publish', id, kind, data })
    return { id, offset: await this.#until(() => this.answers.get(id), within, `${kind} was not published`) }
  }

  /** Tell that everything up to `offset` has come. */
  acknowledge ({ offset }) {
    this.#send({ type: 'ack', offset })
  }

  /** The first event with these members, once it has come. */
  async event ({ like, within }) {
    const wanted = Object.entries(like)
    const fits = (event) => wanted.every(([key, value]) => event[key] === value)
    return await this.#until(() => this.events.find(fits), within, `no event like ${JSON.stringify(like)}`)
  }

  /** The log from 1 up to `top`, by a channel that resumes from the very beginning. */
  async replay ({ epoch, top, within }) {
    this.drop()
    this.forget()
    await this.subscribe({ from: { epoch, after: 0 }, within })
    await this.#until(() => this.events.length >= top || undefined, within, `not ${top} events`)
    return this.events
  }

  #until (check, within, complaint) {
    return until(() => {
      const found = check()
      if (found === undefined && this.errors.length > 0) throw new Failure(JSON.stringify(this.errors))
      if (found === undefined && this.closed !== null) throw new Failure(`closed: ${JSON.stringify(this.closed)}`)
      return found
    }, within, () => `${this.name}: ${complaint}; events: ${JSON.stringify(this.events).slice(-400)}`)
  }

  /** How the server ended the channel. */
  async ended ({ within }) {
    await untilTrue(() => this.closed !== null, within, () => `${this.name}: the channel is open`)
    return this.closed
  }

  /** Lose the network: no close frame. */
  drop () {
    this.socket?.terminate()
    this.socket = null
  }
}

const json = (body) => body === undefined ? {} : { 'content-type': 'application/json' }

/** Messages of a stream of server-sent events; comments are passed over. */
async function * messages (body) {
  let rest = ''
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).replaceAll('\r\n', '\n').split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) {
      const message = fields(block)
      if (message.data !== undefined) yield message
    }
  }
}

const fields = (block) => Object.fromEntries(block.split('\n').map((line) => {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]
}))
