// Random histories: several people edit one document, now and then offline, all from one seed.
import * as prng from 'lib0/prng'
import * as Y from 'yjs'
import { chance, editByChance } from './edits.mjs'
import { ROOTS, base64, bytes, difference, root, stateOf } from './view.mjs'

/**
 * @typedef {{kind: 'own' | 'seen', update: Uint8Array}} Step  an edit of one's own, or one that arrived
 * @typedef {{seed: number, authors: {clientID: number, steps: Step[]}[], log: Uint8Array[],
 *   state: object}} History  `log` is the order of delivery: each author's edits in their order
 */

/**
 * Play one history. The network is one log: an author who is online has appended all of his edits to
 * it and reads on in it; offline, he does neither. A history in which npm's own replicas disagree
 * (see `editByChance`) could accuse nobody, so another is drawn from the same seed.
 * @param {number} seed
 * @param {{authors?: number, edits?: number, formats?: boolean}} size
 * @returns {History}
 */
export const play = (seed, size = {}) => {
  for (let draw = 0; ; draw++) {
    const { authors, log } = drawn(chance(seed + draw * 1e6), size)
    const [first, ...others] = authors.map(({ doc }) => doc)
    if (others.some((other) => difference(first, other, ROOTS) !== null)) continue
    return { seed, authors: authors.map(trace), log, state: stateOf(first, ROOTS) }
  }
}

const drawn = (gen, { authors: count, edits, formats = true }) => {
  const log = []
  const ids = distinctIDs(gen, count ?? prng.int31(gen, 2, 4))
  const authors = ids.map((id) => new Author(gen, id, log, formats))
  const total = edits ?? prng.int31(gen, 10, 60)
  for (let index = 0; index < total; index++) prng.oneOf(gen, authors).act()
  for (const author of authors) author.goOnline()
  for (const author of authors) author.read(log.length)
  return { authors, log: log.map(({ update }) => update) }
}

const distinctIDs = (gen, count) => {
  const ids = new Set()
  while (ids.size < count) ids.add(prng.uint32(gen, 1, 2 ** 32 - 1))
  return [...ids]
}

const trace = ({ doc, steps }) => ({ clientID: doc.clientID, steps })

class Author {
  constructor (gen, clientID, log, formats) {
    Object.assign(this, { gen, log, formats, position: 0, online: true, unsent: [], steps: [] })
    this.doc = new Y.Doc()
    this.doc.clientID = clientID
    this.doc.on('update', (update, origin) => { if (origin !== 'log') this.#made(update) })
    const types = Object.entries(ROOTS).map(([name, kind]) => root(this.doc, name, kind))
    this.undo = new Y.UndoManager(types, { captureTimeout: 0 })
  }

  #made (update) {
    this.steps.push({ kind: 'own', update })
    if (this.online) this.log.push({ author: this, update })
    else this.unsent.push({ author: this, update })
  }

  act () {
    const dice = prng.int31(this.gen, 0, 19)
    if (dice === 0) this.online = false
    else if (dice === 1) this.goOnline()
    else if (dice === 2) this.undo.undo()
    else if (dice === 3) this.undo.redo()
    else this.edit()
    if (this.online) this.read(prng.int31(this.gen, this.position, this.log.length))
  }

  edit () {
    const count = prng.int31(this.gen, 1, 3)
    this.doc.transact(() => {
      for (let index = 0; index < count; index++) editByChance(this.gen, this.doc, ROOTS, this.formats)
    })
  }

  goOnline () {
    this.online = true
    this.log.push(...this.unsent.splice(0))
  }

  read (end) {
    for (; this.position < end; this.position++) {
      const { author, update } = this.log[this.position]
      if (author === this) continue
      this.steps.push({ kind: 'seen', update })
      Y.applyUpdate(this.doc, update, 'log')
    }
  }
}

/** A history as JSON, updates in base64. */
export const encoded = ({ seed, authors, log, state }) => ({
  seed,
  authors: authors.map(({ clientID, steps }) => ({
    clientID,
    steps: steps.map(({ kind, update }) => ({ kind, update: base64(update) }))
  })),
  log: log.map(base64),
  state
})

/** What npm yjs makes of updates in the given order. */
export const merged = (updates, roots = ROOTS) => {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, typeof update === 'string' ? bytes(update) : update)
  return stateOf(doc, roots)
}
