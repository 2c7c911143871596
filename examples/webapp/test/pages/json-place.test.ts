import { expect, test } from 'vitest'
import { brokenAt, lineOf, pathOf, place } from '../../src/pages/json-place'

const TEXT = '{\n  "a": [1, {"b": "x\\"}", "b.c": null}],\n  "d": {"e": -1.5e3}\n}'

test.each([
  ['a', '[1, {"b": "x\\"}", "b.c": null}]'],
  ['a[0]', '1'],
  ['a[1].b', '"x\\"}"'],
  ['d.e', '-1.5e3'],
  ['d.missing.more', '{"e": -1.5e3}'],
  ['a[7]', '[1, {"b": "x\\"}", "b.c": null}]'],
])('%s is found', (path, found) => {
  const { from, to } = place(TEXT, pathOf(path))
  expect(TEXT.slice(from, to)).toBe(found)
})

test('the whole is at the empty path', () => {
  expect(place(` ${TEXT} `, [])).toEqual({ from: 1, to: TEXT.length + 1 })
})

const JSON_TEXTS = ['{}', '[]', '[[],{}]', ' "a\\u00e9" ', '0', '-0.5E+2', 'true', 'null', TEXT]
const OTHERS = [
  '',
  '{',
  '[1,]',
  '{"a" 1}',
  '{a: 1}',
  "'x'",
  '01',
  '1.',
  '"a\n"',
  '"\\x"',
  '[] []',
  'nul',
]

test.each(JSON_TEXTS)('%j is JSON, as the browser says', (text) => {
  JSON.parse(text)
  expect(brokenAt(text)).toBeNull()
})

test.each(OTHERS)('%j is not JSON, as the browser says', (text) => {
  expect(() => JSON.parse(text)).toThrow(SyntaxError)
  expect(brokenAt(text)).not.toBeNull()
})

test('where it ends to be JSON is told', () => {
  const text = '{\n  "a": 1\n  "b": 2\n}'
  expect(lineOf(text, brokenAt(text) ?? 0)).toEqual({ line: 3, column: 3 })
})
