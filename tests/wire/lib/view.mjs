// What a document says, as plain JSON: comparable, readable, and strict about types.
import * as Y from 'yjs'

export const base64 = (bytes) => Buffer.from(bytes).toString('base64')
export const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'))

/** The roots of every test document unless it says otherwise, and the type of each. */
export const ROOTS = { map: 'map', text: 'text', array: 'array', xml: 'xml' }

/** The shared type `name` of `doc`, as the type that `kind` names. */
export const root = (doc, name, kind) => {
  switch (kind) {
    case 'map': return doc.getMap(name)
    case 'text': return doc.getText(name)
    case 'array': return doc.getArray(name)
    case 'xml': return doc.getXmlFragment(name)
    case 'xmltext': return doc.get(name, Y.XmlText)
    case 'xmlelement': return doc.get(name, Y.XmlElement)
    default: throw new Error(`no such kind of root: ${kind}`)
  }
}

/** All roots as JSON. Shared types carry a tag, so that a Y.Map never equals a plain object. */
export const view = (doc, roots = ROOTS) =>
  Object.fromEntries(Object.entries(roots).map(([name, kind]) => [name, content(root(doc, name, kind))]))

/** The inside of a shared type: an object, a list or a delta. */
const content = (type) => {
  if (type instanceof Y.XmlElement) return element(type)
  if (type instanceof Y.XmlFragment) return type.toArray().map(outward)
  if (type instanceof Y.Text) return delta(type)
  if (type instanceof Y.Array) return type.toArray().map(outward)
  return sorted([...type.entries()].map(([key, value]) => [key, outward(value)]))
}

const element = (type) => ({
  name: type.nodeName,
  attributes: sorted(Object.entries(type.getAttributes()).map(([key, value]) => [key, outward(value)])),
  children: type.toArray().map(outward)
})

/** One value as JSON: what JSON cannot say has a tag. */
export const outward = (value) => {
  if (value instanceof Y.AbstractType) return { [tag(value)]: content(value) }
  if (value instanceof Y.Doc) return { $doc: value.guid }
  if (value instanceof Uint8Array) return { $bytes: base64(value) }
  if (value === undefined) return { $undefined: true }
  if (typeof value === 'bigint') return { $bigint: String(value) }
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $number: String(value) }
  if (Array.isArray(value)) return value.map(outward)
  if (value !== null && typeof value === 'object') {
    return sorted(Object.entries(value).map(([key, inner]) => [key, outward(inner)]))
  }
  return value
}

const tag = (type) => {
  if (type instanceof Y.XmlElement) return '$element'
  if (type instanceof Y.XmlFragment) return '$fragment'
  if (type instanceof Y.XmlText) return '$xmltext'
  if (type instanceof Y.Text) return '$text'
  if (type instanceof Y.Array) return '$array'
  return '$map'
}

/** The other way: JSON with tags to a value that can be put into a document. */
export const inward = (json) => {
  if (Array.isArray(json)) return json.map(inward)
  if (json === null || typeof json !== 'object') return json
  const [key, inner] = Object.entries(json)[0] ?? ['', null]
  switch (key) {
    case '$map': return new Y.Map(Object.entries(inner).map(([name, value]) => [name, inward(value)]))
    case '$array': return Y.Array.from(inner.map(inward))
    case '$text': return withDelta(new Y.Text(), inner)
    case '$xmltext': return withDelta(new Y.XmlText(), inner)
    case '$element': return newElement(inner)
    case '$doc': return new Y.Doc({ guid: inner })
    case '$bytes': return bytes(inner)
    case '$undefined': return undefined
    case '$bigint': return BigInt(inner)
    case '$number': return Number(inner)
    default: return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, inward(value)]))
  }
}

const withDelta = (type, delta) => {
  type.applyDelta(typeof delta === 'string' ? [{ insert: delta }] : inward(delta), { sanitize: false })
  return type
}

const newElement = ({ name, attributes = {}, children = [] }) => {
  const type = new Y.XmlElement(name)
  for (const [key, value] of Object.entries(attributes)) type.setAttribute(key, inward(value))
  type.insert(0, children.map(inward))
  return type
}

// Replicas may keep different superfluous format marks, which split runs: join runs that look alike.
const delta = (type) => {
  const runs = []
  for (const { insert, attributes = {} } of type.toDelta()) {
    const run = { insert: typeof insert === 'string' ? insert : { $embed: outward(insert) } }
    if (Object.keys(attributes).length > 0) run.attributes = outward(attributes)
    const last = runs.at(-1)
    if (last !== undefined && joinable(last, run)) last.insert += run.insert
    else runs.push(run)
  }
  return runs
}

const joinable = (one, other) =>
  typeof one.insert === 'string' && typeof other.insert === 'string' &&
  same(one.attributes, other.attributes)

const sorted = (entries) =>
  Object.fromEntries(entries.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)))

/** Whether two values from `view` are equal. Keys are sorted, so their text decides. */
export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other)

/** Whether something waits for an update that never came. */
export const pending = (doc) => doc.store.pendingStructs !== null || doc.store.pendingDs !== null

/** Everything that a test compares. */
export const stateOf = (doc, roots) => ({
  roots: view(doc, roots),
  vector: base64(Y.encodeStateVector(doc)),
  update: base64(Y.encodeStateAsUpdate(doc)),
  pending: pending(doc)
})

/** Where two documents differ, in words, or null; `look` may leave out what does not count. */
export const difference = (one, other, roots, look = (seen) => seen) => {
  if (pending(one) || pending(other)) return 'an update waits for one that never came'
  const vectors = [one, other].map((doc) => Object.fromEntries(Y.decodeStateVector(Y.encodeStateVector(doc))))
  if (!same(vectors[0], vectors[1])) {
    return `state vectors ${JSON.stringify(vectors[0])} and ${JSON.stringify(vectors[1])}`
  }
  for (const [name, kind] of Object.entries(roots)) {
    const [here, there] = [one, other].map((doc) => look(content(root(doc, name, kind))))
    if (!same(here, there)) return `root ${name}: ${brief(here)} and ${brief(there)}`
  }
  return null
}

/** A view without the formats of text, on which replicas of npm yjs do not always agree. */
export const bare = (value) => {
  if (Array.isArray(value)) return value.some((run) => run?.insert !== undefined) ? words(value) : value.map(bare)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bare(inner)]))
}

const words = (runs) => runs.map(({ insert }) => typeof insert === 'string' ? insert : JSON.stringify(insert)).join('')

export const brief = (value, length = 400) => {
  const text = JSON.stringify(value)
  return text.length > length ? `${text.slice(0, length)}… (${text.length} characters)` : text
}
