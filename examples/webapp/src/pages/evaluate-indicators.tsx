/** What is true of the connection and of what was typed here: always said, never embellished. */

import { type ReactNode, useEffect, useState } from 'react'
import { useConnection, useReadable, useSaving } from '../hooks'
import * as messages from '../i18n/evaluate'
import type { Connection, OpenDocument, Saving, Session } from '../lib/types'
import { useLocale, useWords } from '../ui/words'
import { warnWhileWaiting } from '../unsent'

/** Screen readers are told what lasts, not every change. Milliseconds. */
const SETTLED_MS = 1_500
/** Close code of a document that takes no more edits. */
const SEALED = 4409

type Words = (typeof messages)['en']

export function ConnectionIndicator({ connection }: { connection: Connection }) {
  const words = useWords(messages)
  const locale = useLocale()
  const { status, latency, verdict } = connection
  const measured =
    latency === null
      ? words.nothingKnown
      : words.latency(
          new Intl.NumberFormat(locale, {
            style: 'unit',
            unit: 'millisecond',
            maximumFractionDigits: 0,
          }).format(latency),
        )
  return (
    <span
      className="indicator"
      data-testid="connection"
      data-status={status}
      title={status === 'online' ? measured : undefined}
    >
      <span className="dot" />
      {verdict?.code === SEALED ? words.sealed : words.connection[status]}
    </span>
  )
}

export function SavingIndicator({ document }: { document: OpenDocument }) {
  const words = useWords(messages)
  const locale = useLocale()
  const saving = useSaving(document)
  const text = savingText(saving, words, locale)
  const refused = saving.refused !== null && saving.waiting > 0
  return (
    <span
      className="indicator"
      data-testid="saving"
      data-state={saving.state}
      data-waiting={saving.waiting}
      data-refused={refused}
      title={saving.state === 'saved' ? words.savedHint : words.unsavedHint}
    >
      <span className="dot" />
      {text}
    </span>
  )
}

export function savingText(saving: Saving, words: Words, locale: string): string {
  const { state, waiting, savedAt, refused } = saving
  if (refused !== null) return waiting > 0 ? words.notAccepted(waiting) : words.readOnly
  if (state === 'loading') return words.readingDevice
  if (state === 'saving') return words.saving
  if (state === 'unsaved') return waiting > 0 ? words.unsaved(waiting) : words.unsavedOne
  if (savedAt === null) return words.allSaved
  return words.savedAt(new Intl.DateTimeFormat(locale, { timeStyle: 'medium' }).format(savedAt))
}

/** For screen readers: what lasts, once. */
export function Announcer({ document }: { document: OpenDocument }) {
  const words = useWords(messages)
  const { status } = useConnection(document)
  const { state } = useSaving(document)
  const now =
    status === 'offline'
      ? words.announceOffline
      : status === 'denied'
        ? words.announceDenied
        : status === 'online' && state === 'saved'
          ? words.announceSaved
          : null
  const [said, setSaid] = useState('')
  useEffect(() => {
    if (now === null) return
    const timer = setTimeout(() => setSaid(now), SETTLED_MS)
    return () => clearTimeout(timer)
  }, [now])
  return (
    <p className="visually-hidden" role="status">
      {said}
    </p>
  )
}

/** While anything is not saved, closing the page asks first. */
export function useLeavingWarning(document: OpenDocument | null): void {
  useEffect(() => (document === null ? undefined : warnWhileWaiting(document)), [document])
}

// -- banners

interface BannersProps {
  document: OpenDocument
  session: Session
  stale: boolean
}

export function Banners({ document, session, stale }: BannersProps) {
  const words = useWords(messages)
  const { status, verdict } = useConnection(document)
  const saving = useSaving(document)
  const access = useReadable(document.access)
  const { waiting, keptHere, refused } = saving
  const offline = status === 'offline'
  const stopped = session.state === 'stopped'
  // An end that everybody has been told is no failure of the connection.
  const denied = status === 'denied' && !(stopped && verdict?.code === SEALED)
  const observing = access === 'read' && !stopped && !denied
  return (
    <>
      {offline && (
        <Banner name="offline" tone="warn" document={document}>
          {keptHere ? words.offlineKept : words.offlineNotKept}{' '}
          {waiting > 0 && <strong>{words.waiting(waiting)}</strong>} {stale && words.staleText}
        </Banner>
      )}
      {denied && (
        <Banner name="denied" tone="danger">
          {words.denied(verdict?.code ?? 0)}
          {waiting > 0 && refused === null && (
            <>
              {' '}
              <strong>{words.waiting(waiting)}</strong>
            </>
          )}
        </Banner>
      )}
      {waiting > 0 && refused !== null && (
        <Banner
          name="refused"
          tone="danger"
          action={
            <button type="button" className="button" onClick={() => download(document)}>
              {words.download}
            </button>
          }
        >
          {words.refusedText(waiting)}
        </Banner>
      )}
      {!keptHere && saving.state !== 'loading' && !offline && (
        <Banner name="not-kept" tone="warn">
          {words.notKeptText}
        </Banner>
      )}
      {stopped && <Banner name="stopped">{words.stoppedText}</Banner>}
      {session.state === 'paused' && <Banner name="paused">{words.pausedText}</Banner>}
      {session.state === 'created' && <Banner name="created">{words.createdText}</Banner>}
      {observing && <Banner name="observer">{words.observerText}</Banner>}
    </>
  )
}

interface BannerProps {
  name: string
  tone?: 'warn' | 'danger'
  /** To try to connect at once. */
  document?: OpenDocument
  action?: ReactNode
  children: ReactNode
}

function Banner({ name, tone, document, action, children }: BannerProps) {
  const words = useWords(messages)
  const className = tone === undefined ? 'banner' : `banner banner-${tone}`
  return (
    <div className={className} data-testid="banner" data-banner={name}>
      <p>{children}</p>
      {document !== undefined && (
        <button type="button" className="button" onClick={() => document.reconnect()}>
          {words.reconnect}
        </button>
      )}
      {action}
    </div>
  )
}

/** A draft as this device has it, as JSON: what was not accepted is in it. */
function download(document: OpenDocument): void {
  const content = new Blob([JSON.stringify(document.doc.toJSON(), null, 2)], {
    type: 'application/json',
  })
  const address = URL.createObjectURL(content)
  const link = Object.assign(window.document.createElement('a'), {
    href: address,
    download: `${document.name.replaceAll('/', '-')}.json`,
  })
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 60_000)
}
