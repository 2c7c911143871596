// Random histories over a real server: raw sockets that lose their connection, come back, say things
// twice. What a newcomer then gets is compared with what npm yjs makes of the same updates.
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as prng from 'lib0/prng'
import { WebSocket } from 'ws'
import * as Y from 'yjs'
import { chance } from './edits.mjs'
import { play } from './histories.mjs'
import { Failure } from './failure.mjs'
import { changed, until, untilTrue } from './until.mjs'
import { ROOTS, bare, difference, same, view } from './view.mjs'

const SYNC = 0
const AUTH = 2
const SAVED = 102
const [STEP1, STEP2, UPDATE] = [0, 1, 2]

/**
 * Replay one history per seed, `tokens.length / 4` at a time: each lane has four tokens, one for each
 * author, so that the authors are different people.
 * @param {{url: string, rooms: string, seeds: number[], tokens: string[], within: number}} request
 */
export const replayAll = async ({ url, rooms, seeds, tokens, within }) => {
  const queue = [...seeds]
  const total = { histories: 0, updates: 0, drops: 0, repeats: 0, failures: [] }
  const lane = async (own) => {
    for (let seed = queue.shift(); seed !== undefined; seed = queue.shift()) {
      add(total, seed, await replay(seed, (index) => `${url}/${rooms}${seed}?token=${own[index]}`, within))
    }
  }
  await Promise.all(fours(tokens).map(lane))
  return total
}

const fours = (tokens) =>
  Array.from({ length: Math.floor(tokens.length / 4) }, (_, index) => tokens.slice(4 * index, 4 * index + 4))

const add = (total, seed, { updates, drops, repeats, failure }) => {
  total.histories += 1
  total.updates += updates
  total.drops += drops
  total.repeats += repeats
  if (failure !== null) total.failures.push(`seed ${seed}: ${failure}`)
}

/**
 * Even seeds: different people, each of whom gets the others' edits from the server before building on
 * them. Odd seeds: devices of one person that met elsewhere first, so that their edits reach the
 * server before those they are built upon.
 */
const replay = async (seed, address, within) => {
  const history = play(seed)
  const apart = seed % 2 === 1
  const replicas = history.authors.map(({ steps }, index) =>
    new Replica(address(apart ? 0 : index), chance(31 * seed + index), steps, apart, within))
  let failure = null
  try {
    await Promise.all(replicas.map((replica) => replica.run()))
    failure = await verdict(history, replicas, address(0), within)
  } catch (error) {
    failure = error instanceof Failure ? error.message : String(error.stack)
  }
  replicas.forEach((replica) => replica.hangUp())
  return { updates: history.log.length, failure, ...counted(replicas) }
}

const counted = (replicas) => ({
  drops: replicas.reduce((sum, { drops }) => sum + drops, 0),
  repeats: replicas.reduce((sum, { repeats }) => sum + repeats, 0)
})

const verdict = async (history, replicas, address, within) => {
  const judge = new Y.Doc()
  Y.applyUpdate(judge, Y.mergeUpdates([...history.log, ...replicas.flatMap(({ answers }) => answers)]))
  if (!same(bare(view(judge)), bare(history.state.roots))) return 'npm yjs contradicts itself'
  const doc = await newcomer(address, within)
  const missing = difference(doc, judge, ROOTS)
  if (missing !== null) return `a newcomer and npm yjs differ: ${missing}`
  await untilTrue(() => replicas.every((replica) => difference(replica.doc, judge, ROOTS, bare) === null), within,
    () => `replicas and npm yjs differ: ${replicas.map((replica) => difference(replica.doc, judge, ROOTS, bare))}`)
  return null
}

const newcomer = async (address, within) => {
  const replica = new Replica(address, chance(0), [], false, within)
  await replica.dial()
  await replica.until(() => replica.synced, 'no step2')
  replica.hangUp()
  return replica.doc
}

/** One author on a raw socket: what is sent, and when the line breaks, is his seed's to say. */
class Replica {
  constructor (address, gen, steps, apart, within) {
    Object.assign(this, { address, gen, steps, apart, within })
    this.doc = new Y.Doc()
    this.own = []
    this.seen = []
    this.answers = []
    this.drops = this.repeats = 0
  }

