// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as Y from 'yjs'
import { bindText } from '../../src/form/bind-text'

let doc: Y.Doc
let text: Y.Text
let area: HTMLTextAreaElement
let unbind: () => void
const onSelection = vi.fn()
let writable = true

beforeEach(() => {
  doc = new Y.Doc()
  text = doc.getText('text')
  text.insert(0, 'one two three')
  area = document.body.appendChild(document.createElement('textarea'))
  writable = true
  unbind = bindText({
    element: area,
    text,
    edit: (at, remove, insert) => {
      if (!writable) throw new Error('read-only')
      doc.transact(() => {
        text.delete(at, remove)
        text.insert(at, insert)
      })
    },
    onSelection,
    onValue: () => {},
  })
  area.focus()
})

afterEach(() => {
  unbind()
  area.remove()
  onSelection.mockClear()
})

/** As a browser types: the value, the cursor, then the event. */
function typed(value: string, caret: number): void {
  area.value = value
  area.setSelectionRange(caret, caret)
  area.dispatchEvent(new InputEvent('input', { bubbles: true }))
}

/** As somebody else edits. */
function remotely(edit: (theirs: Y.Text) => void): void {
  const other = new Y.Doc()
  Y.applyUpdate(other, Y.encodeStateAsUpdate(doc))
  edit(other.getText('text'))
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(other, Y.encodeStateVector(doc)))
}

const composition = (type: string) => area.dispatchEvent(new CompositionEvent(type))

test('what is typed becomes the smallest change', () => {
  const deltas: unknown[] = []
  text.observe((event) => deltas.push(event.delta))
  typed('one 2two three', 5)
  expect(text.toString()).toBe('one 2two three')
  expect(deltas).toEqual([[{ retain: 4 }, { insert: '2' }]])
})

test('what others type does not move the selection off its words', () => {
  area.setSelectionRange(4, 7, 'backward')
  remotely((theirs) => theirs.insert(0, 'zero '))
  expect(area.value).toBe('zero one two three')
  expect(area.value.slice(area.selectionStart, area.selectionEnd)).toBe('two')
  expect(area.selectionDirection).toBe('backward')
  expect(onSelection).toHaveBeenLastCalledWith({ anchor: 12, head: 9 })
})

test('nothing is put into the field while it composes, and both are there afterwards', () => {
  area.setSelectionRange(4, 4)
  composition('compositionstart')
  typed('one ni haotwo three', 10)
  remotely((theirs) => theirs.insert(0, 'zero '))
  expect(area.value).toBe('one ni haotwo three')
  expect(text.toString()).toBe('zero one two three')
  typed('one 你好two three', 6)
  composition('compositionend')
  expect(text.toString()).toBe('zero one 你好two three')
  expect(area.value).toBe(text.toString())
  expect(area.selectionStart).toBe(11)
})

test('composing that is given up leaves what others did', () => {
  composition('compositionstart')
  typed('nione two three', 2)
  remotely((theirs) => theirs.delete(0, 4))
  typed('one two three', 0)
  composition('compositionend')
  expect([text.toString(), area.value]).toEqual(['two three', 'two three'])
})

test('leaving the field, or the page, ends composing: nothing typed is lost', () => {
  composition('compositionstart')
  typed('你one two three', 1)
  area.blur()
  expect(text.toString()).toBe('你one two three')
  expect(onSelection).toHaveBeenLastCalledWith(null)
})

test("the browser's own undo is refused: it would undo what others wrote", () => {
  const undo = new InputEvent('beforeinput', { inputType: 'historyUndo', cancelable: true })
  area.dispatchEvent(undo)
  expect(undo.defaultPrevented).toBe(true)
})

test('an edit that is not taken any more is not shown as if it were', () => {
  writable = false
  typed('one two three!', 14)
  expect(area.value).toBe('one two three')
})

test('several hundred kilobytes are typed into without delay', () => {
  text.insert(0, 'word '.repeat(80_000))
  const began = performance.now()
  for (let n = 0; n < 20; n += 1) {
    const at = 200_000 + n
    typed(`${area.value.slice(0, at)}x${area.value.slice(at)}`, at + 1)
  }
  expect(text.length).toBe(400_033)
  expect((performance.now() - began) / 20).toBeLessThan(50) // milliseconds per key
})
