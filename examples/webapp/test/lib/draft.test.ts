import { describe, expect, test } from 'vitest'
import * as Y from 'yjs'
import { createDraft } from '../../src/lib/draft'
import { FORM } from '../support/form'

function pair() {
  const [left, right] = [new Y.Doc(), new Y.Doc()]
  const meet = () => {
    const [a, b] = [Y.encodeStateAsUpdate(left), Y.encodeStateAsUpdate(right)]
    Y.applyUpdate(left, b, 'remote')
    Y.applyUpdate(right, a, 'remote')
  }
  return {
    alice: createDraft(left, FORM, 'alice'),
    bob: createDraft(right, FORM, 'bob'),
    left,
    meet,
  }
}

function counted(readable: { subscribe(listener: () => void): () => void }) {
  const calls = { count: 0 }
  readable.subscribe(() => {
    calls.count += 1
  })
  return calls
}

describe('answers', () => {
  test('are in the shape that sync.forms reads', () => {
    const { alice, left } = pair()
    alice.setAnswer('accuracy', 4)
    alice.setAnswer('verdict', 'pass')
    alice.addTag('labels', 'refund')
    alice.addTag('own-labels', 'slow')
    alice.editText('reasoning', 0, 0, 'because')
    alice.editText('tone', 0, 0, 'a note')
    expect(left.toJSON()).toEqual({
      fields: { verdict: 'pass' },
      ratings: { 'alice/accuracy': 4, 'alice/own-labels': ['slow'] },
      'tags/labels': { refund: true },
      'comment/reasoning': 'because',
      'comment/tone': 'a note',
    })
  })

  test("two people's own answers never overwrite each other", () => {
    const { alice, bob, meet } = pair()
    alice.setAnswer('accuracy', 4)
    bob.setAnswer('accuracy', 2)
    meet()
    expect(alice.answer('accuracy').get()).toBe(4)
    expect(bob.answer('accuracy').get()).toBe(2)
    expect([...alice.others('accuracy').get()]).toEqual([['bob', 2]])
  })

  test('shared tags merge, whoever adds and removes at the same time', () => {
    const { alice, bob, meet } = pair()
    alice.addTag('labels', 'refund')
    meet()
    alice.addTag('labels', 'late')
    bob.removeTag('labels', 'refund')
    bob.addTag('labels', 'angry')
    meet()
    expect(alice.answer('labels').get()).toEqual(['angry', 'late'])
    expect(bob.answer('labels').get()).toEqual(['angry', 'late'])
  })

  test('texts merge', () => {
    const { alice, bob, meet } = pair()
    alice.editText('reasoning', 0, 0, 'The agent erred.')
    meet()
    alice.editText('reasoning', 4, 5, 'model')
    bob.editText('reasoning', 16, 0, ' Twice.')
    meet()
    expect(alice.text('reasoning').toString()).toBe('The model erred. Twice.')
    expect(bob.text('reasoning').toString()).toBe('The model erred. Twice.')
  })

  test('undefined removes one, and an empty list of own tags is none', () => {
    const { alice, left } = pair()
    alice.setAnswer('accuracy', 4)
    alice.setAnswer('accuracy', undefined)
    alice.addTag('own-labels', 'slow')
    alice.removeTag('own-labels', 'slow')
    expect(left.getMap('ratings').size).toBe(0)
  })

  test('the same answer again is no edit', () => {
    const { alice, left } = pair()
    alice.setAnswer('accuracy', 4)
    let edits = 0
    left.on('update', () => {
      edits += 1
    })
    alice.setAnswer('accuracy', 4)
    expect(edits).toBe(0)
  })

  test('whoever has a slash in their name has answers of their own', () => {
    const doc = new Y.Doc()
    const ann = createDraft(doc, FORM, 'team/ann')
    const team = createDraft(doc, FORM, 'team')
    ann.setAnswer('accuracy', 3)
    expect(ann.answer('accuracy').get()).toBe(3)
    expect(team.answer('accuracy').get()).toBeUndefined()
    expect([...team.others('accuracy').get()]).toEqual([['team/ann', 3]])
  })

  test('an edit that nobody would take is not made', () => {
    const doc = new Y.Doc()
    const draft = createDraft(doc, FORM, 'alice', { writable: () => false })
    expect(() => draft.setAnswer('accuracy', 4)).toThrow('read-only')
    expect(doc.getMap('ratings').size).toBe(0)
  })
})

