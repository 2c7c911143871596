// What applications, y-indexeddb and Yjs itself send: one tape for each thing worth its own.
import { IDBKeyRange, indexedDB } from 'fake-indexeddb'
import * as prng from 'lib0/prng'
import { IndexeddbPersistence } from 'y-indexeddb'
import * as Y from 'yjs'
import { chance } from '../lib/edits.mjs'
import { play } from '../lib/histories.mjs'
import { Tape } from './tape.mjs'

Object.assign(globalThis, { IDBKeyRange, indexedDB }) // where y-indexeddb looks for them

export const record = async () => [
  form(), undo(), garbage(), values(), bigints(), surrogates(), paste(), ...subdocuments(),
  skips(), diffs(), ...histories(), await indexeddb()
]

const type = (text, index, words) => {
  let at = index
  for (const character of words) {
    text.insert(at, character)
    at += character.length
  }
}

/** Two evaluators fill in one form: scores and choices in nested maps, comments letter by letter. */
const form = () => {
  const tape = new Tape('form', 'an evaluation form: nested maps, scores set again and again, comments typed by two')
  const [a, b] = [401, 402].map((id) => tape.join(id))
  for (let number = 0; number < 12; number++) {
    const [one, other] = number % 2 ? [a, b] : [b, a]
    one.transact(() => one.getMap('map').set(`frage ${number} 🙂`, new Y.Map([['comment', new Y.Text()], ['tags', new Y.Array()]])))
    const answers = [one, other].map((doc) => doc.getMap('map').get(`frage ${number} 🙂`))
    for (const score of [1, 3, 4.5, 5]) answers[score % 2 ? 0 : 1].set('score', score)
    if (number % 4 === 3) [a, b].forEach((doc) => tape.offline(doc))
    type(answers[0].get('comment'), 0, 'Sachlich richtig, Quelle fehlt. 👍🏽')
    type(answers[1].get('comment'), 0, 'Agrees: ')
    answers[1].get('tags').push(['hallucination', { severity: number }])
    ;[b, a].forEach((doc) => tape.online(doc))
  }
  return tape
}

const undo = () => {
  const tape = new Tape('undo', 'Y.UndoManager of two people over each other: text with formats, map, array')
  const people = [411, 412].map((id) => {
    const doc = tape.join(id)
    const types = [doc.getText('text'), doc.getMap('map'), doc.getArray('array')]
    return { doc, manager: new Y.UndoManager(types, { captureTimeout: 0 }) }
  })
  const gen = chance(41)
  for (let turn = 0; turn < 200; turn++) {
    const { doc, manager } = prng.oneOf(gen, people)
    const text = doc.getText('text')
    switch (prng.int31(gen, 0, 7)) {
      case 0: case 1: manager.undo(); break
      case 2: manager.redo(); break
      case 3: doc.getMap('map').set(prng.word(gen, 1, 1), prng.int31(gen, 0, 9)); break
      case 4: doc.getArray('array').insert(0, [turn]); break
      case 5: text.format(0, Math.min(text.length, 4), { bold: true }); break
      case 6: text.delete(0, Math.min(text.length, 3)); break
      default: text.insert(prng.int31(gen, 0, text.length), prng.word(gen, 1, 8))
    }
  }
  return tape
}

/** Deleted types whose inside is collected: GC structs where items were, in step2 answers as well. */
const garbage = () => {
  const tape = new Tape('garbage', 'deleted nested types, collected: states with GC structs and large delete sets')
  const a = tape.join(421)
  for (let round = 0; round < 15; round++) {
    const nest = new Y.Map([['list', Y.Array.from([new Y.Text('gone 🙂'), new Y.Map([['deep', new Y.Array()]])])]])
    a.getMap('map').set('nest', nest)
    a.getArray('array').insert(0, [new Y.Map([['row', round]]), round])
    if (round > 3) a.getArray('array').delete(1, 2)
    a.getText('text').insert(0, `line ${round}\n`)
    if (round % 3 === 2) a.getText('text').delete(2, 6)
    if (round % 5 === 4) tape.write(Y.encodeStateAsUpdate(a))
  }
  a.getMap('map').delete('nest')
  tape.write(Y.encodeStateAsUpdate(a))
  return tape
}

