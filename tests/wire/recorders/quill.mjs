// Two people in Quill, bound by y-quill.
import { place } from './browser.mjs'
import * as prng from 'lib0/prng'
import { QuillBinding } from 'y-quill'
import * as Y from 'yjs'
import { chance, unitsOf, whole } from '../lib/edits.mjs'
import { Tape } from './tape.mjs'

const { default: Quill } = await import('quill')

const SENTENCES = ['Gut begründet. ', 'Wrong 🙂 tool! ', '👩‍👩‍👧\n', '汉字\n', 'score: 4\n']
const FORMATS = [['bold', true], ['bold', false], ['italic', true], ['color', '#e60000'], ['link', 'https://example.org/🙂'], ['code', true]]
const LINES = [['header', 1], ['header', false], ['list', 'bullet'], ['list', 'ordered'], ['align', 'center'], ['blockquote', true]]

const ABOUT = 'y-quill: typing, formats, line formats, embeds, paste, deletes, undo'

export const record = () => [
  played('quill', ABOUT, chance(24)),
  played('quill-halves', `${ABOUT}; an undo by one writes into an emoji of the other`, chance(21))
]

const played = (name, about, gen) => {
  const tape = new Tape(name, about, { quill: 'text' })
  const editors = [211, 212].map((id) => editor(tape.join(id)))
  for (let turn = 0; turn < 200; turn++) {
    const one = prng.oneOf(gen, editors)
    if (turn % 50 === 30) tape.offline(one.doc)
    if (turn % 50 === 45) editors.forEach(({ doc }) => tape.online(doc))
    act(gen, one)
  }
  editors.forEach(({ doc }) => tape.online(doc))
  return tape
}

const editor = (doc) => {
  const text = doc.getText('quill')
  const quill = new Quill(place(), { modules: { toolbar: false } })
  const binding = new QuillBinding(text, quill)
  return { doc, quill, undo: new Y.UndoManager(text, { captureTimeout: 0, trackedOrigins: new Set([binding]) }) }
}

const act = (gen, { quill, undo }) => {
  const units = unitsOf(quill.getContents().ops)
  const index = whole(units, prng.int31(gen, 0, units.length - 1))
  const length = whole(units, Math.min(units.length, index + prng.int31(gen, 1, 8))) - index
  switch (prng.int31(gen, 0, 11)) {
    case 0: return quill.formatText(index, length, ...prng.oneOf(gen, FORMATS), 'user')
    case 1: return quill.formatLine(index, length, ...prng.oneOf(gen, LINES), 'user')
    case 2: return quill.insertEmbed(index, 'image', 'data:image/png;base64,AA==', 'user')
    case 3: return quill.deleteText(index, length, 'user')
    case 4: return undo.undo()
    case 5: return undo.redo()
    case 6: return paste(gen, quill, index)
    default: return type(gen, quill, index)
  }
}

const type = (gen, quill, start) => {
  let index = start
  for (const character of prng.oneOf(gen, SENTENCES)) {
    quill.insertText(index, character, 'user')
    index += character.length
  }
}

const paste = (gen, quill, index) => {
  const lines = Array.from({ length: 3 }, () => ({ insert: prng.oneOf(gen, SENTENCES), attributes: { italic: true } }))
  quill.updateContents([...(index > 0 ? [{ retain: index }] : []), ...lines], 'user')
}
