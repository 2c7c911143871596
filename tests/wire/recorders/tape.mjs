// Writes down what replicas of one document would send to a server, in the order of arrival.
import * as Y from 'yjs'
import { ROOTS, base64, pending } from '../lib/view.mjs'

export class Tape {
  /**
   * @param {string} name
   * @param {string} about what is special about this traffic
   * @param {Record<string, string>} [roots]
   */
  constructor (name, about, roots = ROOTS) {
    Object.assign(this, { name, about, roots, updates: [], docs: new Map() })
  }

  /** A replica that is connected: everyone gets at once what it makes. */
  join (clientID, options = {}) {
    const doc = new Y.Doc(options)
    doc.clientID = clientID
    this.adopt(doc)
    return doc
  }

  adopt (doc) {
    this.docs.set(doc, { online: true, unsent: [], position: 0 })
    doc.on('update', (update, origin) => { if (origin !== this) this.#made(doc, update) })
    this.#deliver(doc)
  }

  leave (doc) {
    this.docs.delete(doc)
  }

  /** Cut a replica off; what it makes from now on waits. */
  offline (doc) {
    this.docs.get(doc).online = false
  }

  online (doc) {
    const line = this.docs.get(doc)
    line.online = true
    line.unsent.splice(0).forEach((update) => this.write(update))
    this.#deliver(doc)
  }

  /** An update arrives at the server, whoever sent it. */
  write (update) {
    this.updates.push(update)
    for (const doc of this.docs.keys()) this.#deliver(doc)
  }

  #made (doc, update) {
    const line = this.docs.get(doc)
    if (line === undefined) return
    if (line.online) this.write(update)
    else line.unsent.push(update)
  }

  // Edits that an editor makes while it takes in another's come on top, so a position is kept.
  #deliver (doc) {
    const line = this.docs.get(doc)
    while (line.online && line.position < this.updates.length) {
      Y.applyUpdate(doc, this.updates[line.position++], this)
    }
  }

  /** The recording as JSON, once it is sure that everyone has everything. */
  finish () {
    const judge = new Y.Doc()
    this.updates.forEach((update) => Y.applyUpdate(judge, update))
    const vector = base64(Y.encodeStateVector(judge))
    const lacking = [judge, ...this.docs.keys()].filter((doc) =>
      pending(doc) || base64(Y.encodeStateVector(doc)) !== vector)
    if (lacking.length > 0) throw new Error(`${this.name}: ${lacking.length} replicas lack something`)
    return { about: this.about, roots: this.roots, vector, updates: this.updates.map(base64) }
  }
}