  async run () {
    await this.dial()
    for (const { kind, update } of this.steps) {
      if (kind === 'own') await this.tell(update)
      else await this.learn(update)
    }
    await this.barrier()
  }

  /** An edit of another author arrives: from elsewhere, or as it must, from the server. */
  async learn (update) {
    this.seen.push(update)
    if (this.apart) Y.applyUpdate(this.doc, update, 'elsewhere')
    else await this.until(() => covers(this.doc, update), 'an edit of another author never came')
  }

  async tell (update) {
    Y.applyUpdate(this.doc, update, 'own')
    this.own.push(update)
    this.sync(UPDATE, update)
    switch (prng.int31(this.gen, 0, 11)) {
      case 0: return this.repeat(this.own)
      case 1: return this.repeat(this.seen)
      case 2: return await this.drop(() => {})
      case 3: return await this.drop(() => this.startOver())
    }
  }

  /** Say again what was said: one's own, or, as y-indexeddb does after a reload, another's. */
  repeat (updates) {
    if (updates.length === 0) return
    this.repeats += 1
    this.sync(UPDATE, prng.oneOf(this.gen, updates))
  }

  /** The line breaks, with frames under way. Afterwards step1 and step2 heal it, or `then` does. */
  async drop (then) {
    this.drops += 1
    this.hangUp()
    await this.dial()
    then()
  }

  /** Send all of one's edits again, oldest first, instead of answering the server's step1. */
  startOver () {
    this.deaf = true
    this.own.forEach((update) => this.sync(UPDATE, update))
  }

  async dial () {
    const socket = new WebSocket(this.address)
    this.socket = socket
    this.lost = null
    this.synced = this.deaf = this.opened = false
    socket.on('open', () => { this.opened = true; changed() })
    socket.on('message', (data) => { if (this.socket === socket) this.receive(new Uint8Array(data)) })
    socket.on('error', () => {})
    socket.on('close', (code, reason) => { if (this.socket === socket) this.lose(`${code} ${reason}`) })
    await this.until(() => this.opened, 'the socket does not open')
    this.sync(STEP1, Y.encodeStateVector(this.doc))
  }

  lose (reason) {
    this.lost = reason
    changed()
  }

  hangUp () {
    const { socket } = this
    this.socket = null
    socket?.terminate()
  }

  receive (frame) {
    const decoder = decoding.createDecoder(frame)
    switch (decoding.readVarUint(decoder)) {
      case SYNC: this.receiveSync(decoding.readVarUint(decoder), decoding.readVarUint8Array(decoder)); break
      case AUTH: this.lose(`denied: ${decoding.readVarUint(decoder)} ${decoding.readVarString(decoder)}`); break
      case SAVED: this.saved = true
    }
    changed()
  }

  receiveSync (kind, payload) {
    if (kind === STEP1) return this.answer(payload)
    Y.applyUpdate(this.doc, payload, 'server')
    this.synced ||= kind === STEP2
  }

  answer (vector) {
    if (this.deaf) {
      this.deaf = false
      return
    }
    const update = Y.encodeStateAsUpdate(this.doc, vector)
    this.answers.push(update)
    this.sync(STEP2, update)
  }

  sync (kind, payload) {
    this.send(SYNC, (encoder) => {
      encoding.writeVarUint(encoder, kind)
      encoding.writeVarUint8Array(encoder, payload)
    })
  }

  async barrier () {
    this.saved = false
    this.send(SAVED, (encoder) => encoding.writeVarUint8Array(encoder, new Uint8Array([1])))
    await this.until(() => this.saved, 'no SAVED echo')
  }

  send (type, write) {
    const encoder = encoding.createEncoder()
    encoding.writeVarUint(encoder, type)
    write(encoder)
    this.socket.send(encoding.toUint8Array(encoder))
  }

  until (check, complaint) {
    return until(() => {
      if (this.lost !== null) throw new Failure(`the server hung up: ${this.lost}`)
      return check() || undefined
    }, this.within, () => complaint)
  }
}

/** Whether the document has all that an update brings, deletions aside. */
const covers = (doc, update) =>
  [...Y.parseUpdateMeta(update).to].every(([client, clock]) => Y.getState(doc.store, client) >= clock)
