// Two people in Lexical, bound by @lexical/yjs as its React plugin binds it, without the React.
import './browser.mjs'
import { createHeadlessEditor } from '@lexical/headless'
import { $createListItemNode, $createListNode, ListItemNode, ListNode } from '@lexical/list'
import { $createHeadingNode, $createQuoteNode, HeadingNode, QuoteNode } from '@lexical/rich-text'
import { createBinding, createUndoManager, syncLexicalUpdateToYjs, syncYjsChangesToLexical } from '@lexical/yjs'
import { $createLineBreakNode, $createParagraphNode, $createTextNode, $getRoot, $isElementNode } from 'lexical'
import * as prng from 'lib0/prng'
import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { chance } from '../lib/edits.mjs'
import { Tape } from './tape.mjs'

const WORDS = ['Begründung ', 'ok 🙂 ', '👩‍👩‍👧', '汉字 ', '3/4, because ']
const FORMATS = ['bold', 'italic', 'code', 'underline']

export const record = async () => {
  const tape = new Tape('lexical', '@lexical/yjs: typing, formats, headings, lists, splits, moves, deletes, undo', { root: 'xmltext' })
  const gen = chance(31)
  const people = [311, 312].map((id) => person(tape.join(id)))
  edit(people[0].editor, () => $getRoot().append($createParagraphNode()))
  for (let turn = 0; turn < 130; turn++) {
    await settled()
    act(gen, prng.oneOf(gen, people))
  }
  await settled()
  people.forEach(({ awareness }) => awareness.destroy())
  return [tape]
}

// What came from the other person is committed by Lexical in a microtask.
const settled = () => new Promise((resolve) => setImmediate(resolve))

const person = (doc) => {
  const nodes = [HeadingNode, QuoteNode, ListNode, ListItemNode]
  const editor = createHeadlessEditor({ nodes, onError: (error) => { throw error } })
  const awareness = new Awareness(doc)
  const provider = { awareness, connect () {}, disconnect () {}, on () {}, off () {} }
  const binding = createBinding(editor, provider, 'main', doc, new Map([['main', doc]]))
  bind(editor, provider, binding)
  return { editor, awareness, undo: createUndoManager(binding, binding.root.getSharedType()) }
}

const bind = (editor, provider, binding) => {
  binding.root.getSharedType().observeDeep((events, { origin }) => {
    if (origin === binding) return
    syncYjsChangesToLexical(binding, provider, events, origin instanceof Y.UndoManager, () => {})
  })
  editor.registerUpdateListener(({ prevEditorState, editorState, dirtyElements, dirtyLeaves, normalizedNodes, tags }) => {
    if (tags.has('skip-collab')) return
    syncLexicalUpdateToYjs(binding, provider, prevEditorState, editorState, dirtyElements, dirtyLeaves, normalizedNodes, tags)
  })
}

const edit = (editor, change) => editor.update(change, { discrete: true })

const act = (gen, { editor, undo }) => {
  const dice = prng.int31(gen, 0, 12)
  if (dice === 0) return undo.undo()
  if (dice === 1) return undo.redo()
  if (dice < 7) return type(gen, editor)
  edit(editor, () => CHANGES[dice - 7](gen, prng.oneOf(gen, $getRoot().getChildren())))
}

const type = (gen, editor) => {
  const words = prng.oneOf(gen, WORDS)
  let key = null
  edit(editor, () => { key = textOf(gen, prng.oneOf(gen, $getRoot().getChildren())).getKey() })
  for (const character of words) {
    edit(editor, () => {
      const text = editor.getEditorState()._nodeMap.get(key)?.getLatest()
      if (text?.isAttached()) text.setTextContent(text.getTextContent() + character)
    })
  }
}

const textOf = (gen, block) => {
  const texts = block.getAllTextNodes()
  if (texts.length > 0) return prng.oneOf(gen, texts)
  const text = $createTextNode('')
  const inside = block.getFirstDescendant() ?? block
  const parent = $isElementNode(inside) ? inside : block
  parent.append(text)
  return text
}

const CHANGES = [
  (gen, block) => textOf(gen, block).toggleFormat(prng.oneOf(gen, FORMATS)),
  (gen, block) => block.insertAfter($createHeadingNode('h2').append($createTextNode(prng.oneOf(gen, WORDS)))),
  (gen, block) => block.insertBefore(list(gen)),
  (gen, block) => block.insertAfter($createQuoteNode().append($createTextNode('“'), $createLineBreakNode(), $createTextNode('”'))),
  (gen, block) => { if ($getRoot().getChildrenSize() > 4) block.remove() },
  (gen, block) => { if (block.getNextSibling() !== null) $getRoot().append(block) }
]

const list = (gen) => {
  const items = [0, 1].map(() => $createListItemNode().append($createTextNode(prng.oneOf(gen, WORDS))))
  return $createListNode(prng.oneOf(gen, ['bullet', 'number', 'check'])).append(...items)
}
