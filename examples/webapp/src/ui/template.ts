/** A sentence with places in it, as `{actor} completed {case}`, and what stands there. */

export interface Part {
  readonly text: string
  /** Name of the place that it was put into; null for the words around. */
  readonly slot: string | null
}

/** Put values into the places. A place without a value stays as it is written. */
export function parts(template: string, values: Readonly<Record<string, string>>): readonly Part[] {
  return template
    .split(/(\{\w+\})/)
    .filter((piece) => piece !== '')
    .map((piece) => {
      const slot = /^\{(\w+)\}$/.exec(piece)?.[1]
      const value = slot === undefined ? undefined : values[slot]
      return value === undefined || slot === undefined
        ? { text: piece, slot: null }
        : { text: value, slot }
    })
}

/** The same as one text. */
export function filled(template: string, values: Readonly<Record<string, string>>): string {
  return parts(template, values)
    .map((part) => part.text)
    .join('')
}
