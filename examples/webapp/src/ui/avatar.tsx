/** A person in two letters. */

import type { CSSProperties } from 'react'
import { colorOf } from '../lib/presence'

interface AvatarProps {
  subject: string
  name: string
  /** What it says to those who do not see it; without: the name stands beside it. */
  label?: string
  small?: boolean
}

export function Avatar({ subject, name, label, small = false }: AvatarProps) {
  const said = label === undefined ? { 'aria-hidden': true } : { role: 'img', 'aria-label': label }
  return (
    <span
      className={small ? 'avatar avatar-small' : 'avatar'}
      style={personStyle(subject)}
      title={label ?? name}
      {...said}
    >
      {initials(name)}
    </span>
  )
}

/** The colour of a person, for sheets: `var(--person)`. */
export function personStyle(subject: string): CSSProperties {
  return { '--person': colorOf(subject) } as CSSProperties
}

export function initials(name: string): string {
  const words = name.trim().split(/\s+/)
  const [first = '', last = ''] = [words[0], words.length > 1 ? words.at(-1) : '']
  return ([...first][0] ?? '?').concat([...last][0] ?? '').toUpperCase()
}
