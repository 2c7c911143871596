/** A field for a shared text, with the cursors of others in it. */

import { useCallback, useLayoutEffect, useRef, useSyncExternalStore } from 'react'
import type { Question } from '../lib/form-types'
import type { Peer } from '../lib/types'
import { personStyle } from '../ui/avatar'
import { bindText, type Selection } from './bind-text'
import { useFieldPeers, useForm } from './context'

/** Others' cursors are drawn in texts up to here; in longer ones it would cost too much. */
const MOST_DRAWN = 20_000
/** Between two words about where one's cursor is. Milliseconds. */
const TELL_MS = 120

interface TextAreaProps {
  question: Question
  className?: string
  placeholder?: string
  /** `aria-…` attributes and id. */
  labels: Readonly<Record<string, string | boolean | undefined>>
}

export function TextArea({ question, className = '', placeholder, labels }: TextAreaProps) {
  const { draft, document, readOnly } = useForm()
  const element = useRef<HTMLTextAreaElement>(null)
  const peers = useFieldPeers(question).filter((peer) => peer.selection !== null)
  useLayoutEffect(() => {
    if (element.current === null) return
    const area = element.current
    const tell = slowly((selection: Selection) => document.setPresence(question.id, selection))
    const unbind = bindText({
      element: area,
      text: draft.text(question.id),
      edit: (at, remove, insert) => draft.editText(question.id, at, remove, insert),
      onSelection: (selection) => {
        if (selection !== null) return tell.say(selection)
        tell.end()
        document.setPresence(null)
      },
      onValue: () => grow(area),
    })
    return () => {
      unbind()
      tell.end()
    }
  }, [draft, document, question.id])
  return (
    <div className="text-area">
      <textarea
        ref={element}
        className={`input ${className}`}
        rows={1}
        readOnly={readOnly}
        placeholder={placeholder}
        spellCheck
        {...labels}
      />
      {peers.length > 0 && <Cursors question={question} peers={peers} area={element} />}
    </div>
  )
}

/** Say the last of many things, not too often. */
function slowly<T>(tell: (value: T) => void): { say(value: T): void; end(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined
  let last: T
  return {
    say: (value) => {
      last = value
      timer ??= setTimeout(() => {
        timer = undefined
        tell(last)
      }, TELL_MS)
    },
    end: () => {
      clearTimeout(timer)
      timer = undefined
    },
  }
}

/** As high as its text; browsers with `field-sizing` do that themselves. */
function grow(area: HTMLTextAreaElement): void {
  if (CSS.supports?.('field-sizing', 'content')) return
  area.style.blockSize = 'auto'
  area.style.blockSize = `${area.scrollHeight + 2}px`
}

interface CursorsProps {
  question: Question
  peers: readonly Peer[]
  area: React.RefObject<HTMLTextAreaElement | null>
}

/** The same text once more, unseen, over the field: with cursors where those of others are. */
function Cursors({ question, peers, area }: CursorsProps) {
  const layer = useRef<HTMLDivElement>(null)
  const text = useTextValue(question.id)
  useLayoutEffect(() => {
    const element = area.current
    if (element === null) return
    const follow = () => {
      if (layer.current === null) return
      layer.current.dataset.scrolls = `${element.scrollHeight > element.clientHeight}`
      layer.current.scrollTop = element.scrollTop
    }
    follow()
    element.addEventListener('scroll', follow, { passive: true })
    return () => element.removeEventListener('scroll', follow)
  })
  if (text.length > MOST_DRAWN) return null
  return (
    <div ref={layer} className="text-cursors" aria-hidden="true">
      {peers.map((peer) => (
        <Cursor key={peer.clientId} peer={peer} text={text} />
      ))}
    </div>
  )
}

function Cursor({ peer, text }: { peer: Peer; text: string }) {
  const { anchor = 0, head = 0 } = peer.selection ?? {}
  const [from, to] = [Math.min(anchor, head), Math.max(anchor, head)]
  const caret = <span className="text-cursor" data-name={peer.name} />
  return (
    <div className="text-cursors-of" style={personStyle(peer.subject)}>
      {text.slice(0, from)}
      {head < anchor && caret}
      <mark>{text.slice(from, to)}</mark>
      {head >= anchor && caret}
      {`${text.slice(to)}\n`}
    </div>
  )
}

function useTextValue(question: string): string {
  const { draft } = useForm()
  const subscribe = useCallback(
    (listener: () => void) => {
      const text = draft.text(question)
      text.observe(listener)
      return () => text.unobserve(listener)
    },
    [draft, question],
  )
  return useSyncExternalStore(subscribe, () => draft.text(question).toString())
}
