/** Short news at the edge of the page; they go by themselves, or when they are dismissed. */

import { useSyncExternalStore } from 'react'
import * as messages from '../i18n/common'
import { Cell } from '../lib/readable'
import { Icon } from './icons'
import { useWords } from './words'

const STAY_MS = 12_000
const MOST = 4

interface Toast {
  readonly id: number
  readonly title: string
  readonly text: string
  readonly tone: 'news' | 'danger'
}

const toasts = new Cell<readonly Toast[]>([])
let last = 0

export function toast(title: string, text: string, tone: Toast['tone'] = 'news'): void {
  last += 1
  const id = last
  toasts.set([...toasts.get(), { id, title, text, tone }].slice(-MOST))
  setTimeout(() => dismiss(id), STAY_MS)
}

function dismiss(id: number): void {
  toasts.set(toasts.get().filter((each) => each.id !== id))
}

export function Toasts() {
  const words = useWords(messages)
  const shown = useSyncExternalStore(toasts.subscribe, toasts.get)
  return (
    <div className="toasts" role="status" aria-label={words.news}>
      {shown.map((each) => (
        <div key={each.id} className={`toast toast-${each.tone}`} data-testid="toast">
          <div>
            <strong>{each.title}</strong>
            <p>{each.text}</p>
          </div>
          <button
            type="button"
            className="button button-quiet button-icon"
            aria-label={words.dismiss}
            onClick={() => dismiss(each.id)}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  )
}
