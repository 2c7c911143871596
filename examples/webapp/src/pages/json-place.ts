/**
 * Where something stands in a JSON text: so that what is wrong with a form that somebody pasted can
 * be shown at its place. Browsers' own parsers tell that each in other words, or not at all.
 */

/** Keys and indices that lead from the outermost value to another. */
export type JsonPath = readonly (string | number)[]

/** Offsets in the text. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** The text is no JSON. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError'
  readonly at: number

  constructor(at: number) {
    super(`this is no JSON at character ${at + 1}`)
    this.at = at
  }
}

/** `sections[0].questions[3].max` as a path. */
export function pathOf(text: string): JsonPath {
  return [...text.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, key, index]) =>
    index === undefined ? (key ?? '') : Number(index),
  )
}

/** Line and column of an offset, both from 1. */
export function lineOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split('\n')
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 }
}

/**
 * Find the value at a path; where it is missing, the innermost one that is there and ought to have
 * it. Raises JsonSyntaxError.
 */
export function place(text: string, path: JsonPath): Span {
  const reader = new Reader(text)
  const found = reader.find(path)
  reader.end()
  return found
}

/** Check that it is JSON; tell the offset at which it is not, or null. */
export function brokenAt(text: string): number | null {
  try {
    place(text, [])
    return null
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error.at
    throw error
  }
}

const SPACE = /[ \t\n\r]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON has none in texts
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const WORD = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Read a value, and tell where that at a path within it is. */
  find(path: JsonPath): Span {
    this.#take(SPACE)
    const from = this.#at
    const inner = this.#value(path)
    const span = { from, to: this.#at }
    this.#take(SPACE)
    return path.length > 0 && inner !== null ? inner : span
  }

  end(): void {
    if (this.#at < this.#text.length) throw new JsonSyntaxError(this.#at)
  }

  #value(path: JsonPath): Span | null {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#members('}', path, () => {
          this.#take(SPACE)
          const key = JSON.parse(this.#must(STRING)) as string
          this.#take(SPACE)
          this.#must(/:/y)
          return key
        })
      case '[': {
        let index = 0
        return this.#members(']', path, () => index++)
      }
      case '"':
        this.#must(STRING)
        return null
      default:
        this.#must(WORD)
        return null
    }
  }

  #members(close: string, path: JsonPath, key: () => string | number): Span | null {
    let found: Span | null = null
    this.#at += 1
    this.#take(SPACE)
    if (this.#text[this.#at] === close) {
      this.#at += 1
      return null
    }
    for (;;) {
      const wanted = key() === path[0] && path.length > 0
      const span = this.find(wanted ? path.slice(1) : [])
      if (wanted) found = span
      if (this.#text[this.#at] === close) {
        this.#at += 1
        return found
      }
      this.#must(/,/y)
    }
  }

  #take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const taken = pattern.exec(this.#text)?.[0] ?? null
    if (taken !== null) this.#at += taken.length
    return taken
  }

  #must(pattern: RegExp): string {
    const taken = this.#take(pattern)
    if (taken === null || taken === '') throw new JsonSyntaxError(this.#at)
    return taken
  }
}
