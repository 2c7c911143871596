/**
 * A text field and a shared text, kept the same.
 *
 * 1. What somebody types becomes the smallest change of the shared text that does the same.
 * 2. What others type appears without moving the cursor, the selection or the view.
 * 3. While an input method composes (Chinese, Japanese, …), the field is not touched, and nothing
 *    half composed is shared: what others did meanwhile is put in when it has ended.
 * 4. The browser's own undo would undo what others wrote: it is refused, `onUndo` does it.
 */

import type * as Y from 'yjs'
import { changeOf, type Delta, endOf, placeAfter } from './text-change'

export interface Selection {
  readonly anchor: number
  readonly head: number
}

interface BindOptions {
  readonly element: HTMLTextAreaElement
  readonly text: Y.Text
  /** Change the shared text. Throws when it may not be changed now. */
  readonly edit: (at: number, remove: number, insert: string) => void
  /** The selection, when it changed; null: the field was left. */
  readonly onSelection: (selection: Selection | null) => void
  /** The field has another value. */
  readonly onValue: () => void
}

/** Returns what unbinds them. */
export function bindText(options: BindOptions): () => void {
  const binding = new Binding(options)
  return () => binding.end()
}

class Binding {
  readonly #element: HTMLTextAreaElement
  readonly #text: Y.Text
  readonly #options: BindOptions
  /** The shared text as the field has it, or had it when composing began. */
  #known: string
  #composing = false
  #editing = false
  /** What others did while composing. */
  #meanwhile: Delta[] = []
  readonly #stop = new AbortController()

  constructor(options: BindOptions) {
    this.#options = options
    this.#element = options.element
    this.#text = options.text
    this.#known = this.#text.toString()
    this.#element.value = this.#known
    this.#options.onValue()
    this.#text.observe(this.#onShared)
    const { signal } = this.#stop
    this.#element.addEventListener('input', this.#onInput, { signal })
    this.#element.addEventListener('beforeinput', this.#onBeforeInput, { signal })
    this.#element.addEventListener('compositionstart', this.#onComposing, { signal })
    this.#element.addEventListener('compositionend', this.#onComposed, { signal })
    this.#element.addEventListener('focus', this.#tellSelection, { signal })
    this.#element.addEventListener('blur', this.#onBlur, { signal })
    document.addEventListener('selectionchange', this.#onSelection, { signal })
    this.#element.addEventListener('selectionchange', this.#onSelection, { signal })
  }

  end(): void {
    if (this.#composing) this.#onComposed()
    this.#stop.abort()
    this.#text.unobserve(this.#onShared)
  }

  // -- from the field

  #onBeforeInput = (event: InputEvent): void => {
    if (event.inputType === 'historyUndo' || event.inputType === 'historyRedo') {
      event.preventDefault()
    }
  }

  #onInput = (): void => {
    if (!this.#composing) this.#share()
  }

  #onComposing = (): void => {
    this.#composing = true
  }

  #onComposed = (): void => {
    if (!this.#composing) return
    this.#composing = false
    this.#share()
  }

  /** Put what was typed into the shared text, and what came meanwhile into the field. */
  #share(): void {
    const { value, selectionStart } = this.#element
    const change = changeOf(this.#known, value, selectionStart)
    const meanwhile = this.#meanwhile
    this.#meanwhile = []
    let caret = selectionStart
    if (change !== null) {
      const at = meanwhile.reduce((place, delta) => placeAfter(place, delta, false), change.at)
      const end = meanwhile.reduce(
        (place, delta) => placeAfter(place, delta),
        change.at + change.remove,
      )
      if (!this.#edit(at, Math.max(0, end - at), change.insert)) {
        this.#show(selectionStart)
        return
      }
      caret = at + change.insert.length
    } else {
      caret = meanwhile.reduce((place, delta) => placeAfter(place, delta), caret)
    }
    if (meanwhile.length > 0) {
      this.#show(caret)
      return
    }
    this.#known = value
    this.#options.onValue()
    this.#tellSelection()
  }

  #edit(at: number, remove: number, insert: string): boolean {
    this.#editing = true
    try {
      this.#options.edit(at, remove, insert)
      return true
    } catch {
      return false // read-only since a moment ago: the page says so, and the field as it was
    } finally {
      this.#editing = false
    }
  }

  // -- from the shared text

  #onShared = (event: Y.YTextEvent, transaction: Y.Transaction): void => {
    if (this.#editing) return
    const delta = event.delta as Delta
    if (this.#composing) {
      this.#meanwhile.push(delta)
      return
    }
    const focused = document.activeElement === this.#element
    if (transaction.local && focused) {
      this.#show(endOf(delta)) // undone, or done again
      return
    }
    const { selectionStart, selectionEnd, selectionDirection } = this.#element
    const start = placeAfter(selectionStart, delta)
    const end = placeAfter(selectionEnd, delta)
    this.#show(start, end, selectionDirection)
  }

  #show(
    start: number,
    end = start,
    direction: HTMLTextAreaElement['selectionDirection'] = 'none',
  ): void {
    const element = this.#element
    const view = element.scrollTop
    this.#known = this.#text.toString()
    if (element.value !== this.#known) element.value = this.#known
    element.setSelectionRange(start, end, direction)
    element.scrollTop = view
    this.#options.onValue()
    this.#tellSelection()
  }

  // -- the selection

  #onSelection = (): void => {
    if (document.activeElement === this.#element && !this.#composing) this.#tellSelection()
  }

  #tellSelection = (): void => {
    if (document.activeElement !== this.#element) return
    const { selectionStart, selectionEnd, selectionDirection } = this.#element
    const backward = selectionDirection === 'backward'
    this.#options.onSelection({
      anchor: backward ? selectionEnd : selectionStart,
      head: backward ? selectionStart : selectionEnd,
    })
  }

  #onBlur = (): void => {
    if (this.#composing) this.#onComposed()
    this.#options.onSelection(null)
  }
}
