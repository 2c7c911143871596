// The edits that a test can name, and the same vocabulary as pure chance.
import * as prng from 'lib0/prng'
import * as Y from 'yjs'
import { Failure } from './failure.mjs'
import { inward, root } from './view.mjs'

/**
 * Apply one edit `{do, root, path?, ...}`: `path` leads from the root to a nested type by map keys
 * and list indices.
 */
export const apply = (doc, roots, edit) => {
  const verb = VERBS[edit.do]
  if (verb === undefined) throw new Failure(`no such edit: ${edit.do}`)
  verb(target(doc, roots, edit), edit)
}

const target = (doc, roots, { root: name, path = [] }) => {
  if (roots[name] === undefined) throw new Failure(`no such root: ${name}`)
  const type = path.reduce((inside, step) => inside?.get?.(step), root(doc, name, roots[name]))
  if (type === undefined) throw new Failure(`nothing at ${name}/${path.join('/')}`)
  return type
}

const VERBS = {
  set: (map, { key, value }) => map.set(key, inward(value)),
  unset: (map, { key }) => map.delete(key),
  insert: (list, { index, values }) => list.insert(index, values.map(inward)),
  delete: (list, { index, length }) => list.delete(index, length),
  write: (text, { index, text: words, format }) => text.insert(index, words, format),
  embed: (text, { index, value, format }) => text.insertEmbed(index, inward(value), format),
  format: (text, { index, length, format }) => text.format(index, length, format),
  attribute: (element, { key, value }) =>
    value === null ? element.removeAttribute(key) : element.setAttribute(key, inward(value))
}

// ------------------------------------------------------------------------------------- by chance

export const WORDS = ['draft', 'ok', '', 'äöü', '🙂', '👩‍👩‍👧', '𝒳', 'a🙂b', 'long '.repeat(12), '\n', '汉字', 'e\u0301']
const KEYS = ['name', 'näme', '🙂', 'a/b', '', 'score', 'toString', 'key with space']
const FORMATS = [{ bold: true }, { bold: null }, { color: '#f00' }, { link: { href: '🙂' } }, { italic: true, bold: true }]

/** The generator of a seed: lib0's gives only zeros for the seed 0, and near seeds begin alike. */
export const chance = (seed) => {
  const gen = prng.create(Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1)
  for (let index = 0; index < 8; index++) gen.next()
  return gen
}

/**
 * One random edit somewhere in the document: any type that can be reached may be hit. Without
 * `formats` text stays plain: replicas of npm yjs clean up superfluous format marks on their own and
 * tell nobody, so that about one formatted history in 600 ends differently for two of them.
 */
export const editByChance = (gen, doc, roots, formats) => {
  const type = prng.oneOf(gen, reachable(doc, roots))
  if (type instanceof Y.XmlElement && prng.bool(gen)) return attributeByChance(gen, type)
  if (type instanceof Y.XmlFragment) return nodesByChance(gen, type)
  if (type instanceof Y.Text) return textByChance(gen, type, formats)
  if (type instanceof Y.Array) return listByChance(gen, type)
  return entryByChance(gen, type)
}

// Deep nests are another test's subject: here four levels are enough.
const reachable = (doc, roots) => {
  const found = []
  const visit = (type, depth) => {
    if (!(type instanceof Y.AbstractType) || depth > 4) return
    found.push(type)
    if (type instanceof Y.Text) return
    const inside = type instanceof Y.Map ? [...type.values()] : type.toArray()
    inside.forEach((inner) => visit(inner, depth + 1))
  }
  Object.entries(roots).forEach(([name, kind]) => visit(root(doc, name, kind), 1))
  return found
}

const entryByChance = (gen, map) => {
  const key = prng.oneOf(gen, KEYS)
  if (prng.int31(gen, 0, 4) === 0) map.delete(key)
  else map.set(key, prng.oneOf(gen, [...VALUES, ...MAP_VALUES])(gen))
}

