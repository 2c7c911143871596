// Many stock clients in one process, driven by JSON lines: see lib/client.mjs and lib/session.mjs for
// what one can do, tests/support/node.py and node_session.py for the other end of the pipe.
import { Client, now } from './lib/client.mjs'
import { Failure } from './lib/failure.mjs'
import { say, serve } from './lib/lines.mjs'
import { replayAll } from './lib/replay.mjs'
import { Session } from './lib/session.mjs'
import { untilTrue } from './lib/until.mjs'
import { brief, bytes, difference, same, view } from './lib/view.mjs'

process.setMaxListeners(0) // every provider listens for the exit of the process

/** @type {Map<string, Client>} */
const clients = new Map()

const find = (name) => {
  const client = clients.get(name)
  if (client === undefined) throw new Failure(`no such client: ${name}`)
  return client
}

/** A command on one client. */
const on = (action) => (request) => action(find(request.client), request)

const open = (request) => {
  if (clients.has(request.client)) throw new Failure(`client ${request.client} is open already`)
  const client = new Client(request, say)
  clients.set(request.client, client)
  return client.open()
}

const close = async (client) => {
  clients.delete(client.options.client)
  await client.close()
}

/** @type {Map<string, Session>} */
const sessions = new Map()

const enter = (request) => { sessions.set(request.name, new Session(request)) }

const leave = (session) => {
  sessions.delete(session.name)
  session.drop()
}

/** A command on somebody's session. */
const inside = (action) => (request) => {
  const session = sessions.get(request.name)
  if (session === undefined) throw new Failure(`no such session: ${request.name}`)
  return action(session, request)
}

const waitSynced = (client, { within }) =>
  untilTrue(() => client.provider.synced, within, () =>
    `${client.options.client} is not synced (connected: ${client.provider.wsconnected}, ` +
    `connections so far: ${client.counts.connections})`)

const waitConnected = (client, { connected, within }) =>
  untilTrue(() => client.provider.wsconnected === connected, within, () =>
    `${client.options.client} is ${connected ? 'not ' : 'still '}connected`)

/** All documents hold the same, and nothing waits for a missing update. */
const waitEqual = async ({ clients: names, within }) => {
  const [first, ...others] = names.map(find)
  const unequal = () => {
    for (const other of others) {
      const where = difference(first.doc, other.doc, first.roots)
      if (where !== null) return `${first.options.client} and ${other.options.client} differ: ${where}`
    }
    return null
  }
  await untilTrue(() => unequal() === null, within, unequal)
  return first.state()
}

/** The named roots of one client look as given. */
const waitState = async (client, { roots, within }) => {
  const seen = () => Object.fromEntries(Object.keys(roots).map((name) => [name, view(client.doc, client.roots)[name]]))
  await untilTrue(() => same(sortedKeys(seen()), sortedKeys(roots)), within, () =>
    `${client.options.client} has ${brief(seen())} instead of ${brief(roots)}`)
  return client.state()
}

const sortedKeys = (value) => {
  if (Array.isArray(value)) return value.map(sortedKeys)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sortedKeys(value[key])]))
}

/**
 * One client sees these client ids, or does not; with `state`, that is what they show. Resolves with
 * the time on this process's clock.
 */
const waitPresence = async (client, { ids, present, state, within }) => {
  const states = client.provider.awareness.getStates()
  const shown = (id) => state === undefined || same(sortedKeys(states.get(id)), sortedKeys(state))
  await untilTrue(() => ids.every((id) => states.has(id) === present && shown(id)), within, () =>
    `${client.options.client} sees ${brief(presence(client))}, asked for ${ids} ` +
    (present ? `there${state === undefined ? '' : ` with ${brief(state)}`}` : 'gone'))
  return { at: now() }
}

const presence = (client) =>
  Object.fromEntries([...client.provider.awareness.getStates()].map(([id, state]) => [String(id), state]))

const commands = {
  open,
  close: on(close),
  reload: on((client, { connect }) => client.reload(connect)),
  connect: on((client) => client.connect()),
  disconnect: on((client) => client.disconnect()),
  drop: on((client, { stay }) => client.drop(stay)),
  pause: on((client, { paused }) => client.pause(paused)),
  send: on((client, { frames }) => frames.forEach((frame) => client.send(bytes(frame)))),
  adopt: on((client, { updates }) => client.adopt(updates.map(bytes))),
  params: on((client, { params }) => Object.assign(client.provider.params, params)),
  edit: on((client, { edits, together }) => client.edit(edits, together)),
  random: on((client, { seed, count, formats }) => client.random(seed, count, formats)),
  state: on((client) => client.state()),
  counts: on((client) => client.counts),
  presence: on(presence),
  setPresence: on((client, { state }) => client.provider.awareness.setLocalState(state)),
  waitSynced: on(waitSynced),
  waitConnected: on(waitConnected),
  waitSaved: on((client, { within }) => client.saved(within)),
  waitState: on(waitState),
  waitPresence: on(waitPresence),
  waitEqual,
  replay: replayAll,
  'session.enter': enter,
  'session.leave': inside(leave),
  'session.http': inside((session, request) => session.http(request)),
  'session.history': inside((session) => session.history()),
  'session.stream': inside((session, request) => session.stream(request)),
  'session.subscribe': inside((session, request) => session.subscribe(request)),
  'session.publish': inside((session, request) => session.publish(request)),
  'session.acknowledge': inside((session, request) => session.acknowledge(request)),
  'session.event': inside((session, request) => session.event(request)),
  'session.events': inside((session) => session.events),
  'session.replay': inside((session, request) => session.replay(request)),
  'session.ended': inside((session, request) => session.ended(request)),
  'session.drop': inside((session) => session.drop()),
  now: () => ({ at: now() })
}

await serve(commands, async () => {
  sessions.forEach(leave)
  await Promise.all([...clients.values()].map((client) => client.close()))
})