const values = () => {
  const tape = new Tape('values', 'every kind of value: bytes, large bigint, undefined, null, floats, extreme numbers, deep JSON')
  const a = tape.join(431)
  const deep = Array.from({ length: 40 }).reduce((inner, _, level) => level % 2 ? [inner] : { k: inner }, 'bottom')
  const all = [
    null, undefined, true, false, 0, -0, 1, -1, 63, 64, -64, 127, 128, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53, -(2 ** 53),
    0.1, 1.5, -1e-9, 1e300, 3.4028234663852886e38, NaN, Infinity, -Infinity, 2n ** 53n + 1n, -(2n ** 62n) - 1n,
    '', 'a', 'ß🙂', '\u0000', 'x'.repeat(300), new Uint8Array(), new Uint8Array([0, 255, 128]), new Uint8Array(2000).fill(7),
    [], {}, [null, undefined, [2n ** 60n + 1n]], { '': '', 'ключ 🙂': { nested: [true, { a: 0.5 }] } }, deep, new Date(0)
  ]
  all.forEach((value, index) => a.getMap('map').set(`v${index}`, value))
  const bare = all.filter((value) => value !== undefined && typeof value !== 'bigint' && !(value instanceof Date))
  bare.forEach((value) => a.getArray('array').push([value]))
  a.getArray('array').insert(3, bare.slice(0, 20))
  a.getText('text').insertEmbed(0, { list: [null, 7, { deep: [] }] })
  a.getText('text').insert(1, 'x', { link: { href: 'y', n: 1 }, width: 2.5, none: null })
  a.transact(() => all.forEach((value, index) => a.getMap('map').set(`v${index % 7}`, value)))
  return tape
}

/** yrs turns these into numbers: they are such that a float can hold. */
const bigints = () => {
  const tape = new Tape('bigints', 'bigint values that a float could hold as well')
  const map = tape.join(435).getMap('map')
  ;[0n, 5n, -5n, 2n ** 62n, -(2n ** 63n), [1n]].forEach((value, index) => map.set(`v${index}`, value))
  return tape
}

/** Editors count UTF-16 units: edits fall into the middle of emoji, and Yjs puts U+FFFD there. */
const surrogates = () => {
  const tape = new Tape('surrogates', 'emoji split by inserts, deletes and formats inside surrogate pairs')
  const [a, b] = [441, 442].map((id) => tape.join(id))
  const gen = chance(44)
  a.getText('text').insert(0, '🙂👩‍👩‍👧𝒳'.repeat(8))
  for (let turn = 0; turn < 120; turn++) {
    const text = prng.oneOf(gen, [a, b]).getText('text')
    const index = prng.int31(gen, 0, text.length - 1)
    if (turn % 3 === 0) text.insert(index, prng.oneOf(gen, ['🙂', 'x', '\ud83d', '\ude42']))
    else if (turn % 3 === 1) text.delete(index, Math.min(3, text.length - index))
    else text.format(index, Math.min(5, text.length - index), { bold: prng.bool(gen) || null })
  }
  return tape
}

const paste = () => {
  const tape = new Tape('paste', 'large pastes, one update each: 24 KB of text, 500 rows, a tree of 200 elements')
  const a = tape.join(451)
  a.getText('text').insert(0, 'Absatz mit Ümlaut und 🙂. '.repeat(900))
  a.getText('text').delete(100, 20000)
  a.getArray('array').insert(0, Array.from({ length: 500 }, (_, row) => ({ row, ok: row % 3 === 0 })))
  a.transact(() => a.getXmlFragment('xml').insert(0, Array.from({ length: 200 }, (_, row) => {
    const paragraph = new Y.XmlElement('p')
    paragraph.setAttribute('id', `p${row}`)
    paragraph.insert(0, [new Y.XmlText(`row ${row}`)])
    return paragraph
  })))
  a.getXmlFragment('xml').delete(20, 150)
  return tape
}

