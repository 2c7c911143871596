import { expect, test } from 'vitest'
import { changeOf, endOf, placeAfter } from '../../src/form/text-change'

const applied = (before: string, after: string, caret: number) => {
  const change = changeOf(before, after, caret)
  if (change === null) return before
  return before.slice(0, change.at) + change.insert + before.slice(change.at + change.remove)
}

test('the change between two texts is the one that was made', () => {
  expect(changeOf('abc', 'abc', 0)).toBeNull()
  expect(changeOf('abc', 'abXc', 3)).toEqual({ at: 2, remove: 0, insert: 'X' })
  expect(changeOf('abc', 'ac', 1)).toEqual({ at: 1, remove: 1, insert: '' })
  expect(changeOf('abc', '', 0)).toEqual({ at: 0, remove: 3, insert: '' })
})

test('in a run of the same letter, it is the one at the cursor', () => {
  expect(changeOf('aaaa', 'aaaaa', 2)).toEqual({ at: 1, remove: 0, insert: 'a' })
  expect(changeOf('aaaa', 'aaaaa', 5)).toEqual({ at: 4, remove: 0, insert: 'a' })
})

test('a character of two code units is never cut apart', () => {
  // 😀 is d83d de00, 😁 is d83d de01, 𐈀 is d800 de00
  expect(changeOf('x😀y', 'x😁y', 3)).toEqual({ at: 1, remove: 2, insert: '😁' })
  expect(changeOf('😀', '\u{10200}', 2)).toEqual({ at: 0, remove: 2, insert: '\u{10200}' })
})

test('whatever was changed, the change makes it', () => {
  let seed = 7
  const random = (n: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % n
  }
  for (let round = 0; round < 2_000; round += 1) {
    const before = Array.from({ length: random(8) }, () => 'ab😀'.at(random(2))).join('')
    const [at, remove] = [random(before.length + 1), random(4)]
    const insert = 'bab'.slice(0, random(4))
    const after = before.slice(0, at) + insert + before.slice(at + remove)
    expect(applied(before, after, at + insert.length)).toBe(after)
  }
})

test('a place stays where it is in the text, whatever happens around it', () => {
  expect(placeAfter(3, [{ insert: 'xx' }])).toBe(5)
  expect(placeAfter(3, [{ retain: 4 }, { insert: 'xx' }])).toBe(3)
  expect(placeAfter(3, [{ retain: 1 }, { delete: 1 }])).toBe(2)
  expect(placeAfter(3, [{ retain: 1 }, { delete: 9 }])).toBe(1)
  expect(placeAfter(3, [{ retain: 3 }, { insert: 'xx' }])).toBe(3)
  expect(placeAfter(3, [{ retain: 3 }, { insert: 'xx' }], false)).toBe(5)
  expect(placeAfter(6, [{ retain: 1 }, { insert: 'x' }, { retain: 2 }, { delete: 1 }])).toBe(6)
})

test('a change ends behind what it inserted, or where it removed', () => {
  expect(endOf([{ retain: 2 }, { insert: 'abc' }, { delete: 1 }])).toBe(5)
  expect(endOf([{ retain: 4 }, { delete: 2 }])).toBe(4)
})
