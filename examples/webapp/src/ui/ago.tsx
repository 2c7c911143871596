/** A time as people say it, `3 minutes ago`, that stays true; the exact one on hover. */

import { useMemo, useSyncExternalStore } from 'react'
import { seconds } from './clock'
import { useLocale } from './words'

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const

const NOW = 10 // seconds that are just now: clocks differ, and nobody cares
const STEP = 10 // seconds, below a minute: a text that changes each second is hard to look past

/** What a time is called as seen from now. One in the future is now: clocks differ. */
export function agoText(at: number, now: number, locale: string): string {
  const ago = Math.max(0, (now - at) / 1000)
  const format = relative(locale)
  if (ago < NOW) return format.format(0, 'second')
  for (const [unit, length] of UNITS) {
    if (ago >= length) return format.format(-Math.floor(ago / length), unit)
  }
  return format.format(-Math.floor(ago / STEP) * STEP, 'second')
}

const formats = new Map<string, Intl.RelativeTimeFormat>()

function relative(locale: string): Intl.RelativeTimeFormat {
  let format = formats.get(locale)
  if (format === undefined) {
    format = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
    formats.set(locale, format)
  }
  return format
}

/** Day and time to the second. */
export function exactText(at: number, locale: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' }).format(at)
}

interface AgoProps {
  /** Milliseconds, or ISO 8601. */
  at: number | string
  /** What to add to this device's clock to have that of the service. */
  skew?: number
  className?: string
}

export function Ago({ at, skew = 0, className }: AgoProps) {
  const locale = useLocale()
  const time = typeof at === 'number' ? at : Date.parse(at)
  const text = useSyncExternalStore(seconds.subscribe, () =>
    agoText(time, seconds.get() + skew, locale),
  )
  const exact = useMemo(() => exactText(time, locale), [time, locale])
  return (
    // Where it stands in a live region, that it grows older is no news.
    <time
      aria-live="off"
      className={className}
      dateTime={new Date(time).toISOString()}
      title={exact}
    >
      {text}
    </time>
  )
}
