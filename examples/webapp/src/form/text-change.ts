/** What happened to a text: the one change between two texts, and where places in it are after. */

export interface TextChange {
  readonly at: number
  readonly remove: number
  readonly insert: string
}

/**
 * The smallest change that makes `after` of `before`; null for none. `caret` is where the cursor
 * stands afterwards: of several such changes, as in a run of the same letter, it is the one there.
 */
export function changeOf(before: string, after: string, caret: number): TextChange | null {
  if (before === after) return null
  // What stands behind the cursor was not typed.
  const most = Math.min(before.length, after.length)
  const behind = Math.min(most, Math.max(0, after.length - caret))
  let suffix = 0
  while (suffix < behind && before.at(-1 - suffix) === after.at(-1 - suffix)) suffix += 1
  let prefix = 0
  while (prefix < most - suffix && before.charCodeAt(prefix) === after.charCodeAt(prefix)) {
    prefix += 1
  }
  while (suffix < most - prefix && before.at(-1 - suffix) === after.at(-1 - suffix)) suffix += 1
  // A character of two code units is never cut apart: Yjs would make two broken ones of it.
  if (prefix > 0 && isHigh(before.charCodeAt(prefix - 1))) prefix -= 1
  if (suffix > 0 && isLow(before.charCodeAt(before.length - suffix))) suffix -= 1
  return {
    at: prefix,
    remove: before.length - prefix - suffix,
    insert: after.slice(prefix, after.length - suffix),
  }
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff

/** A change as Yjs tells it (`event.delta`). */
export type Delta = readonly { retain?: number; insert?: unknown; delete?: number }[]

/** Where a place is after a change; with `sticky`, text inserted right there comes after it. */
export function placeAfter(place: number, delta: Delta, sticky = true): number {
  let old = 0
  let now = 0
  for (const step of delta) {
    if (old > place || (old === place && sticky && step.insert !== undefined)) break
    if (step.retain !== undefined) {
      const kept = Math.min(step.retain, place - old)
      if (kept < step.retain) return now + kept
      old += step.retain
      now += step.retain
    } else if (step.delete !== undefined) {
      if (place < old + step.delete) return now
      old += step.delete
    } else {
      now += typeof step.insert === 'string' ? step.insert.length : 1
    }
  }
  return now + (place - old)
}

/** Where a change ends: there, the cursor goes when it is one's own, undone. */
export function endOf(delta: Delta): number {
  let now = 0
  let end = 0
  for (const step of delta) {
    if (step.retain !== undefined) now += step.retain
    else if (step.delete !== undefined) end = now
    else {
      now += typeof step.insert === 'string' ? step.insert.length : 1
      end = now
    }
  }
  return end
}