/** A subdocument travels as a room of its own; the parent only names it. */
const subdocuments = () => {
  const parent = new Tape('subdocuments', 'a parent that holds, replaces and drops subdocuments')
  const child = new Tape('subdocument', 'the inside of one subdocument, as its own room')
  const a = parent.join(461)
  for (let number = 0; number < 10; number++) {
    const options = { guid: `sub-${number}`, autoLoad: number % 2 === 0, meta: { title: `Teil ${number} 🙂` } }
    a.getMap('map').set(`part ${number % 4}`, new Y.Doc(options))
    a.getArray('array').insert(0, [new Y.Doc({ guid: `row-${number}`, gc: false })])
  }
  a.getMap('map').delete('part 1')
  a.getArray('array').delete(2, 3)
  const inside = a.getMap('map').get('part 0')
  inside.clientID = 462
  child.adopt(inside)
  type(inside.getText('text'), 0, 'inside the part')
  inside.getMap('map').set('done', true)
  return [parent, child]
}

/** `Y.mergeUpdates` of updates that do not touch: what lies between becomes a Skip block. */
const skips = () => {
  const tape = new Tape('skips', 'Y.mergeUpdates of every second update of each author (Skip blocks), the others, the merge of all')
  const { log } = play(47, { authors: 2, edits: 90 })
  const met = new Map()
  const isOdd = log.map((update) => {
    const [author] = Y.parseUpdateMeta(update).from.keys()
    met.set(author, (met.get(author) ?? 0) + 1)
    return met.get(author) % 2 === 1
  })
  for (let start = 0; start < log.length; start += 12) {
    const part = log.slice(start, start + 12)
    const [odd, even] = [true, false].map((wanted) => part.filter((_, index) => isOdd[start + index] === wanted))
    tape.write(Y.mergeUpdates(odd))
    tape.write(Y.mergeUpdates(even))
  }
  tape.write(Y.mergeUpdates(log))
  return tape
}

/** `Y.diffUpdate`: what a server without a document in memory answers. */
const diffs = () => {
  const tape = new Tape('diffs', 'Y.diffUpdate of the whole against growing state vectors: items cut in the middle')
  const { log } = play(48, { authors: 3, edits: 60 })
  const all = Y.mergeUpdates(log)
  const reader = new Y.Doc()
  for (const update of log) {
    tape.write(Y.diffUpdate(Y.mergeUpdates([Y.encodeStateAsUpdate(reader), update]), Y.encodeStateVector(reader)))
    Y.applyUpdate(reader, update)
    if (tape.updates.length % 10 === 0) tape.write(Y.diffUpdate(all, Y.encodeStateVector(reader)))
  }
  return tape
}

const histories = () => [1, 2, 3, 4, 5, 6].map((seed) => {
  const tape = new Tape(`history-${seed}`, `four authors by chance, seed ${seed}: all types, formats, undo, offline periods`)
  play(seed, { authors: 4, edits: 90 }).log.forEach((update) => tape.write(update))
  return tape
})

/** Each load of the page re-emits what is stored; after 500 updates the store is one state. */
const indexeddb = async () => {
  const tape = new Tape('indexeddb', 'y-indexeddb: its compaction at 500 edits, five reloads that tell everything again')
  for (let load = 0; load < 6; load++) {
    const doc = tape.join(471 + load)
    const store = new IndexeddbPersistence('recorded', doc)
    await store.whenSynced
    for (let edit = 0; edit < (load < 5 ? 104 : 5); edit++) doc.getText('text').insert(doc.getText('text').length, `${edit} `)
    doc.getMap('map').set('loads', load)
    await compacted(store)
    tape.leave(doc)
    doc.destroy()
  }
  return tape
}

// y-indexeddb compacts a second after the last edit, if there are 500.
const compacted = async (store) => {
  while (store._storeTimeoutId !== null) await new Promise((resolve) => setTimeout(resolve, 20))
}