const listByChance = (gen, list) => {
  if (prng.bool(gen) || list.length === 0) {
    const values = Array.from({ length: prng.int31(gen, 1, 3) }, () => prng.oneOf(gen, VALUES)(gen))
    list.insert(prng.int31(gen, 0, list.length), values)
  } else deleteByChance(gen, list)
}

const textByChance = (gen, text, formats) => {
  const [index, end] = rangeByChance(gen, text)
  switch (prng.int31(gen, 0, formats ? 7 : 5)) {
    case 0: case 1: return text.delete(index, end - index)
    case 2: return text.insertEmbed(index, { image: prng.word(gen) })
    case 6: return text.format(index, end - index, formatByChance(gen))
    case 7: return text.insert(index, prng.oneOf(gen, WORDS), formatByChance(gen))
    default: return text.insert(index, prng.oneOf(gen, WORDS) + prng.word(gen, 0, 3))
  }
}

// A copy: Yjs adds to the formats that it is handed.
const formatByChance = (gen) => ({ ...prng.oneOf(gen, FORMATS) })

const rangeByChance = (gen, text) => {
  const units = unitsOf(text.toDelta())
  const index = prng.int31(gen, 0, units.length)
  return [whole(units, index), whole(units, Math.min(units.length, index + prng.int31(gen, 1, 5)))]
}

/** A delta as a string of as many UTF-16 units as it is long. */
export const unitsOf = (delta) =>
  delta.map(({ insert }) => typeof insert === 'string' ? insert : '\ufffc').join('')

/**
 * An index that is not inside a surrogate pair. Split one, and npm's own replicas come to differ:
 * who had to split the item sees two U+FFFD, who had not still sees the emoji.
 */
export const whole = (units, index) => /[\udc00-\udfff]/.test(units[index] ?? '') ? index - 1 : index

const nodesByChance = (gen, parent) => {
  if (parent.length > 0 && prng.int31(gen, 0, 2) === 0) return deleteByChance(gen, parent)
  const node = prng.bool(gen) ? new Y.XmlElement(prng.oneOf(gen, ['p', 'li', 'h1'])) : new Y.XmlText(prng.word(gen))
  parent.insert(prng.int31(gen, 0, parent.length), [node])
}

const attributeByChance = (gen, element) => {
  const key = prng.oneOf(gen, ['id', 'class', '🙂'])
  if (prng.int31(gen, 0, 3) === 0) element.removeAttribute(key)
  else element.setAttribute(key, prng.oneOf(gen, WORDS))
}

const deleteByChance = (gen, list) => {
  if (list.length === 0) return
  const index = prng.int31(gen, 0, list.length - 1)
  list.delete(index, prng.int31(gen, 1, Math.min(4, list.length - index)))
}

// A Y.Map takes these bare, a Y.Array only inside a plain list or object. The bigints are such as no
// float can hold: yrs turns the others into numbers.
const MAP_VALUES = [
  () => undefined,
  (gen) => 2n ** 53n + 2n * BigInt(prng.int31(gen, 0, 1e9)) + 1n
]

const VALUES = [
  () => null,
  (gen) => [prng.oneOf(gen, MAP_VALUES)(gen)],
  (gen) => prng.bool(gen),
  (gen) => prng.int53(gen, -1e15, 1e15),
  (gen) => prng.real53(gen),
  (gen) => prng.oneOf(gen, WORDS),
  (gen) => prng.uint8Array(gen, prng.int31(gen, 0, 20)),
  (gen) => ({ [prng.oneOf(gen, KEYS)]: [prng.word(gen), null, { deep: [[]] }] }),
  (gen) => new Y.Map([['in', prng.word(gen)]]),
  (gen) => Y.Array.from([prng.int31(gen, 0, 9), prng.oneOf(gen, WORDS)]),
  (gen) => new Y.Text(prng.oneOf(gen, WORDS)),
  (gen) => new Y.Doc({ guid: prng.word(gen, 8, 8) })
]
