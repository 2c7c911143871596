// Two people in ProseMirror, bound by y-prosemirror.
import { place } from './browser.mjs'
import * as prng from 'lib0/prng'
import { splitBlock, toggleMark, wrapIn } from 'prosemirror-commands'
import { Schema, Slice, Fragment } from 'prosemirror-model'
import { schema as basic } from 'prosemirror-schema-basic'
import { addListNodes, sinkListItem, splitListItem, wrapInList } from 'prosemirror-schema-list'
import { EditorState, TextSelection } from 'prosemirror-state'
import { EditorView } from 'prosemirror-view'
import { redo, undo, ySyncPlugin, yUndoPlugin } from 'y-prosemirror'
import { chance, whole } from '../lib/edits.mjs'
import { Tape } from './tape.mjs'

const schema = new Schema({
  nodes: addListNodes(basic.spec.nodes, 'paragraph block*', 'block'),
  marks: basic.spec.marks
})
const SENTENCES = ['Der Agent antwortet korrekt. ', 'No hallucination 🙂 seen. ', '👩‍👩‍👧 tools: 3/4; ', '汉字 e\u0301 ']

const ABOUT = 'y-prosemirror: typing, marks, lists, splits, paste, deletes, undo'

export const record = () => [
  played('prosemirror', ABOUT, chance(11), 160, true),
  played('prosemirror-halves', `${ABOUT}; selections begin and end inside of emoji`, chance(12), 60, false)
]

const played = (name, about, gen, turns, kind) => {
  const tape = new Tape(name, about, { prosemirror: 'xml' })
  const editors = [111, 112].map((id) => editor(tape.join(id)))
  for (let turn = 0; turn < turns; turn++) {
    const [doc, view] = prng.oneOf(gen, editors)
    if (turn % 40 === 20) tape.offline(doc)
    if (turn % 40 === 35) editors.forEach(([doc]) => tape.online(doc))
    select(gen, view, kind)
    act(gen, view)
  }
  editors.forEach(([doc]) => tape.online(doc))
  return tape
}

const editor = (doc) => {
  const plugins = [ySyncPlugin(doc.getXmlFragment('prosemirror')), yUndoPlugin()]
  return [doc, new EditorView(place(), { state: EditorState.create({ schema, plugins }) })]
}

const act = (gen, view) => {
  switch (prng.int31(gen, 0, 13)) {
    case 0: return run(view, toggleMark(schema.marks.strong))
    case 1: return run(view, toggleMark(schema.marks.em))
    case 2: return run(view, toggleMark(schema.marks.link, { href: 'https://example.org/🙂', title: null }))
    case 3: return run(view, wrapInList(prng.oneOf(gen, [schema.nodes.bullet_list, schema.nodes.ordered_list])))
    case 4: return run(view, splitListItem(schema.nodes.list_item)) || run(view, splitBlock)
    case 5: return run(view, sinkListItem(schema.nodes.list_item)) || run(view, wrapIn(schema.nodes.blockquote))
    case 6: return view.dispatch(view.state.tr.deleteSelection())
    case 7: return undo(view.state)
    case 8: return redo(view.state)
    case 9: return paste(gen, view)
    default: return type(gen, view)
  }
}

const select = (gen, view, kind) => {
  const { doc, tr } = view.state
  const place = (position) => {
    const found = doc.resolve(Math.min(doc.content.size, position))
    return kind ? doc.resolve(found.pos - inside(found)) : found
  }
  const anchor = prng.int31(gen, 0, doc.content.size)
  view.dispatch(tr.setSelection(TextSelection.between(place(anchor), place(anchor + prng.int31(gen, 0, 12)))))
}

// 1 in the middle of a surrogate pair, else 0.
const inside = ({ parent, parentOffset }) =>
  parentOffset - whole(parent.textBetween(0, parent.content.size, '', '\ufffc'), parentOffset)

const run = (view, command) => command(view.state, view.dispatch)

const type = (gen, view) => {
  for (const character of prng.oneOf(gen, SENTENCES)) view.dispatch(view.state.tr.insertText(character))
}

const paste = (gen, view) => {
  const paragraphs = Array.from({ length: prng.int31(gen, 1, 3) }, () =>
    schema.nodes.paragraph.create(null, schema.text(prng.oneOf(gen, SENTENCES).repeat(3))))
  const image = schema.nodes.image.create({ src: 'data:,🙂', alt: null })
  const all = [...paragraphs, schema.nodes.paragraph.create(null, image)]
  view.dispatch(view.state.tr.replaceSelection(new Slice(Fragment.from(all), 0, 0)))
}