describe('listeners', () => {
  test('hear of their own question only, once', () => {
    const { alice, bob, meet } = pair()
    const accuracy = counted(alice.answer('accuracy'))
    const others = counted(alice.others('accuracy'))
    const policy = counted(alice.answer('policy'))
    alice.setAnswer('accuracy', 4)
    expect([accuracy.count, others.count, policy.count]).toEqual([1, 0, 0])
    bob.setAnswer('accuracy', 5)
    meet()
    expect([accuracy.count, others.count, policy.count]).toEqual([1, 1, 0])
    alice.editText('reasoning', 0, 0, 'x')
    expect([accuracy.count, others.count, policy.count]).toEqual([1, 1, 0])
  })

  test('hear nothing more of a draft that was destroyed', () => {
    const { alice, bob, meet } = pair()
    const others = counted(alice.others('accuracy'))
    alice.destroy()
    bob.setAnswer('accuracy', 5)
    meet()
    expect(others.count).toBe(0)
  })
})

describe('progress', () => {
  test('counts what is required, and what is not', () => {
    const { alice } = pair()
    expect(alice.progress.get()).toEqual({
      answered: 0,
      required: 3,
      optional_answered: 0,
      share: 0,
    })
    alice.setAnswer('accuracy', 1)
    alice.setAnswer('policy', false)
    alice.editText('tone', 0, 0, 'a note answers nothing')
    alice.editText('reasoning', 0, 0, '  ')
    expect(alice.progress.get()).toEqual({
      answered: 1,
      required: 3,
      optional_answered: 1,
      share: 1 / 3,
    })
    alice.editText('reasoning', 0, 0, 'so')
    alice.setAnswer('verdict', 'fail')
    expect(alice.progress.get().share).toBe(1)
  })

  test("of others' answers counts nothing", () => {
    const { alice, bob, meet } = pair()
    bob.setAnswer('accuracy', 5)
    meet()
    expect(alice.progress.get().answered).toBe(0)
  })
})

describe('what does not fit', () => {
  test('is flagged and kept', () => {
    const { alice } = pair()
    alice.setAnswer('accuracy', 9)
    expect(alice.answer('accuracy').get()).toBe(9)
    expect(
      alice
        .issues('accuracy')
        .get()
        .map((each) => each.code),
    ).toEqual(['out-of-range'])
  })

  test('or is not even a plain value is flagged as well', () => {
    const doc = new Y.Doc()
    doc.getMap('ratings').set('alice/accuracy', new Y.Map([['a', 1]]))
    const draft = createDraft(doc, FORM, 'alice')
    expect(
      draft
        .issues('accuracy')
        .get()
        .map((each) => each.code),
    ).toEqual(['not-a-number'])
  })
})

describe('undo', () => {
  test('takes back edits of this page, and nobody else’s', () => {
    const { alice, bob, meet } = pair()
    alice.editText('reasoning', 0, 0, 'mine')
    meet()
    bob.editText('reasoning', 4, 0, ' and yours')
    bob.setAnswer('verdict', 'pass')
    meet()
    alice.undoLast()
    meet()
    expect(bob.text('reasoning').toString()).toBe(' and yours')
    expect(bob.answer('verdict').get()).toBe('pass')
    expect(alice.undo.get()).toEqual({ canUndo: false, canRedo: true })
    alice.redoLast()
    expect(alice.text('reasoning').toString()).toBe('mine and yours')
  })

  test('brings back an answer that was changed', () => {
    const { alice } = pair()
    alice.setAnswer('policy', true)
    expect(alice.undo.get().canUndo).toBe(true)
    alice.undoLast()
    expect(alice.answer('policy').get()).toBeUndefined()
  })
})
