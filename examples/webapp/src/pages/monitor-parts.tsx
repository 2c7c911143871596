/** Small parts of the monitor: figures, states, a time that ticks. */

import { type ReactNode, useState } from 'react'
import * as messages from '../i18n/monitor'
import type { SessionState } from '../lib/types'
import { useSeconds } from '../ui/clock'
import { useLocale, useWords } from '../ui/words'
import { duration, milliseconds, type Quantiles } from './monitor-model'

/** When a value came, by this device's clock: the service's may be another one. */
export function useArrival(value: unknown): number {
  const [known, setKnown] = useState(() => ({ value, at: Date.now() }))
  if (known.value === value) return known.at
  const now = { value, at: Date.now() }
  setKnown(now)
  return now.at
}

export function Figure({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="monitor-figure">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

export function State({ state }: { state: SessionState }) {
  const words = useWords(messages)
  return (
    <span className="pill" data-state={state}>
      {words[state]}
    </span>
  )
}

/** Seconds that a session was running; they go on from `since`, when they were told. */
export function Active({ seconds, since }: { seconds: number; since: number | null }) {
  const text = since === null ? duration(seconds) : <Ticking seconds={seconds} since={since} />
  return <span className="monitor-clock">{text}</span>
}

/** The clock may have ticked last before they were told: they never go back for that. */
function Ticking({ seconds, since }: { seconds: number; since: number }) {
  return duration((Math.max(useSeconds(), since) - since) / 1000 + seconds)
}

/** A time that half of all, 95 and 99 in a hundred were within. */
export function QuantileFigures({ name, of }: { name: string; of: Quantiles }) {
  const words = useWords(messages)
  const locale = useLocale()
  const told = (['p50', 'p95', 'p99'] as const).map((each) => [each, of[each]] as const)
  return (
    <div className="monitor-quantile">
      <p>{name}</p>
      <dl aria-label={name}>
        {told.map(([each, value]) => (
          <div key={each}>
            <dt>{words[each]}</dt>
            <dd>{value === null ? words.none : `${milliseconds(value, locale)} ${words.ms}`}</dd>
          </div>
        ))}
      </dl>
    </div>
  )
}

/** A cell that says on narrow screens, where there is no head, what it is. */
export function Cell({ label, children }: { label: string; children: ReactNode }) {
  return (
    <td data-label={label}>
      <div>{children}</div>
    </td>
  )
}
